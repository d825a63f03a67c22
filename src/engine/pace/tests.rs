use std::collections::BTreeSet;

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
    let mut answers: BTreeSet<(Instant, Slot, Instant)> = BTreeSet::new();
    for (late, way, rest) in calls {
        let start = loop {
            let free = pace.free_at(now);
            match answers.first().copied() {
                Some((at, slot, started)) if free.is_none_or(|free| at <= free) => {
                    answers.pop_first();
                    now = now.max(at);
                    pace.answered(slot, started, true, now);
                }
                _ => break free.expect("without a call out, a slot tells its time"),
            }
        };
        now = start + Duration::from_micros(late);
        while let Some((at, slot, started)) = answers.first().copied().filter(|(at, ..)| *at <= now)
        {
            answers.pop_first();
            pace.answered(slot, started, true, at);
        }
        let slot = pace.start(now);
        let arrival = now + Duration::from_micros(way);
        run.started.push(now);
        run.arrivals.push(arrival);
        answers.insert((arrival + Duration::from_micros(rest), slot, now));
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
            for call in calls.iter_mut().skip(at) {
                call.1 = call.1.max(left);
                left = left.saturating_sub(10_000);
            }
        }
        prop_assert!(busiest(run(100, calls).arrivals) <= 100);
    }
}

/// What the API took before the stall says nothing of what it takes after it.
#[test]
fn a_way_that_is_held_up_while_the_api_becomes_quicker_breaks_no_quota() {
    for slow in [100_000, 200_000, 400_000] {
        let before = (0..300).map(|call| (0, 500, slow + call % 7 * 3_000));
        let held_up = (0..100).map(|left| (0, 3_000_000 - left * 10_000, 5_000));
        let after = (0..300).map(|_| (0, 500, 5_000));
        let run = run(100, before.chain(held_up).chain(after));
        assert!(busiest(run.arrivals) <= 100, "{slow}");
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
        let started = now;
        let slot = pace.start(now);
        now += took;
        pace.answered(slot, started, succeeded, now);
        let free = pace
            .log
            .held
            .iter()
            .find(|(_, held)| *held == slot)
            .unwrap()
            .0;
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
    pace.answered(slot, start, true, late);
    assert_eq!(pace.free_at(late), Some(late + SECOND));
}

#[test]
fn throttling_halves_the_pace_once_for_all_calls_that_were_out_and_it_grows_back() {
    let start = Instant::now();
    let mut pace = Pace::new(100.0, MARGIN, start);
    let slow = |second| start + Duration::from_secs(second);
    assert!(pace.throttled(start, slow(1)));
    for answer in 2..18 {
        assert!(
            !pace.throttled(start, slow(answer)),
            "it had started before"
        );
    }
    assert!(pace.rate.at(slow(2)) >= 50.0);
    assert!(pace.throttled(slow(2), slow(2)));
    assert!(pace.rate.at(slow(2)) < 30.0);
    assert_eq!(pace.rate.at(slow(60)), 100.0);
}

#[test]
fn calls_that_hang_leave_nine_tenths_of_the_quota() {
    // Every twentieth call hangs for ten seconds at the API.
    let run = run(
        100,
        (0..6_000).map(|number| (0, 1_000, if number % 20 == 0 { 10_000_000 } else { 20_000 })),
    );
    assert!(rate(&run) >= 90.0, "{:.2} calls/s", rate(&run));
    assert!(busiest(run.arrivals) <= 100);
}

#[test]
fn a_share_below_one_call_a_second_is_kept_by_the_spacing() {
    let start = Instant::now();
    let mut pace = Pace::new(1.0, MARGIN, start);
    pace.rate.set_quota(0.5);
    let slot = pace.start(start);
    pace.answered(slot, start, true, start);
    assert_eq!(pace.free_at(start), Some(start + Duration::from_secs(2)));
}
