// Fetches the figures anew every two seconds, while the page is seen. Without it the page is complete, as of its load.
"use strict";

const EVERY = 2000;
const live = document.getElementById("live");
const announced = document.getElementById("announced");

function replace(id, fresh) {
  const old = document.getElementById(id);
  const next = fresh.getElementById(id);
  if (!old || !next || old.outerHTML === next.outerHTML) return;
  // What somebody reads or is about to press stays as it is.
  const open = old.querySelector("details[open]");
  const focused = old.contains(document.activeElement) && document.activeElement.getAttribute("href");
  if (open && old.dataset.version === next.dataset.version) return;
  old.replaceWith(document.importNode(next, true));
  if (focused) {
    const again = document.getElementById(id).querySelector(`[href="${CSS.escape(focused)}"]`);
    if (again) again.focus();
  }
}

async function refresh() {
  if (document.hidden) return;
  const state = () => document.getElementById("live").dataset.announce;
  const before = state();
  try {
    const answer = await fetch("/fragment", { credentials: "same-origin" });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    replace("live", fresh);
    replace("letters", fresh);
    replace("about", fresh);
    document.body.classList.remove("stale");
    if (state() !== before) {
      announced.textContent = state();
      document.title = `${state()} · tagsweep`;
    }
  } catch {
    if (!document.body.classList.contains("stale")) announced.textContent = "The worker does not answer";
    document.body.classList.add("stale");
  }
}

if (live) {
  setInterval(refresh, EVERY);
  document.addEventListener("visibilitychange", refresh);
}
