//! The operator's pause: nothing is called until the operator resumes, and all is done afterwards.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn paused(world: &mut World) {
    world.engine.handle(world.now, Input::OperatorPause);
}

fn resumed(world: &mut World) {
    world.engine.handle(world.now, Input::OperatorResume);
}

#[test]
fn an_operators_pause_stops_all_calls_and_acknowledges_and_dead_letters_nothing() {
    let mut world = World::new(settings(), |_, _| ok());
    paused(&mut world);
    for number in 0..300 {
        world.publish([number]);
    }
    // A malformed one, too, which nobody may have read.
    world.publish([]);
    world.run_for(MINUTE);
    assert_eq!(world.calls.len(), 0);
    assert_eq!(world.letters, []);
    assert_eq!(world.unacked.len(), 301);
    let status = world.engine.status(world.now);
    assert_eq!(status.operator_pause, Some(MINUTE));
    resumed(&mut world);
    world.run_for(Duration::from_millis(100));
    assert!(!world.calls.is_empty(), "it goes on at once");
    world.run_for(Duration::from_secs(5));
    world.assert_all_settled();
    assert_eq!(world.letters.len(), 1);
    assert_eq!(world.engine.status(world.now).operator_pause, None);
}

#[test]
fn calls_in_flight_end_as_usual_and_their_events_are_acknowledged() {
    let mut world = World::new(settings(), |_, _| ok());
    world.publish([1]);
    world.run_for(Duration::from_millis(1));
    assert_eq!(world.calls.len(), 1);
    paused(&mut world);
    world.run_for(SECOND);
    world.assert_all_settled();
}

#[test]
fn an_operators_pause_stops_probes_and_an_outage_goes_on_being_probed_after_it() {
    let recovered = Duration::from_secs(300);
    let mut world = World::new(settings(), move |world, _| {
        match world.elapsed() < recovered {
            true => Answer::Refused(70009),
            false => ok(),
        }
    });
    for number in 0..200 {
        world.publish([number]);
    }
    world.run_for(MINUTE);
    assert!(world.engine.status(world.now).paused.is_some());
    paused(&mut world);
    let probes = world.calls.len();
    world.run_for(2 * MINUTE);
    assert_eq!(world.calls.len(), probes, "no probe, no control call");
    resumed(&mut world);
    world.run_for(2 * MINUTE);
    assert!(world.calls.len() > probes);
    paused(&mut world);
    world.run_for(4 * MINUTE);
    assert!(
        world.engine.status(world.now).paused.is_some(),
        "nobody knows that the API has recovered"
    );
    resumed(&mut world);
    world.run_for(2 * MINUTE);
    world.assert_all_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn an_outage_that_a_call_in_flight_finds_in_an_operators_pause_is_probed_when_that_is_over() {
    let recovered = Duration::from_secs(120);
    let mut world = World::new(settings(), move |world, _| {
        match world.elapsed() < recovered {
            true => Answer::Refused(70009),
            false => ok(),
        }
    });
    world.latency = Duration::from_secs(5);
    world.publish([1]);
    world.run_for(SECOND);
    paused(&mut world);
    world.run_for(MINUTE);
    let calls = world.calls.len();
    resumed(&mut world);
    world.run_for(SECOND);
    assert!(world.calls.len() > calls);
    world.run_for(5 * MINUTE);
    world.assert_all_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn an_operators_pause_of_a_day_returns_everything_once_and_keeps_the_queue_by_one_event() {
    let mut world = World::new(settings(), |_, _| ok());
    world.requeue_at_head = true;
    for number in 0..2_500 {
        world.publish([number]);
    }
    world.run_for(Duration::from_millis(10));
    paused(&mut world);
    let calls = world.calls.len();
    world.run_for(24 * 60 * MINUTE);
    assert_eq!(world.prefetch, 1, "consumed, so that nobody else gets it");
    assert_eq!(world.unacked.len(), 1);
    // What was in hand once, and the one event once in each hold limit.
    let holds = 24 * 6;
    assert!(
        world.handed_back <= 1_800 + holds,
        "{} returns",
        world.handed_back
    );
    assert_eq!(world.calls.len(), calls);
    resumed(&mut world);
    world.run_for(MINUTE);
    world.assert_all_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn with_nothing_in_hand_an_operators_pause_never_lets_go_of_the_queue() {
    let mut world = World::new(settings(), |_, _| ok());
    paused(&mut world);
    world.run_for(24 * 60 * MINUTE);
    assert_eq!(world.prefetch, 1_800);
    assert_eq!(world.notices, []);
    resumed(&mut world);
    world.publish([1]);
    world.run_for(SECOND);
    world.assert_all_settled();
}

#[test]
fn a_drain_in_an_operators_pause_ends_at_once_and_calls_nobody() {
    let mut world = World::new(settings(), |_, _| ok());
    world.latency = Duration::from_secs(5);
    for number in 0..1_800 {
        world.publish([number]);
    }
    world.run_for(Duration::from_millis(1));
    let calls = world.calls.len();
    assert!(calls > 0);
    paused(&mut world);
    world.engine.handle(world.now, Input::Drain);
    world.run_for(Duration::from_secs(10));
    assert!(world.engine.is_drained());
    assert_eq!(world.calls.len(), calls);
    // Those of the calls in flight are acknowledged, the others are the next worker's.
    assert_eq!(world.unacked.len() + world.acknowledged.len(), 1_800);
    assert!(!world.unacked.is_empty() && !world.acknowledged.is_empty());
}

#[test]
fn an_event_that_the_broker_might_drop_gets_its_letter_in_an_operators_pause_too() {
    let mut world = World::new(settings(), |_, _| ok());
    world.near_limit = Some(false);
    paused(&mut world);
    world.publish([1]);
    world.run_for(Duration::from_secs(3_600));
    assert_eq!(world.dead_lettered(), ["u1"]);
    assert_eq!(world.letters[0].reason, Reason::ReturnedTooOften);
    assert_eq!(world.calls.len(), 0);
}
