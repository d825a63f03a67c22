//! When the next call may start: never more than the quota in any second *as the API counts them*.
//!
//! [`log`] keeps which calls hold a slot of the quota, [`latency`] estimates from the time of an answer when its
//! call was counted at the latest, and [`rate`] halves the pace on a throttle answer and restores it. Starts are
//! spread evenly inside what the log allows; a timer that fires late may catch up, because the log still holds.

mod latency;
mod log;
mod rate;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use latency::Latency;
use log::Log;
pub(super) use log::Slot;
use rate::Rate;

const SECOND: Duration = Duration::from_secs(1);
/// How far behind schedule a start may be and still catch up.
const CATCH_UP: Duration = Duration::from_millis(50);
/// The longest wait that an answer can request: well below the time without progress after which a worker is
/// restarted.
pub(super) const LONGEST_HOLD: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(super) struct Pace {
    margin: Duration,
    log: Log,
    latency: Latency,
    pub(super) rate: Rate,
    next_even: Instant,
    /// No call is made before.
    held: Option<Instant>,
}

impl Pace {
    pub(super) fn new(quota: f64, margin: Duration, now: Instant) -> Pace {
        Pace {
            margin,
            log: Log::default(),
            latency: Latency::default(),
            rate: Rate::new(quota, now),
            next_even: now,
            held: None,
        }
    }

    /// Another worker may have made calls until now, from the same quota: ours must not share a second with them.
    pub(super) fn take_over(&mut self, now: Instant) {
        self.next_even = self.next_even.max(now + SECOND + self.margin);
    }

    /// The earliest moment at which a call may start, seen from `now`. None: not before an answer.
    pub(super) fn free_at(&self, now: Instant) -> Option<Instant> {
        let slots = (self.rate.quota() as usize).max(1);
        let log = self.log.free_at(slots, now)?;
        Some(log.max(self.next_even).max(now))
    }

    /// A call starts now. Ask [`free_at`](Pace::free_at) first.
    pub(super) fn start(&mut self, now: Instant) -> Slot {
        let late = now.checked_sub(CATCH_UP).unwrap_or(now);
        self.next_even = self.next_even.max(late) + self.rate.gap(now);
        self.log.start(now)
    }

    /// The call that started at `started` has finished. Only successes show how long the API takes: a refusal may
    /// come at once from a gateway, so it counts from its answer.
    pub(super) fn answered(&mut self, slot: Slot, started: Instant, succeeded: bool, now: Instant) {
        let took = now.saturating_duration_since(started);
        let way = match succeeded {
            true => self.latency.way(took) + self.margin / 2,
            false => took,
        };
        let counted = started + way.max(self.margin).min(took);
        self.log.answered(slot, counted + SECOND, now);
        if succeeded {
            self.latency.learn(took, now);
            self.log.overtake(started, now);
        }
    }

    /// Makes no calls for this long, as an answer requested; bounded, so that one answer cannot stop the work for a
    /// day. The pace recovers from then on.
    pub(super) fn hold(&mut self, wait: Duration, now: Instant) {
        let until = now + wait.min(LONGEST_HOLD);
        self.next_even = self.next_even.max(until);
        self.held = self.held.max(Some(until));
        self.rate.rest(until, now);
    }

    /// Time until a requested wait is over.
    pub(super) fn held_for(&self, now: Instant) -> Option<Duration> {
        self.held?
            .checked_duration_since(now)
            .filter(|wait| !wait.is_zero())
    }

    /// The API rate-limited a call that started at `started`. Returns whether the pace was halved: calls from
    /// before the last halving report the same overload.
    pub(super) fn throttled(&mut self, started: Instant, now: Instant) -> bool {
        let halved = self.rate.throttled(started, now);
        if halved {
            self.next_even = self.next_even.max(now + self.rate.gap(now));
        }
        halved
    }
}
