//! The pages between a button and what it does: what will happen, in numbers.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::story::{counted, lasting, replicas};
use super::{Facts, Shared, html as answer, page, silent};
use crate::shell::View;

pub(super) async fn page(
    State(console): Shared,
    Path(action): Path<String>,
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

fn form(title: &str, action: &str, verb: &str, consequences: &Markup) -> Markup {
    html! {
        section.card.narrow {
            h1 { (title) }
            ul { (consequences) }
            form method="post" action=(action) {
                div.buttons {
                    button type="submit" { (verb) }
                    a.button.quiet href="/" { "Cancel" }
                }
            }
        }
    }
}
