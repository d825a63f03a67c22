//! Ordinary days: windows, duplicates, back-pressure.

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
fn an_idle_worker_calls_when_the_oldest_id_has_waited_for_max_wait() {
    let mut world = World::new(settings(), |_, _| ok());
    world.publish([1]);
    world.run_for(Duration::from_millis(100));
    world.publish([2]);
    world.run_for(SECOND);
    let (at, users, trigger) = &world.calls[0];
    assert_eq!((users.len(), *trigger), (2, Trigger::Expired));
    assert_eq!(*at - world.start, Duration::from_millis(500));
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
fn an_event_with_thousands_of_users_stops_intake_until_calls_catch_up() {
    let mut world = World::new(settings(), |_, _| ok());
    world.publish(0..5_000);
    world.publish([9_999]);
    world.run_for(Duration::from_millis(1));
    assert_eq!(world.engine.status(world.now).tally.events_accepted, 1);
    world.run_for(SECOND * 2);
    world.assert_all_settled();
}
