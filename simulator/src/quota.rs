//! Calls counted over a true sliding second, per interface.
//!
//! A fixed one-second bucket would allow twice the quota across its boundary, and would
//! underestimate the busiest second. Here the second that ends now is `(now - 1 s, now]`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// What one interface saw. Times must not go backwards from call to call.
#[derive(Default)]
pub(crate) struct Meter {
    arrived: SlidingSecond,
    accepted: SlidingSecond,
    largest: usize,
}

impl Meter {
    /// Counts a call that arrived, whatever becomes of it.
    pub(crate) fn arrive(&mut self, now: Instant) {
        self.arrived.push(now);
        self.largest = self.largest.max(self.arrived.count(now));
    }

    /// Takes a call into the quota of `limit` a second (`None`: no limit), or says no. A refused
    /// call uses up nothing.
    pub(crate) fn admit(&mut self, now: Instant, limit: Option<u32>) -> bool {
        let room = limit.is_none_or(|limit| self.accepted.count(now) < limit as usize);
        if room {
            self.accepted.push(now);
        }
        room
    }

    /// The largest number of calls that ever arrived within one second, over the whole run. Exact:
    /// a maximum of a sliding window is always reached at an arrival.
    pub(crate) fn largest_second(&self) -> usize {
        self.largest
    }
}

#[derive(Default)]
struct SlidingSecond(VecDeque<Instant>);

impl SlidingSecond {
    fn push(&mut self, now: Instant) {
        self.forget_before(now);
        self.0.push_back(now);
    }

    fn count(&mut self, now: Instant) -> usize {
        self.forget_before(now);
        self.0.len()
    }

    fn forget_before(&mut self, now: Instant) {
        while self
            .0
            .front()
            .is_some_and(|&time| now.duration_since(time) >= SECOND)
        {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Option<u32> = Some(100);

    #[test]
    fn the_101st_call_of_a_sliding_second_is_refused_across_a_bucket_edge() {
        let start = Instant::now();
        let mut meter = Meter::default();
        for call in 0..100 {
            let at = start + Duration::from_millis(900 + call);
            assert!(meter.admit(at, LIMIT), "call {call}");
        }
        assert!(!meter.admit(start + Duration::from_millis(1_000), LIMIT));
        assert!(!meter.admit(start + Duration::from_micros(1_899_999), LIMIT));
        assert!(meter.admit(start + Duration::from_millis(1_900), LIMIT));
        assert!(!meter.admit(start + Duration::from_millis(1_900), LIMIT));
    }

    #[test]
    fn the_largest_second_is_exact_and_counts_refused_calls() {
        let start = Instant::now();
        let mut meter = Meter::default();
        for millis in [0, 400, 800, 999, 1_000, 1_100, 5_000] {
            meter.arrive(start + Duration::from_millis(millis));
        }
        // (100 ms, 1100 ms] holds 400, 800, 999, 1000 and 1100.
        assert_eq!(meter.largest_second(), 5);
    }

    #[test]
    fn without_a_limit_everything_is_admitted() {
        let now = Instant::now();
        let mut meter = Meter::default();
        assert!((0..10_000).all(|_| meter.admit(now, None)));
    }
}
