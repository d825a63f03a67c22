//! When the next call may start.
//!
//! The API counts calls in a sliding second of its own. What counts is therefore when a call
//! *arrives there*, and all that is known here is that this lies between its start and its answer.
//! Three rules follow:
//!
//! 1. **The log.** Each call holds one of `quota` slots until a second after the moment at which the
//!    API may have counted it. A call that is out holds its slot in any case.
//! 2. **The moment.** Once a call is answered, all of its time above the quickest answer of late may have
//!    been spent on the way there. So it counts from `start + that time` and some more, since even the
//!    quickest was on its way for a moment; at least from `start + margin`, and at most from its answer.
//!    Until enough answers are known, each counts from its answer. Calls that are held up on their way and
//!    arrive together can then never share a second with too many others.
//! 3. **Even spacing.** Inside the log's rule, starts are spread evenly; a timer that fires late may
//!    catch up, because the log still holds.
//!
//! A way that has been long for all calls and becomes shorter at one moment is beyond this: nothing here tells
//! it from an API that was slow and becomes quick.
//!
//! A throttle answer halves the pace at once (additive increase, multiplicative decrease).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// How far behind its even schedule a start may be and still catch up.
const CATCH_UP: Duration = Duration::from_millis(50);
/// From a standstill back to the full pace.
const RECOVERY: Duration = Duration::from_secs(50);
/// Answers after which the quickest of them says how long the API itself takes: among so many, one had an
/// undisturbed way.
const ENOUGH_ANSWERS: u32 = 64;
const GENERATION: Duration = Duration::from_secs(5);
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
    /// Calls that are out: when each started.
    open: HashMap<Slot, Instant>,
    /// When the slot of each answered call is free again. The number tells entries of one moment apart.
    held: BTreeSet<(Instant, Slot)>,
    answers: Answers,
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
            open: HashMap::new(),
            held: BTreeSet::new(),
            answers: Answers::default(),
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

    /// The earliest moment at which a call may start, seen from `now`. None: not before an answer.
    pub(super) fn free_at(&self, now: Instant) -> Option<Instant> {
        let held = self.held.len() + self.open.len();
        let log = match (held + 1).checked_sub(self.slots()) {
            None | Some(0) => now,
            // So many must be free again first. A call that is out tells no time for its slot.
            Some(surplus) => self.held.iter().nth(surplus - 1).map(|(free, _)| *free)?,
        };
        Some(log.max(self.next_even).max(now))
    }

    /// A call starts now. Ask [`free_at`](Pace::free_at) first.
    pub(super) fn start(&mut self, now: Instant) -> Slot {
        self.forget_free(now);
        self.next_slot += 1;
        let slot = Slot(self.next_slot);
        self.open.insert(slot, now);
        let late = now.checked_sub(CATCH_UP).unwrap_or(now);
        self.next_even = self.next_even.max(late) + Duration::from_secs_f64(1.0 / self.rate(now));
        slot
    }

    /// The call is over. Successes tell how long the API takes, of themselves only: a refusal may come from
    /// its door at once, and so counts from its answer.
    pub(super) fn answered(&mut self, slot: Slot, succeeded: bool, now: Instant) {
        let Some(started) = self.open.remove(&slot) else {
            return;
        };
        let took = now.saturating_duration_since(started);
        let way = match succeeded {
            true => self.answers.way(took) + self.margin / 2,
            false => took,
        };
        let counted = started + way.max(self.margin).min(took);
        self.held.insert((counted + SECOND, slot));
        if succeeded {
            self.answers.learn(took, now);
        }
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

    fn forget_free(&mut self, now: Instant) {
        while self.held.first().is_some_and(|(free, _)| *free <= now) {
            self.held.pop_first();
        }
    }
}

