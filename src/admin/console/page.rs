//! The pages. Scripts and styles are files of their own, as the policy wants it.

use std::time::Duration;

use maud::{DOCTYPE, Markup, html};

use super::chart::Chart;
use super::story::{self, Level, Story, counted, grouped, lasting, rate};
use super::{Console, Facts, lists};
use crate::engine::Status;
use crate::shell::{SLOT, Slot, View, Who};

/// What every page has around it.
pub(super) fn around(
    title: &str,
    facts: Option<&Facts>,
    who: Option<&Who>,
    content: &Markup,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · tagsweep" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/console.css";
                script src="/console.js" defer {}
            }
            body {
                a.skip href="#content" { "Skip to content" }
                header.top {
                    a.home href="/" { "tagsweep" }
                    @if let Some(facts) = facts {
                        span.queue { span.dim { "queue " } (facts.queue) }
                        (login_state(facts, who))
                    }
                }
                main #content { (content) }
            }
        }
    }
}

fn login_state(facts: &Facts, who: Option<&Who>) -> Markup {
    html! {
        div.session {
            @match (who, &facts.token) {
                (Some(who), _) => {
                    span.dim { "session " (who.session) }
                    form method="post" action="/logout" { button.quiet type="submit" { "Log out" } }
                }
                (None, Some(_)) => a.button.quiet href="/login" { "Log in" },
                (None, None) => span.dim { "read-only: no admin.token" },
            }
        }
    }
}

/// A page of one message.
pub(super) fn notice(title: &str, text: &str) -> Markup {
    let content = html! {
        section.card.narrow {
            h1 { (title) }
            p { (text) }
            p { a href="/" { "Back to the console" } }
        }
    };
    around(title, None, None, &content)
}

/// For a link to letters of a reading that is forgotten.
pub(super) fn read_again() -> Markup {
    notice(
        "The letters have changed",
        "They were read again since this page was shown, or they are gone: nothing was done. Look at them again.",
    )
}

pub(super) fn login(trouble: Option<&str>) -> Markup {
    let content = html! {
        section.card.narrow {
            h1 { "Log in" }
            p.dim { "With the token of " code { "admin.token" } ". A session lasts 12 hours or until this worker restarts." }
            @if let Some(trouble) = trouble {
                p.trouble #trouble role="alert" { (trouble) }
            }
            form method="post" action="/login" {
                // For whoever keeps passwords; there is one operator as far as this form knows.
                input type="text" name="username" value="tagsweep" autocomplete="username" hidden;
                label for="token" { "Token" }
                input #token name="token" type="password" required autofocus autocomplete="current-password"
                    aria-describedby=[trouble.map(|_| "trouble")];
                div.buttons {
                    button type="submit" { "Log in" }
                    a.button.quiet href="/" { "Cancel" }
                }
            }
        }
    };
    around("Log in", None, None, &content)
}

pub(super) fn first_screen(console: &Console, view: &View, who: Option<&Who>) -> Markup {
    let story = story::of(&console.facts, view);
    let content = html! {
        // Read aloud when the script changes it, and never otherwise.
        p.unseen #announced role="status" aria-live="polite" {}
        (live(console, view, who))
    };
    around(story.headline, Some(&console.facts), who, &content)
}

/// What the script replaces every two seconds.
pub(super) fn live(console: &Console, view: &View, who: Option<&Who>) -> Markup {
    let facts = &console.facts;
    let story = story::of(facts, view);
    html! {
        div #live data-announce=(story.headline) {
            (state(&story, view, who))
            (figures(facts, view))
            (charts(view))
        }
        (lists::section(facts, &console.board.known(), who))
        footer #about {
            p.dim {
                "tagsweep " (env!("CARGO_PKG_VERSION")) " (" (env!("TAGSWEEP_COMMIT")) ") · "
                (since_start(&view.engine))
            }
        }
    }
}

fn state(story: &Story, view: &View, who: Option<&Who>) -> Markup {
    let level = match story.level {
        Level::Good => "good",
        Level::Idle => "idle",
        Level::Bad => "bad",
    };
    let paused = view.engine.operator_pause.is_some();
    html! {
        section class=(format!("state {level}")) aria-labelledby="headline" {
            div {
                h1 #headline { (story.headline) }
                p.since { "for " (lasting(Duration::from_secs(view.state_for.as_secs()))) }
            }
            div.why {
                p { (story.why) }
                @if let Some(next) = story.next_probe {
                    p { strong { "Next probe: " } @if next.is_zero() { "now" } @else { "in " (lasting(next)) } }
                }
                @if !story.advice.is_empty() {
                    p { strong { "What to do: " } (story.advice) }
                }
            }
            @if who.is_some() && !view.engine.draining {
                a.button href=(if paused { "/confirm/resume" } else { "/confirm/pause" }) {
                    @if paused { "Resume…" } @else { "Pause…" }
                }
            }
        }
    }
}

