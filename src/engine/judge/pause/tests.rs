use super::*;

const REASON: PauseReason = PauseReason::NO_ANSWER;

/// How long the pause waits before each of its next probes, all of which fail.
fn waits(pauses: &mut Pauses, now: &mut Instant, probes: u64) -> Vec<u64> {
    let mut jitter = Jitter::new(7);
    let wait = |number| {
        let pause = pauses.current.as_mut().unwrap();
        let waits = pause.wait;
        assert!((waits / 2..=waits).contains(&(pause.probe_at - *now)));
        *now = pause.probe_at;
        pause.probe = Some(WindowId(number));
        pauses.probe_over(WindowId(number), false, &mut jitter, *now);
        waits.as_secs()
    };
    (0..probes).map(wait).collect()
}

#[test]
fn probes_are_ever_further_apart_up_to_a_minute_and_the_next_pause_begins_with_a_part_of_that() {
    let mut now = Instant::now();
    let mut pauses = Pauses::default();
    assert_eq!(pauses.pause(REASON, now, now), Some(PROBE_MIN));
    assert_eq!(pauses.pause(REASON, now, now), None, "a pause is told once");
    assert_eq!(
        waits(&mut pauses, &mut now, 8),
        [1, 2, 4, 8, 16, 32, 60, 60]
    );
    assert!(pauses.end(now, now).is_some());
    pauses.pause(REASON, now, now);
    assert_eq!(waits(&mut pauses, &mut now, 3), [15, 30, 60]);
    assert!(pauses.end(now, now).is_some());
    now += AGAIN;
    pauses.pause(REASON, now, now);
    assert_eq!(waits(&mut pauses, &mut now, 2), [1, 2]);
}

#[test]
fn a_late_success_from_before_the_failure_ends_no_pause() {
    let now = Instant::now();
    let mut pauses = Pauses::default();
    let doubted = now + Duration::from_secs(1);
    pauses.pause(REASON, doubted, doubted);
    assert!(pauses.end(now, doubted).is_none());
    assert!(pauses.end(doubted, doubted).is_some());
}