/// How long the API itself takes, as far as its answers of late tell: over one to two generations of them,
/// so that this follows an API that becomes slower for good.
#[derive(Debug, Default)]
struct Answers {
    current: Generation,
    previous: Option<Generation>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Generation {
    began: Option<Instant>,
    answers: u32,
    quickest: Duration,
    total: Duration,
}

impl Answers {
    /// What of `took` may have been the way to the API; all of it, until there were enough answers to tell.
    /// The more the answers differ and the fewer they are, the less is known of what the API takes at least:
    /// where time is spent in three places (there, at the API, and back), the quickest of `n` answers is above
    /// the least that is possible by some `n^(-1/3)` of how much they differ.
    fn way(&self, took: Duration) -> Duration {
        let known = self.current.answers >= ENOUGH_ANSWERS;
        let generations = [known.then_some(self.current), self.previous];
        let quickest = |generation: &Generation| generation.quickest;
        let Some(best) = generations.into_iter().flatten().min_by_key(quickest) else {
            return took;
        };
        let quickest = best.quickest.min(self.quickest_now());
        // One that is quicker than all before shows that these say too little.
        if took < quickest {
            return took;
        }
        let mean = best.total / best.answers;
        let unknown = 2.0 / f64::from(best.answers).cbrt();
        took - quickest + mean.saturating_sub(quickest).mul_f64(unknown)
    }

    fn quickest_now(&self) -> Duration {
        match self.current.answers {
            0 => Duration::MAX,
            _ => self.current.quickest,
        }
    }

