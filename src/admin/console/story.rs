//! What the worker is doing, why, and what to do about it: the same words for the page and for the JSON.

use std::time::Duration;

use crate::engine::PauseReason;
use crate::explain;
use crate::shell::{Pause, SLOT, Slot, State, View};

use super::Facts;

/// What a state is to an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Good,
    Idle,
    Bad,
}

/// The state of the worker in words.
pub(super) struct Story {
    pub(super) level: Level,
    pub(super) headline: &'static str,
    pub(super) why: String,
    /// What to do; empty if there is nothing.
    pub(super) advice: String,
    /// The probe of a pause for the API that comes next.
    pub(super) next_probe: Option<Duration>,
}

pub(super) fn of(facts: &Facts, view: &View) -> Story {
    let told = |level, headline, why: &str, advice: &str| Story {
        level,
        headline,
        why: why.to_owned(),
        advice: advice.to_owned(),
        next_probe: None,
    };
    let explained = explain::of_name(view.state.name());
    let meaning = explained.as_ref().and_then(|known| known.meaning);
    let advice = explained.as_ref().map_or("", |known| known.advice);
    let stalled = || view.stall.map(|stall| stall.to_string());
    let trouble = view.hindrance.clone().or_else(stalled);
    match view.state {
        State::Paused(Pause::Operator) => operator(facts, view),
        State::Paused(Pause::Api(reason)) => api(view, reason),
        State::Connecting => {
            let why = match &view.unconnected {
                Some(why) => format!("There is no session with RabbitMQ: {why}."),
                None => "The first session with RabbitMQ is being opened.".to_owned(),
            };
            told(Level::Bad, "Connecting", &why, advice)
        }
        State::Draining => told(Level::Idle, "Draining", meaning.unwrap_or_default(), advice),
        State::Standby | State::Consuming if let Some(why) = &trouble => {
            let headline = match view.state {
                State::Standby => "On standby, with trouble",
                _ => "Consuming, with trouble",
            };
            told(Level::Bad, headline, &format!("{}.", capitalised(why)), "")
        }
        State::Standby => told(
            Level::Idle,
            "On standby",
            "Nothing was delivered yet in this session: the queue is empty, or another worker consumes it.",
            "",
        ),
        State::Consuming => told(
            Level::Good,
            "Consuming",
            match view.engine.unsettled_deliveries {
                0 => "Every event that arrived is done.",
                _ => "Events are processed as they arrive.",
            },
            "",
        ),
    }
}

fn operator(facts: &Facts, view: &View) -> Story {
    let mut why = "An operator paused this worker. It makes no calls and no probes; events wait in the queue."
        .to_owned();
    if let Some(reason) = view.engine.paused {
        why += &format!(" Besides, the worker is {reason}.");
    }
    Story {
        level: Level::Bad,
        headline: "Paused by an operator",
        why,
        advice: format!(
            "Resume when the reason for the pause is gone. {}",
            replicas(facts, view)
        ),
        next_probe: None,
    }
}

/// What an operator's pause of this worker means for others.
pub(super) fn replicas(facts: &Facts, view: &View) -> String {
    let others = view.queue.map(|queue| queue.consumers.saturating_sub(1));
    match others {
        Some(0) => "A restart of this worker ends the pause.".to_owned(),
        Some(others) => format!(
            "{} of this queue is not paused by this and takes over when this worker restarts, loses its session, or \
             has held an event for {} (rabbitmq.hold_limit): pause each one at its own console, or scale to zero.",
            counted(u64::from(others), "other worker"),
            lasting(facts.hold_limit)
        ),
        None => "A restart of this worker ends the pause. Other workers of the queue, if there are any, are not \
                 paused by this."
            .to_owned(),
    }
}

fn api(view: &View, reason: PauseReason) -> Story {
    let class = explain::of_name(reason.class.name());
    let advice = match (reason.code, reason.http) {
        (Some(code), _) => explain::of_code(code).advice,
        (None, Some(status)) => explain::of_status(String::new(), status).advice,
        (None, None) => class.as_ref().map_or("", |class| class.advice),
    };
    let latest = view.trouble.as_ref().filter(|_| reason.code.is_none());
    let latest = latest.map(|trouble| format!(" The latest call: {trouble}."));
    Story {
        level: Level::Bad,
        headline: "Paused for the API",
        why: format!(
            "{}.{} Events wait in the queue, and none is dead-lettered for it.",
            capitalised(&reason.to_string()),
            latest.unwrap_or_default()
        ),
        advice: advice.to_owned(),
        next_probe: view.engine.probe_in,
    }
}

/// What was done a second, and how, over some slots that are over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    pub(super) users_per_second: f64,
    pub(super) calls_per_second: f64,
    /// User IDs in a call, on average. None: no call.
    pub(super) ids_per_call: Option<f64>,
    pub(super) call_took: Option<Duration>,
    pub(super) slowest: Duration,
}

/// Of the last minute.
pub(super) fn rates(view: &View) -> Rates {
    const MINUTE: usize = 6;
    // The present slot is not over.
    let over: Vec<&Slot> = view.recent.slots().rev().skip(1).take(MINUTE).collect();
    let present = view.recent.slots().next_back().filter(|_| over.is_empty());
    let slots = || over.iter().copied().chain(present);
    let seconds = SLOT.as_secs_f64() * slots().count().max(1) as f64;
    let calls: u32 = slots().map(|slot| slot.calls).sum();
    let ids: u64 = slots().map(|slot| slot.ids).sum();
    let users: u64 = slots().map(|slot| slot.users).sum();
    let took: Duration = slots().map(|slot| slot.took).sum();
    Rates {
        users_per_second: users as f64 / seconds,
        calls_per_second: f64::from(calls) / seconds,
        ids_per_call: (calls > 0).then(|| ids as f64 / f64::from(calls)),
        call_took: took.checked_div(calls),
        slowest: slots().map(|slot| slot.slowest).max().unwrap_or_default(),
    }
}

/// As people say it: `4.2 s`, `3 min`, `2 h 5 min`.
pub(super) fn lasting(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.is_zero() => "0 s".to_owned(),
        0 => format!("{} ms", time.as_millis().max(1)),
        1..=9 if time.subsec_millis() >= 50 => format!("{:.1} s", time.as_secs_f64()),
        1..=9 => format!("{seconds} s"),
        10..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// With its unit in the right number.
pub(super) fn counted(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", grouped(number)),
    }
}

/// With a thin space between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A rate, with a decimal where it is small.
pub(super) fn rate(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        number if number < 10.0 => format!("{number:.1}"),
        number => grouped(number.round() as u64),
    }
}

pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_written_as_people_say_them() {
        let times = [
            (0, "0 s"),
            (42, "42 ms"),
            (4_200, "4.2 s"),
            (7_000, "7 s"),
            (59_999, "59 s"),
            (180_000, "3 min"),
            (7_500_000, "2 h 5 min"),
            (200_000_000, "2 days"),
        ];
        for (milliseconds, text) in times {
            assert_eq!(lasting(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(counted(1, "event"), "1 event");
        assert_eq!(counted(1_000, "event"), "1\u{202f}000 events");
        assert_eq!(
            (rate(0.0), rate(0.05), rate(99.6)),
            ("0".into(), "0.1".into(), "100".into())
        );
    }
}
