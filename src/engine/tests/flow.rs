//! Ordinary days: windows, duplicates, back-pressure.

use std::cell::RefCell;

use super::*;

#[test]
fn under_load_every_window_is_full_and_the_quota_is_kept() {
    let mut world = World::new(settings(), |_, _| ok());
    for number in 0..50_000 {
        world.publish([number]);
    }
    world.run_for(Duration::from_secs(6));
    world.assert_all_settled();
    assert!(world.calls.iter().all(|(_, users, _)| users.len() == 100));
    assert!(world.busiest_second() <= 100);
    let last = world.calls.last().unwrap().0 - world.start;
    assert!(
        last < Duration::from_millis(5_150),
        "500 calls took {last:?}"
    );
}

#[test]
fn calls_that_are_not_full_are_max_wait_apart_and_the_first_one_is_made_at_once() {
    let mut world = World::new(settings(), |_, _| ok());
    for number in 0..20 {
        world.publish([number]);
        world.run_for(Duration::from_millis(100));
    }
    world.run_for(SECOND);
    let calls = world.calls.iter().map(|(at, users, trigger)| {
        assert_eq!(*trigger, Trigger::Expired);
        ((*at - world.start).as_millis(), users.len())
    });
    let calls: Vec<_> = calls.collect();
    assert_eq!(
        calls,
        [(0, 1), (500, 4), (1_000, 5), (1_500, 5), (2_000, 5)]
    );
    world.assert_all_settled();
}

#[test]
fn without_a_sign_of_life_from_the_broker_no_call_is_made_and_the_status_says_for_how_long() {
    let lease = Some(SECOND * 5);
    let settings = Settings {
        lease,
        ..settings()
    };
    let mut world = World::new(settings, |_, _| ok());
    world.publish([1]);
    world.run_for(SECOND * 20);
    assert!(world.calls.is_empty());
    let since = world.engine.status(world.now).without_lease.unwrap();
    assert!(since >= SECOND * 20, "{since:?}");

    world
        .engine
        .handle(world.now, Input::InTouch { since: world.now });
    assert_eq!(world.engine.status(world.now).without_lease, None);
    world.run_for(SECOND);
    world.assert_all_settled();
}

#[test]
fn a_duplicate_that_waits_shares_the_call_and_one_in_a_call_gets_a_call_of_its_own() {
    let mut world = World::new(settings(), |_, _| ok());
    world.publish([1]);
    world.publish([1]);
    world.run_for(Duration::from_millis(510));
    assert_eq!(world.calls.len(), 1);
    world.publish([1]);
    world.run_for(SECOND);
    assert_eq!(world.calls.len(), 2);
    world.assert_all_settled();
}

#[test]
fn events_with_thousands_of_users_stop_intake_until_calls_catch_up() {
    let mut world = World::new(settings(), |_, _| ok());
    for _ in 0..10 {
        let first = world.published * 10_000;
        world.publish(first..first + 10_000);
    }
    world.run_for(Duration::from_millis(1));
    let status = world.engine.status(world.now);
    let read = status.pending_ids as u64 + status.tally.called_users;
    assert_eq!(read, 3 * 10_000);
    world.run_for(SECOND * 11);
    world.assert_all_settled();
}

#[test]
fn calls_that_hang_leave_the_quota_to_the_others_or_ask_for_more_calls_in_flight() {
    for (max_in_flight, least) in [(64, 90 * 60), (16, 20 * 60)] {
        let settings = Settings {
            max_in_flight,
            max_ids: 10,
            prefetch: 10 * (max_in_flight + 2),
            ..settings()
        };
        let rng = RefCell::new(fastrand::Rng::with_seed(5));
        let mut world = World::new(settings, |_, _| ok());
        world.slow = Box::new(move |_| rng.borrow_mut().f64() < 0.05);
        for number in 0..80_000 {
            world.publish([number]);
        }
        world.run_for(MINUTE + SECOND * 10);
        let since = world.start + SECOND * 10;
        let calls = world.calls.iter().filter(|(at, ..)| *at >= since).count();
        assert!(
            calls >= least,
            "{calls} calls a minute with {max_in_flight} in flight"
        );
        // The worker warns from ten seconds a minute on.
        let held_up = world.engine.status(world.now).tally.held_up;
        match max_in_flight {
            16 => assert!(held_up >= SECOND * 30, "{held_up:?} with 16 in flight"),
            _ => assert!(held_up < SECOND * 10, "{held_up:?} with 64 in flight"),
        }
    }
}

#[test]
fn in_a_quiet_queue_the_first_id_is_called_at_once() {
    let mut world = World::new(settings(), |_, _| ok());
    for second in 0..60 {
        world.run_until(world.start + SECOND * second);
        world.publish([second as usize]);
    }
    world.run_for(SECOND);
    for (second, (at, ..)) in world.calls.iter().enumerate() {
        assert_eq!(*at - world.start, SECOND * second as u32);
    }
}
