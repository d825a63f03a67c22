//! The pages between a button and what it does: what will happen, in numbers.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::letters::{Chosen, Set, Shown};
use super::lists::{fields, name};
use super::story::{counted, lasting, replicas};
use super::{Facts, Shared, html as answer, page, silent};
use crate::dead_letters::{FOREIGN, UNRECOGNISED};
use crate::shell::View;

pub(super) async fn page(
    State(console): Shared,
    Path(action): Path<String>,
    Query(chosen): Query<Chosen>,
    headers: HeaderMap,
) -> Response {
    let Some(who) = console.who(&headers) else {
        return Redirect::to("/login").into_response();
    };
    let view = match console.view().await {
        Ok(view) => view,
        Err(no_answer) => return silent(no_answer),
    };
    let (title, content) = match action.as_str() {
        "pause" => ("Pause this worker?", pause(&console.facts, &view)),
        "resume" => ("Resume this worker?", resume(&view)),
        "redrive" | "purge" => {
            let reading = console.board.reading(chosen.reading);
            let shown = reading
                .as_deref()
                .and_then(|reading| reading.group(&chosen));
            let set = console.board.set(&chosen);
            let (Some(shown), Some(set)) = (shown, set) else {
                return answer(StatusCode::NOT_FOUND, page::read_again());
            };
            match action.as_str() {
                "redrive" => ("Redrive?", redrive(&console.facts, &chosen, shown, &set)),
                _ => ("Purge?", purge(&chosen, shown, &set)),
            }
        }
        _ => {
            let page = page::notice("Not found", "The console has no such page.");
            return answer(StatusCode::NOT_FOUND, page);
        }
    };
    let page = page::around(title, Some(&console.facts), Some(&who), &content);
    answer(StatusCode::OK, page)
}

fn pause(facts: &Facts, view: &View) -> Markup {
    let engine = &view.engine;
    let ready = view.queue.map(|queue| u64::from(queue.ready));
    form(
        "Pause this worker?",
        "/actions/pause",
        "Pause",
        &html! {
            li { (counted(engine.in_flight_calls as u64, "call")) " in flight end as usual. After that it makes no calls, and no probes." }
            li {
                (counted(engine.unsettled_deliveries as u64, "event")) " in hand wait"
                @if let Some(ready) = ready { ", and " (counted(ready, "event")) " in the queue" }
                ". None is acknowledged or dead-lettered."
            }
            li { "After " (lasting(facts.hold_limit)) " the events in hand go back to the queue, once." }
            li { (replicas(facts, view)) }
            li { "/readyz answers 503 with class operator, and alerts on a paused worker fire." }
        },
    )
}

fn resume(view: &View) -> Markup {
    let engine = &view.engine;
    let ready = view.queue.map(|queue| u64::from(queue.ready));
    form(
        "Resume this worker?",
        "/actions/resume",
        "Resume",
        &html! {
            li {
                "Calls start at once, for " (counted(engine.unsettled_deliveries as u64, "event")) " in hand"
                @if let Some(ready) = ready { " and " (counted(ready, "event")) " in the queue" }
                ", at up to " (format!("{:.0}", view.limit_calls_per_second)) " a second."
            }
            @if let Some(reason) = engine.paused {
                li { "The API is still at fault as far as is known: " (reason.to_string()) ". The worker probes it first." }
            }
        },
    )
}

fn redrive(facts: &Facts, chosen: &Chosen, shown: &Shown, set: &Set) -> Markup {
    let letters = counted(set.ids.len() as u64, "letter");
    let content = html! {
        li { (letters) " of " strong { (name(&set.reason, set.code)) } " become events again, in the queue " (facts.queue) " and in no other." }
        li { "Only users that failed are called again: " (whose(chosen, shown)) "." }
        li { "Each letter is removed once its event is confirmed. One that fails again comes back as a new letter." }
        li { "If the cause is not put right, that is what happens." }
        @if set.reason == FOREIGN { li { (UNRECOGNISED) } }
    };
    let hidden = fields(chosen.reading, shown, &chosen.id);
    form_with(
        &format!("Redrive {letters}?"),
        "/actions/redrive",
        "Redrive",
        &content,
        &hidden,
    )
}

fn purge(chosen: &Chosen, shown: &Shown, set: &Set) -> Markup {
    let letters = counted(set.ids.len() as u64, "letter");
    let hidden = fields(chosen.reading, shown, &chosen.id);
    html! {
        section.card.narrow {
            h1 { "Purge " (letters) "?" }
            ul {
                li { (letters) " of " strong { (name(&set.reason, set.code)) } " are removed for good." }
                li { "Their users keep their tags: " (whose(chosen, shown)) "." }
                li { "Without an export nothing is left of them." }
            }
            form method="post" action="/actions/export" {
                (hidden)
                button.quiet type="submit" { "Export them first" }
            }
            form method="post" action="/actions/purge" {
                (hidden)
                label.check {
                    input type="checkbox" name="no_export" value="yes" required;
                    " I have the export, or need none"
                }
                div.buttons {
                    button.danger type="submit" { "Purge" }
                    a.button.quiet href="/" { "Cancel" }
                }
            }
        }
    }
}

/// How many users the letters name.
fn whose(chosen: &Chosen, shown: &Shown) -> String {
    let one = shown.entries.iter().find(|entry| entry.id == chosen.id);
    let users = one.map_or(shown.group.users, |entry| entry.users.len());
    match users {
        0 => "all of the event, as the letters name none".to_owned(),
        users => counted(users as u64, "user"),
    }
}

fn form(title: &str, action: &str, verb: &str, consequences: &Markup) -> Markup {
    form_with(title, action, verb, consequences, &html! {})
}

fn form_with(
    title: &str,
    action: &str,
    verb: &str,
    consequences: &Markup,
    hidden: &Markup,
) -> Markup {
    html! {
        section.card.narrow {
            h1 { (title) }
            ul { (consequences) }
            form method="post" action=(action) {
                (hidden)
                div.buttons {
                    button type="submit" { (verb) }
                    a.button.quiet href="/" { "Cancel" }
                }
            }
        }
    }
}
