//! Dead letters, lost sessions, drains.

use super::*;

#[test]
fn a_refused_letter_keeps_its_delivery_is_sent_again_and_stops_no_other_event() {
    let mut world = World::new(settings(), |_, _| ok());
    world.refuse_letters = true;
    world.publish([]);
    world.run_for(SECOND);
    world.publish([1]);
    world.run_for(SECOND * 60);
    assert_eq!(world.unacked.len(), 1);
    assert_eq!(world.calls.len(), 1);
    world.refuse_letters = false;
    world.run_for(SECOND * 31);
    world.assert_all_settled();
}

#[test]
fn a_dead_letter_queue_that_takes_nothing_stops_intake() {
    let mut world = World::new(settings(), |_, _| ok());
    world.refuse_letters = true;
    for _ in 0..8 {
        world.publish([]);
    }
    world.run_for(SECOND);
    world.publish([1]);
    world.run_for(SECOND * 60);
    assert_eq!(world.unacked.len(), 9);
    assert!(
        world.calls.is_empty(),
        "intake goes on though no letter could be written"
    );
    world.refuse_letters = false;
    world.run_for(SECOND * 31);
    world.assert_all_settled();
    assert_eq!(world.letters[0].reason, Reason::MalformedEvent);
}

#[test]
fn a_redelivered_event_that_was_finished_is_not_called_again() {
    let mut world = World::new(settings(), |_, _| ok());
    world.publish([1]);
    world.publish([2, 3]);
    // A drop on the way to the broker: the acknowledgement was made, and is lost.
    world.run_for(SECOND);
    let settled: Vec<usize> = world.acknowledged.keys().copied().collect();
    world.lose_session();
    for id in settled {
        let users = [vec![user(1)], vec![user(2), user(3)]][id].clone();
        let at = world.start;
        world.queue.push_back((
            id,
            Published {
                users,
                malformed: false,
                redelivered: true,
                at,
            },
        ));
    }
    let calls = world.calls.len();
    world.run_for(SECOND * 5);
    assert_eq!(world.calls.len(), calls);
    assert_eq!(
        world
            .engine
            .status(world.now)
            .tally
            .events(Ending::Repeated),
        2
    );
}

#[test]
fn a_new_reset_of_the_same_user_after_a_lost_session_gets_a_call_of_its_own() {
    let mut world = World::new(settings(), |_, _| ok());
    world.publish([1]);
    world.run_for(SECOND);
    world.lose_session();
    world.publish([1]);
    world.run_for(SECOND * 3);
    assert_eq!(world.calls.len(), 2);
}

#[test]
fn a_delivery_that_is_held_up_does_not_hold_up_the_younger_ones() {
    let mut world = World::new(settings(), |_, users| {
        if users.contains(&user(0)) {
            Answer::Fault
        } else {
            ok()
        }
    });
    for number in 0..1_000 {
        world.publish([number]);
    }
    world.run_for(SECOND * 3);
    assert!(
        world.unacked.len() <= 100,
        "{} unacknowledged",
        world.unacked.len()
    );
}

#[test]
fn a_drain_makes_a_last_window_takes_no_more_and_ends() {
    let mut world = World::new(settings(), |_, _| ok());
    for number in 0..150 {
        world.publish([number]);
    }
    world.run_for(Duration::from_millis(100));
    world.publish([400]);
    world.run_for(Duration::from_millis(1));
    world.engine.handle(world.now, Input::Drain);
    world.publish([500]);
    world.run_for(SECOND * 2);
    assert!(world.engine.is_drained());
    assert_eq!(
        world
            .calls
            .iter()
            .map(|(_, _, trigger)| *trigger)
            .collect::<Vec<_>>(),
        [Trigger::Full, Trigger::Expired, Trigger::Drain]
    );
    assert_eq!(
        world.unacked.len(),
        1,
        "what came after the drain is left to the next worker"
    );
}

#[test]
fn a_drain_in_an_outage_ends_without_waiting_for_the_api() {
    let mut world = World::new(settings(), |_, _| Answer::Fault);
    for number in 0..3_000 {
        world.publish([number]);
    }
    world.run_for(SECOND * 5);
    world.engine.handle(world.now, Input::Drain);
    world.run_for(SECOND);
    assert!(world.engine.is_drained());
    assert!(world.letters.is_empty());
}