fn figures(facts: &Facts, view: &View) -> Markup {
    let rates = story::rates(view);
    let engine = &view.engine;
    let in_hand = engine.unsettled_deliveries;
    let queue = view.queue;
    let letters = queue.and_then(|queue| queue.dead_letters);
    let oldest = match in_hand {
        0 => "none".to_owned(),
        _ => lasting(view.oldest_event),
    };
    let returned = match view.highest_delivery_count {
        0 => "none was returned before".to_owned(),
        times => format!("returned up to {}", counted(times.into(), "time")),
    };
    let fill = rates
        .ids_per_call
        .map(|ids| ids * 100.0 / facts.max_ids as f64);
    let no_call = || "no call in the last minute".to_owned();
    html! {
        section aria-label="Figures" {
            dl.figures {
                (figure("Oldest event in hand", &oldest, "by its own time, if it has one"))
                (figure("Events in hand", &grouped(in_hand as u64), &returned))
                (figure(
                    "Queue depth",
                    &queue.map_or_else(unknown, |queue| grouped(queue.ready.into())),
                    &queue.map_or_else(String::new, |queue| counted(queue.consumers.into(), "consumer")),
                ))
                (figure(
                    "Dead letters",
                    &letters.map_or_else(unknown, |letters| grouped(letters.into())),
                    &format!("in {}", facts.dead_letter_queue),
                ))
                (figure(
                    "Users a second",
                    &rate(rates.users_per_second),
                    &format!("{} waiting for a call", counted(engine.pending_ids as u64, "user")),
                ))
                (figure(
                    "Calls a second",
                    &rate(rates.calls_per_second),
                    &format!(
                        "of {} allowed, {} in flight",
                        rate(engine.calls_per_second),
                        grouped(engine.in_flight_calls as u64)
                    ),
                ))
                (figure(
                    "Window fill",
                    &fill.map_or_else(nothing, |fill| format!("{fill:.0} %")),
                    &rates.ids_per_call.map_or_else(no_call, |ids| {
                        format!("{} of {} user IDs a call", rate(ids), facts.max_ids)
                    }),
                ))
                (figure(
                    "API latency",
                    &rates.call_took.map_or_else(nothing, lasting),
                    &rates.call_took.map_or_else(no_call, |_| format!("slowest {}", lasting(rates.slowest))),
                ))
            }
        }
    }
}

fn figure(name: &str, value: &str, more: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd { span.value { (value) } @if !more.is_empty() { span.more { (more) } } }
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn nothing() -> String {
    "–".to_owned()
}

fn charts(view: &View) -> Markup {
    let per_second = |of: fn(&Slot) -> f64| {
        let seconds = SLOT.as_secs_f64();
        view.recent
            .slots()
            .map(|slot| of(slot) / seconds)
            .collect::<Vec<f64>>()
    };
    let users = per_second(|slot| slot.users as f64);
    let calls = per_second(|slot| f64::from(slot.calls));
    html! {
        div.charts {
            (chart("Users a second", &users, None))
            (chart("Calls a second", &calls, Some(view.limit_calls_per_second)))
        }
    }
}

fn chart(name: &str, values: &[f64], limit: Option<f64>) -> Markup {
    let highest = values.iter().copied().fold(0.0, f64::max);
    let quota = limit
        .map(|limit| format!(", quota {}", rate(limit)))
        .unwrap_or_default();
    let chart = Chart {
        label: format!(
            "{name} in the last 15 minutes: highest {}{quota}",
            rate(highest)
        ),
        values,
        limit,
    };
    html! {
        figure {
            figcaption {
                span { (name) }
                span.dim { "highest " (rate(highest)) (quota) }
            }
            div.plot {
                span.axis aria-hidden="true" { (rate(chart.top())) }
                (chart.draw())
            }
            div.times.dim aria-hidden="true" { span { "15 min ago" } span { "10" } span { "5" } span { "now" } }
        }
    }
}

fn since_start(status: &Status) -> String {
    let tally = &status.tally;
    let mut text = format!(
        "since it started: {} received, {} cleared",
        counted(tally.events_received, "event"),
        counted(tally.users_cleared, "user")
    );
    if tally.users_missing > 0 {
        text += &format!(", {} unknown to the API", grouped(tally.users_missing));
    }
    if tally.users_dead_lettered > 0 {
        text += &format!(", {} dead-lettered", grouped(tally.users_dead_lettered));
    }
    text + &format!(", {}", counted(tally.calls, "call"))
}
