//! When the next call may start.
//!
//! The API counts calls in a sliding second of its own. What counts is therefore when a call
//! *arrives there*, and all that is known here is that this lies between its start and its answer.
//! Three rules follow:
//!
//! 1. **The log.** Each started call holds one of `quota` slots until a second after the latest moment
//!    at which the API can have counted it: `start + margin`, or its answer if that came sooner. Calls
//!    that jitter on their way by less than the margin can then never share a second with too many.
//! 2. **Latecomers.** What an answer takes longer than the fastest of late may all be time on the way
//!    there, so a late one's call holds its slot for so much longer, or takes one again.
//! 3. **Even spacing.** Inside the log's rule, starts are spread evenly; a timer that fires late may
//!    catch up, because the log still holds.
//!
//! A throttle answer halves the pace at once (additive increase, multiplicative decrease).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// How far behind its even schedule a start may be and still catch up.
const CATCH_UP: Duration = Duration::from_millis(50);
/// The fastest answer is forgotten over so many slower ones: a way that has become longer is not taken
/// for jitter for long. At first nothing is known, and all of an answer's time may have been on the way.
const FORGET_FASTEST: u32 = 128;
/// From a standstill back to the full pace.
const RECOVERY: Duration = Duration::from_secs(50);
/// A pace below this is no pace: one call every ten seconds.
const SLOWEST: f64 = 0.1;

/// Names a started call to the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot(u64);

#[derive(Debug)]
pub(super) struct Pace {
    /// Calls a second that the API allows to us.
    quota: f64,
    /// Calls a second that we make: below the quota for a while after a throttle answer.
    rate: f64,
    margin: Duration,
    /// When each held slot is free again. The number makes entries of the same moment distinct.
    held: BTreeSet<(Instant, Slot)>,
    /// Started and not answered: when it started.
    open: HashMap<Slot, Instant>,
    /// What the fastest answer of late took.
    fastest: Duration,
    next_even: Instant,
    next_slot: u64,
    rate_changed: Instant,
    throttled: Option<Instant>,
}

impl Pace {
    pub(super) fn new(quota: f64, margin: Duration, now: Instant) -> Pace {
        Pace {
            quota,
            rate: quota,
            margin,
            held: BTreeSet::new(),
            open: HashMap::new(),
            fastest: Duration::ZERO,
            next_even: now,
            next_slot: 0,
            rate_changed: now,
            throttled: None,
        }
    }

    /// The quota changed: another worker came or went on the same queue.
    pub(super) fn set_quota(&mut self, quota: f64) {
        self.rate = self.rate * quota / self.quota;
        self.quota = quota;
    }

    /// Somebody else may have made calls until now, from the same quota: ours must not share a second
    /// with theirs.
    pub(super) fn take_over(&mut self, now: Instant) {
        self.next_even = self.next_even.max(now + SECOND + self.margin);
    }

