//! What the page shows, as JSON: without user IDs and bodies, since nobody has to log in for it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Console, lists, story};
use crate::engine::{Ending, PauseReason, Reason};
use crate::shell::{SLOT, State, View};

pub(super) fn of(console: &Console, view: &View) -> Value {
    let facts = &console.facts;
    let story = story::of(facts, view);
    let rates = story::rates(view);
    let engine = &view.engine;
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": env!("TAGSWEEP_COMMIT"),
        "queue": facts.queue,
        "state": view.state.name(),
        "state_seconds": seconds(view.state_for),
        "headline": story.headline,
        "why": story.why,
        "what_to_do": Some(&story.advice).filter(|advice| !advice.is_empty()),
        "pause": match view.state {
            State::Paused(pause) => json!({ "class": pause.class(), "seconds": seconds(view.state_for) }),
            _ => Value::Null,
        },
        "api_pause": engine.paused.map(|reason| api_pause(reason, view)),
        "live": view.stall.is_none(),
        "oldest_event_seconds": seconds(view.oldest_event),
        "users_per_second": rounded(rates.users_per_second),
        "calls_per_second": rounded(rates.calls_per_second),
        "quota_calls_per_second": rounded(engine.calls_per_second),
        "quota_limit_calls_per_second": rounded(view.limit_calls_per_second),
        "ids_per_call": rates.ids_per_call.map(rounded),
        "call_milliseconds": rates.call_took.map(|took| took.as_millis() as u64),
        "slowest_call_milliseconds": rates.call_took.map(|_| rates.slowest.as_millis() as u64),
        "pending_ids": engine.pending_ids,
        "in_flight_calls": engine.in_flight_calls,
        "unsettled_deliveries": engine.unsettled_deliveries,
        "highest_delivery_count": view.highest_delivery_count,
        "queue_ready_messages": view.queue.map(|queue| queue.ready),
        "queue_consumers": view.queue.map(|queue| queue.consumers),
        "dead_letter_queue_messages": view.queue.and_then(|queue| queue.dead_letters),
        "recent": {
            "slot_seconds": SLOT.as_secs(),
            "users": view.recent.slots().map(|slot| slot.users).collect::<Vec<_>>(),
            "calls": view.recent.slots().map(|slot| slot.calls).collect::<Vec<_>>(),
        },
        "dead_letters": lists::as_json(&console.board.known()),
        "since_start": since_start(view),
    })
}

fn api_pause(reason: PauseReason, view: &View) -> Value {
    json!({
        "class": reason.class.name(),
        "code": reason.code,
        "http_status": reason.http,
        "meaning": reason.meaning(),
        "seconds": view.engine.paused_for.map(seconds),
        "next_probe_seconds": view.engine.probe_in.map(seconds),
    })
}

fn since_start(view: &View) -> Value {
    let tally = &view.engine.tally;
    let events = Ending::ALL
        .iter()
        .map(|ending| (ending.name(), tally.events(*ending)));
    let letters = Reason::ALL
        .iter()
        .map(|reason| reason.name())
        .zip(tally.letters);
    json!({
        "events_received": tally.events_received,
        "events": Value::from_iter(events),
        "users_cleared": tally.users_cleared,
        "users_missing": tally.users_missing,
        "users_dead_lettered": tally.users_dead_lettered,
        "dead_letters": Value::from_iter(letters),
        "calls": tally.calls,
    })
}

fn seconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64())
}

/// With one decimal.
fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
