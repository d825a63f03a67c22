use super::*;
use crate::engine::Tally;

const LIMIT: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3_600);

/// Connected, at a moment.
fn connected() -> (Condition, Instant) {
    let now = Instant::now();
    let mut condition = Condition::new(LIMIT, 100, now);
    condition.opened(now, 1);
    (condition, now)
}

fn idle() -> Status {
    Status {
        paused: None,
        paused_for: None,
        probe_in: None,
        operator_pause: None,
        suspended: false,
        draining: false,
        pending_ids: 0,
        in_flight_calls: 0,
        unsettled_deliveries: 0,
        told_to_wait: None,
        without_lease: None,
        nobody_cleared: None,
        failed_calls: 0,
        refused_letters: 0,
        calls_per_second: 100.0,
        tally: Tally::default(),
    }
}

/// The broker counts messages that wait in the queue.
fn count(condition: &mut Condition, ready: u32, now: Instant) {
    let queue = QueueCount {
        ready,
        consumers: 1,
        share: 1,
        dead_letters: None,
    };
    condition.counted(queue, true, now);
}

#[test]
fn an_idle_hour_is_no_stall() {
    let (mut condition, now) = connected();
    for second in 0..3_600 {
        let now = now + Duration::from_secs(second);
        count(&mut condition, 0, now);
        assert_eq!(condition.stall(0, false, now), None);
    }
    // And the first event after it has all its time.
    condition.delivered(true, now + HOUR);
    assert_eq!(condition.stall(1, false, now + HOUR), None);
    assert_eq!(
        condition.stall(1, false, now + HOUR + LIMIT),
        Some(Stall::Settling(LIMIT))
    );
}

#[test]
fn events_in_hand_without_a_sign_are_a_stall_and_more_deliveries_are_no_sign() {
    let (mut condition, now) = connected();
    condition.delivered(true, now);
    condition.delivered(false, now + LIMIT / 2);
    assert_eq!(condition.stall(2, false, now + LIMIT / 2), None);
    assert_eq!(
        condition.stall(2, false, now + LIMIT),
        Some(Stall::Settling(LIMIT))
    );
    condition.progress(now + LIMIT);
    assert_eq!(condition.stall(1, false, now + LIMIT), None);
}

#[test]
fn a_pause_is_no_stall_however_long_and_its_end_gives_new_time() {
    let (mut condition, now) = connected();
    condition.delivered(true, now);
    assert_eq!(condition.stall(1, true, now + 24 * HOUR), None);
    condition.progress(now + 24 * HOUR);
    assert_eq!(condition.stall(1, false, now + 24 * HOUR), None);
}

#[test]
fn an_operators_pause_is_no_stall_and_goes_before_one_for_the_api() {
    let (mut condition, now) = connected();
    condition.delivered(true, now);
    let status = Status {
        paused: Some(PauseReason::NO_ANSWER),
        operator_pause: Some(24 * HOUR),
        unsettled_deliveries: 3,
        ..idle()
    };
    let later = now + 24 * HOUR;
    let view = condition.view(later, status, InHand::default(), Recent::new(now));
    assert_eq!(view.state, State::Paused(Pause::Operator));
    assert_eq!((view.stall, view.state_for), (None, 24 * HOUR));
    condition.operator(later, false);
    assert_eq!(condition.stall(3, false, later + LIMIT / 2), None);
}

#[test]
fn the_first_delivery_tells_how_long_it_was_waited_for_and_no_other_does() {
    let (mut condition, now) = connected();
    assert_eq!(condition.delivered(true, now + HOUR), Some(HOUR));
    assert_eq!(condition.delivered(true, now + 2 * HOUR), None);
    condition.lost(now + 2 * HOUR, &Loss::Cancelled);
    condition.opened(now + 3 * HOUR, 1);
    assert_eq!(condition.delivered(true, now + 4 * HOUR), Some(HOUR));
    // Where all workers share a queue, nobody stands by.
    condition.opened(now + 4 * HOUR, 2);
    assert_eq!(condition.delivered(true, now + 5 * HOUR), None);
}

#[test]
fn messages_that_wait_for_us_and_do_not_come_are_a_stall() {
    let (mut condition, now) = connected();
    condition.delivered(true, now);
    count(&mut condition, 1, now);
    count(&mut condition, 1, now + LIMIT);
    let stall = condition.stall(0, false, now + LIMIT);
    assert_eq!(stall, Some(Stall::Receiving(LIMIT)));
    condition.delivered(true, now + LIMIT);
    assert_eq!(condition.stall(1, false, now + LIMIT), None);
}