    fn learn(&mut self, took: Duration, now: Instant) {
        let before = self.previous.map_or(Duration::ZERO, |it| it.quickest);
        if took < before / 2 {
            // The API is another one than it was.
            *self = Answers::default();
        }
        let current = &mut self.current;
        let began = *current.began.get_or_insert(now);
        if now >= began + GENERATION && current.answers >= ENOUGH_ANSWERS {
            self.previous = Some(std::mem::take(current));
            current.began = Some(now);
        }
        current.quickest = match current.answers {
            0 => took,
            _ => took.min(current.quickest),
        };
        current.answers += 1;
        current.total += took;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARGIN: Duration = Duration::from_millis(20);
    const LEARNT: usize = 200;

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

    /// A run of calls: each timer fires `late`, each call is `way` on its way, and its answer comes
    /// `rest` after it was counted. All in microseconds.
    struct Run {
        arrivals: Vec<Instant>,
        started: Vec<Instant>,
    }

    fn run(quota: u32, calls: impl IntoIterator<Item = (u64, u64, u64)>) -> Run {
        let mut now = Instant::now();
        let mut pace = Pace::new(f64::from(quota), MARGIN, now);
        let mut run = Run {
            arrivals: Vec::new(),
            started: Vec::new(),
        };
        let mut answers: BTreeSet<(Instant, Slot)> = BTreeSet::new();
        for (late, way, rest) in calls {
            let start = loop {
                let free = pace.free_at(now);
                match answers.first().copied() {
                    Some((at, slot)) if free.is_none_or(|free| at <= free) => {
                        answers.pop_first();
                        now = now.max(at);
                        pace.answered(slot, true, now);
                    }
                    _ => break free.expect("without a call out, a slot tells its time"),
                }
            };
            now = start + Duration::from_micros(late);
            while let Some((at, slot)) = answers.first().copied().filter(|(at, _)| *at <= now) {
                answers.pop_first();
                pace.answered(slot, true, at);
            }
            let slot = pace.start(now);
            let arrival = now + Duration::from_micros(way);
            run.started.push(now);
            run.arrivals.push(arrival);
            answers.insert((arrival + Duration::from_micros(rest), slot));
        }
        run
    }

    /// Calls a second, once the latency is learnt.
    fn rate(run: &Run) -> f64 {
        let (first, last) = (run.started[LEARNT], *run.started.last().unwrap());
        (run.started.len() - 1 - LEARNT) as f64 / (last - first).as_secs_f64()
    }

    proptest! {
        /// Timers fire late, and calls jitter by less than the margin on their way.
        #[test]
        fn the_api_never_counts_more_than_the_quota_in_any_second(
            quota in 1u32..120,
            calls in proptest::collection::vec((0u64..30_000, 0u64..19_999, 0u64..900_000), 400),
        ) {
            prop_assert!(busiest(run(quota, calls).arrivals) <= quota as usize);
        }

        /// The way to the API stands still now and then, and lets go of everything at once.
        #[test]
        fn a_way_that_is_held_up_for_a_while_breaks_no_quota(
            stalls in proptest::collection::vec((100usize..150, 50_000u64..3_000_000), 3),
            jitter in proptest::collection::vec((0u64..2_000, 0u64..4_000), 450),
        ) {
            let mut calls: Vec<(u64, u64, u64)> =
                jitter.iter().map(|(late, rest)| (*late, 500, 18_000 + rest)).collect();
            let mut at = 0;
            for (gap, length) in stalls {
                at += gap;
                // A stall hits the calls of its time: each waits for what is left of it.
                let mut left = length;
                for call in calls.iter_mut().skip(at).take(16) {
                    call.1 = call.1.max(left);
                    left = left.saturating_sub(10_000);
                }
            }
            prop_assert!(busiest(run(100, calls).arrivals) <= 100);
        }
    }

    #[test]
    fn the_quota_is_used_to_the_last_call_that_the_margin_leaves() {
        for latency in [20_000, 100_000, 400_000] {
            let run = run(
                100,
                (0..5_000).map(|number| (0, 1_000, latency + number * 7_919 % 5_000)),
            );
            assert!(
                rate(&run) >= 97.9,
                "{:.2} calls/s at {latency} us",
                rate(&run)
            );
        }
    }

    #[test]
    fn an_api_that_becomes_slower_for_good_costs_some_seconds_of_full_pace() {
        let slower = |number| if number < 500 { 20_000 } else { 400_000 };
        let mut run = run(100, (0..4_000).map(|number| (0, 1_000, slower(number))));
        run.started.drain(..1_500);
        assert!(rate(&run) >= 97.9, "{:.2} calls/s", rate(&run));
    }

    #[test]
    fn a_fast_api_gives_back_most_of_the_margin() {
        let run = run(100, (0..5_000).map(|_| (0, 1_000, 1_000)));
        assert!(rate(&run) >= 99.7, "{:.2} calls/s", rate(&run));
    }

    #[test]
    fn calls_are_spread_and_not_sent_in_a_burst() {
        let run = run(100, (0..51).map(|_| (0, 1_000, 1_000)));
        assert_eq!(
            *run.started.last().unwrap() - run.started[0],
            Duration::from_millis(500)
        );
    }

    #[test]
    fn a_refused_call_counts_from_its_answer_as_the_refusal_may_be_quicker_than_any_success() {
        let mut now = Instant::now();
        let mut pace = Pace::new(100.0, MARGIN, now);
        let took = Duration::from_millis(200);
        for succeeded in std::iter::repeat_n(true, LEARNT).chain([false]) {
            let slot = pace.start(now);
            now += took;
            pace.answered(slot, succeeded, now);
            let free = pace.held.iter().find(|(_, held)| *held == slot).unwrap().0;
            assert!(succeeded || free == now + SECOND);
        }
    }

    #[test]
    fn a_call_that_is_out_holds_its_slot() {
        let start = Instant::now();
        let mut pace = Pace::new(1.0, MARGIN, start);
        let slot = pace.start(start);
        let late = start + Duration::from_secs(5);
        assert_eq!(pace.free_at(late), None);
        pace.answered(slot, true, late);
        assert_eq!(pace.free_at(late), Some(late + SECOND));
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
        let slot = pace.start(start);
        pace.answered(slot, true, start);
        assert_eq!(pace.free_at(start), Some(start + Duration::from_secs(2)));
    }
}
