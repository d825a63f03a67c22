//! What goes back to the queue, is lost with a session, or is too long for one hold limit.

use super::*;

#[test]
fn a_long_event_ends_each_of_its_users_is_called_about_once_and_small_ones_get_their_turn() {
    let settings = Settings {
        calls_per_second: 1,
        hold_limit: MINUTE,
        ..settings()
    };
    let mut world = World::new(settings, |_, _| ok());
    world.requeue_at_head = true;
    world.publish(0..10_000);
    for number in 0..5 {
        world.publish([20_000 + number]);
    }
    world.run_for(SECOND * 10);
    assert_eq!(world.acknowledged.len(), 5, "the small ones get their turn");
    world.settle_within(MINUTE * 4);
    let called: usize = world.calls.iter().map(|(_, users, _)| users.len()).sum();
    assert!(called <= 10_005 + 2 * 100, "{called} users called");
    assert!(world.handed_back <= 2);
}

#[test]
fn a_long_event_that_is_published_twice_ends_too() {
    let settings = Settings {
        calls_per_second: 1,
        hold_limit: MINUTE,
        ..settings()
    };
    let mut world = World::new(settings, |_, _| ok());
    world.publish(0..10_000);
    let same = world.queue[0].clone();
    world.queue.push_back(same);
    world.run_for(MINUTE * 6);
    world.assert_all_settled();
    let called: usize = world.calls.iter().map(|(_, users, _)| users.len()).sum();
    assert!(called <= 10_000 + 2 * 200, "{called} users called");
}

#[test]
fn what_is_done_of_an_event_is_kept_however_often_it_goes_back() {
    let settings = Settings {
        hold_limit: MINUTE,
        max_attempts: 10_000,
        ..settings()
    };
    let never = |_: &World, users: &[UserId]| match users.contains(&user(1)) {
        true => Answer::Done {
            failed: vec![(user(1), 91000)],
        },
        false => ok(),
    };
    let mut world = World::new(settings, never);
    world.publish([0, 1]);
    for number in 2..400 {
        world.publish([number]);
        world.run_for(SECOND);
    }
    assert!(world.handed_back >= 4);
    let calls = world.calls.iter();
    let calls = calls.filter(|(_, users, _)| users.contains(&user(0)));
    assert_eq!(calls.count(), 1);
}

#[test]
fn a_suspect_whose_delivery_goes_back_during_its_call_is_still_known_when_it_comes_again() {
    // Some of these let the limit come while a call is out that takes ten seconds.
    for hold_limit in (30..90).step_by(3) {
        let settings = Settings {
            hold_limit: SECOND * hold_limit,
            ..settings()
        };
        let fails = |_: &World, users: &[UserId]| match users.contains(&user(0)) {
            true => Answer::Fault,
            false => ok(),
        };
        let mut world = World::new(settings, fails);
        world.latency = SECOND * 10;
        for number in 0..600 {
            world.publish([number]);
            world.run_for(SECOND);
        }
        assert_eq!(world.dead_lettered(), ["u0"], "{hold_limit} s");
        assert!(world.handed_back > 1);
    }
}

#[test]
fn the_loss_of_an_older_session_that_is_told_late_changes_nothing() {
    let mut world = World::new(settings(), |_, _| ok());
    world.publish([0]);
    world.run_for(SECOND);
    world.lose_session();
    for number in 1..51 {
        world.publish([number]);
    }
    world.run_for(Duration::from_millis(1));
    world
        .engine
        .handle(world.now, Input::SessionLost { session: 1 });
    world.settle_within(SECOND * 2);
}