#[test]
fn looking_for_the_broker_is_no_stall_within_its_bound() {
    let (mut condition, now) = connected();
    condition.delivered(true, now);
    condition.lost(now, &Loss::Cancelled);
    condition.lost(now + LIMIT, &Loss::Cancelled);
    assert_eq!(condition.stall(0, false, now + 2 * LIMIT), None);
    let stall = condition.stall(0, false, now + CONNECTING_LIMIT);
    assert_eq!(stall, Some(Stall::Connecting(CONNECTING_LIMIT)));
    condition.opened(now, 1);
    assert_eq!(condition.stall(0, false, now + CONNECTING_LIMIT), None);
}

#[test]
fn a_call_that_ended_is_progress_though_nothing_was_acknowledged() {
    let (mut condition, now) = connected();
    condition.delivered(true, now);
    for calls in 1..100 {
        let now = now + calls * LIMIT / 2;
        condition.progress(now);
        assert_eq!(condition.stall(1, false, now + LIMIT / 2), None);
    }
}

#[test]
fn messages_are_not_waited_for_while_another_worker_may_have_the_queue_or_none_are_wanted() {
    let (mut condition, now) = connected();
    let unheeded = |condition: &mut Condition| {
        count(condition, 1, now);
        condition.stall(0, false, now + 2 * LIMIT)
    };
    assert_eq!(unheeded(&mut condition), None);
    condition.delivered(true, now);
    assert_eq!(unheeded(&mut condition), Some(Stall::Receiving(2 * LIMIT)));
    condition.consume(now, false);
    assert_eq!(unheeded(&mut condition), None);
    condition.consume(now, true);
    assert_eq!(unheeded(&mut condition), None);
}

#[test]
fn calls_that_only_fail_and_a_refused_dead_letter_are_a_hindrance() {
    let (mut condition, now) = connected();
    condition.call_over(Some("timed out".to_owned()));
    let fine = Status {
        unsettled_deliveries: 1,
        failed_calls: FAILED_CALLS - 1,
        ..idle()
    };
    assert_eq!(condition.hindrance(&fine, now), None);
    let failing = Status {
        failed_calls: FAILED_CALLS,
        ..fine
    };
    let why = condition.hindrance(&failing, now);
    assert_eq!(why.as_deref(), Some("the last 8 calls failed: timed out"));
    condition.letter_refused(LetterRefusal::Nacked);
    let refused = Status {
        refused_letters: 1,
        ..fine
    };
    let why = condition.hindrance(&refused, now).expect("a hindrance");
    assert!(why.starts_with("the broker refuses dead letters"), "{why}");
}

#[test]
fn a_broker_that_fails_again_and_again_is_told_between_the_failures_too() {
    let (mut condition, now) = connected();
    condition.lost(now, &Loss::Ended(Cause::Internal));
    condition.opened(now, 1);
    assert!(condition.broker_fails(now + FAILED_LATELY / 2));
    assert!(!condition.broker_fails(now + FAILED_LATELY));
}

#[test]
fn a_wait_that_the_api_asked_for_and_a_slow_broker_are_a_hindrance_while_users_wait() {
    let (condition, now) = connected();
    let told = Status {
        told_to_wait: Some(Duration::from_secs(42)),
        ..idle()
    };
    let slow = Status {
        without_lease: Some(UNLEASED),
        ..idle()
    };
    for (status, wanted) in [(told, "to wait: 42 s left"), (slow, "no call may start")] {
        assert_eq!(condition.hindrance(&status, now), None);
        let waiting = Status {
            pending_ids: 1,
            ..status
        };
        let why = condition.hindrance(&waiting, now).expect("a hindrance");
        assert!(why.contains(wanted), "{why}");
    }
}

#[test]
fn an_alarm_of_the_broker_is_a_hindrance_until_it_ends_or_the_session_does() {
    let (mut condition, now) = connected();
    condition.blocked(true);
    let why = condition.hindrance(&idle(), now).expect("a hindrance");
    assert!(why.contains("alarm"), "{why}");
    condition.blocked(false);
    assert_eq!(condition.hindrance(&idle(), now), None);
    condition.blocked(true);
    condition.lost(now, &Loss::Cancelled);
    assert_eq!(condition.hindrance(&idle(), now), None);
}