    /// Calls a second at this moment.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        let since = now
            .saturating_duration_since(self.rate_changed)
            .as_secs_f64();
        (self.rate + self.quota * since / RECOVERY.as_secs_f64()).min(self.quota)
    }

    /// The earliest moment at which a call may start, seen from `now`.
    pub(super) fn free_at(&self, now: Instant) -> Instant {
        let full = self.held.len() >= self.slots();
        // With more slots held than there are (the quota shrank), all but `slots - 1` must go first.
        let surplus = (self.held.len() + 1).saturating_sub(self.slots());
        let log = if full {
            self.held.iter().nth(surplus - 1).map(|(free, _)| *free)
        } else {
            None
        };
        log.unwrap_or(now).max(self.next_even).max(now)
    }

    /// A call starts now. Ask [`free_at`](Pace::free_at) first.
    pub(super) fn start(&mut self, now: Instant) -> Slot {
        self.forget_free(now);
        let slot = self.new_slot();
        self.open.insert(slot, now);
        self.held.insert((now + self.margin + SECOND, slot));
        let late = now.checked_sub(CATCH_UP).unwrap_or(now);
        self.next_even = self.next_even.max(late) + Duration::from_secs_f64(1.0 / self.rate(now));
        slot
    }

    /// The answer to a call is here, whatever it says.
    pub(super) fn answered(&mut self, slot: Slot, now: Instant) {
        let Some(started) = self.open.remove(&slot) else {
            return;
        };
        let took = now - started;
        let held_up = took.saturating_sub(self.fastest);
        self.fastest = took.min(self.fastest + held_up / FORGET_FASTEST);
        let arrived = now.min(started + self.margin + held_up);
        self.held.remove(&(started + self.margin + SECOND, slot));
        self.held.insert((arrived + SECOND, slot));
        self.forget_free(now);
    }

    /// The API said that calls come too often. Acts once a second at most, since the answers of all
    /// calls that were out at that moment say the same thing; tells whether it did.
    pub(super) fn throttled(&mut self, now: Instant) -> bool {
        if self.throttled.is_some_and(|last| now < last + SECOND) {
            return false;
        }
        self.throttled = Some(now);
        self.rate = (self.rate(now) / 2.0).max(SLOWEST.min(self.quota));
        self.rate_changed = now;
        self.next_even = self
            .next_even
            .max(now + Duration::from_secs_f64(1.0 / self.rate));
        true
    }

    fn slots(&self) -> usize {
        (self.quota as usize).max(1)
    }

    fn new_slot(&mut self) -> Slot {
        self.next_slot += 1;
        Slot(self.next_slot)
    }

    fn forget_free(&mut self, now: Instant) {
        while self.held.first().is_some_and(|(free, _)| *free <= now) {
            self.held.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const MARGIN: Duration = Duration::from_millis(20);

    /// The largest number of `arrivals` in any half-open second.
    fn busiest(mut arrivals: Vec<Instant>) -> usize {
        arrivals.sort();
        (0..arrivals.len())
            .map(|first| {
                arrivals[first..]
                    .iter()
                    .take_while(|at| **at < arrivals[first] + SECOND)
                    .count()
            })
            .max()
            .unwrap_or(0)
    }

    proptest! {
        /// Timers fire late by up to 30 ms, calls jitter by less than the margin on their way, and
        /// answers take any time.
        #[test]
        fn the_api_never_counts_more_than_the_quota_in_any_second(
            quota in 1u32..120,
            delays in proptest::collection::vec((0u64..30_000, 0u64..19_999, 0u64..900_000), 400),
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut pace = Pace::new(f64::from(quota), MARGIN, now);
            let mut arrivals = Vec::new();
            let mut answers = BTreeSet::new();
            for (late, way, latency) in delays {
                loop {
                    let free = pace.free_at(now);
                    let Some(&(at, slot)) = answers.first().filter(|(at, _)| *at <= free) else { break };
                    answers.pop_first();
                    now = now.max(at);
                    pace.answered(slot, now);
                }
                now = pace.free_at(now) + Duration::from_micros(late % 3_000 * late % 11);
                let slot = pace.start(now);
                let arrival = now + Duration::from_micros(way);
                arrivals.push(arrival);
                answers.insert((arrival + Duration::from_micros(latency), slot));
            }
            prop_assert!(busiest(arrivals) <= quota as usize);
        }
    }

    proptest! {
        /// Any call may be held up on its way for long, as long as its answer then comes as fast as ever.
        #[test]
        fn calls_that_are_held_up_on_their_way_never_share_a_second_with_too_many(
            quota in 1u32..120,
            ways in proptest::collection::vec(prop_oneof![9 => 1u64..5, 1 => 5u64..900], 400),
        ) {
            let answer = Duration::from_millis(30);
            let mut now = Instant::now();
            let mut pace = Pace::new(f64::from(quota), MARGIN, now);
            let mut arrivals = Vec::new();
            let mut answers = BTreeSet::new();
            for way in ways {
                loop {
                    let free = pace.free_at(now);
                    let Some(&(at, slot)) = answers.first().filter(|(at, _)| *at <= free) else { break };
                    answers.pop_first();
                    now = now.max(at);
                    pace.answered(slot, now);
                }
                now = pace.free_at(now);
                let slot = pace.start(now);
                let arrival = now + Duration::from_millis(way);
                arrivals.push(arrival);
                answers.insert((arrival + answer, slot));
            }
            prop_assert!(busiest(arrivals) <= quota as usize);
        }
    }

    #[test]
    fn an_api_whose_answers_all_take_as_long_costs_nothing_but_the_margin() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, MARGIN, start);
        let mut now = start;
        let mut calls = 0;
        let mut open = VecDeque::new();
        while now < start + Duration::from_secs(30) {
            now = pace.free_at(now);
            while let Some((at, slot)) = open.pop_front_if(|(at, _)| *at <= now) {
                pace.answered(slot, at);
            }
            now = pace.free_at(now);
            open.push_back((now + Duration::from_millis(300), pace.start(now)));
            calls += 1;
        }
        assert!(calls >= 96 * 30, "{calls} calls in 30 s");
    }

    #[test]
    fn the_quota_is_used_to_the_last_call_that_the_margin_leaves() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, MARGIN, start);
        let mut now = start;
        let mut calls = 0;
        while now < start + Duration::from_secs(30) {
            now = pace.free_at(now);
            pace.start(now);
            calls += 1;
        }
        assert!(calls >= 98 * 30, "{calls} calls in 30 s");
    }

    #[test]
    fn a_fast_api_gives_back_most_of_the_margin() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, MARGIN, start);
        let mut now = start;
        let mut calls = 0;
        while now < start + Duration::from_secs(30) {
            now = pace.free_at(now);
            let slot = pace.start(now);
            pace.answered(slot, now + Duration::from_millis(2));
            calls += 1;
        }
        assert!(calls >= 2_990, "{calls} calls in 30 s");
    }

    #[test]
    fn calls_are_spread_and_not_sent_in_a_burst() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, MARGIN, start);
        let mut now = start;
        for _ in 0..50 {
            now = pace.free_at(now);
            pace.start(now);
        }
        assert_eq!(now - start, Duration::from_millis(490));
    }

    #[test]
    fn a_call_that_was_held_up_takes_a_slot_again_when_it_is_answered() {
        let start = Instant::now();
        let mut pace = Pace::new(1.0, MARGIN, start);
        let slot = pace.start(start);
        let late = start + Duration::from_secs(5);
        assert_eq!(pace.free_at(late), late);
        pace.answered(slot, late);
        assert_eq!(pace.free_at(late), late + SECOND);
    }

    #[test]
    fn throttling_halves_the_pace_once_a_second_and_it_grows_back() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, MARGIN, start);
        pace.throttled(start);
        pace.throttled(start + Duration::from_millis(500));
        assert_eq!(pace.rate(start), 50.0);
        pace.throttled(start + Duration::from_millis(1000));
        assert!(pace.rate(start + SECOND) < 30.0);
        assert_eq!(pace.rate(start + Duration::from_secs(60)), 100.0);
    }

    #[test]
    fn a_share_below_one_call_a_second_is_kept_by_the_spacing() {
        let start = Instant::now();
        let mut pace = Pace::new(1.0, MARGIN, start);
        pace.set_quota(0.5);
        pace.start(start);
        assert_eq!(pace.free_at(start), start + Duration::from_secs(2));
    }
}
