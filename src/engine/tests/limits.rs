//! Events that the broker has taken back so often that it may drop them.

use super::*;

fn near_limit(at_once: bool, api: impl Fn(&World, &[UserId]) -> Answer + 'static) -> World {
    let mut world = World::new(settings(), api);
    world.near_limit = Some(at_once);
    world
}

fn reasons(world: &World) -> Vec<(Reason, usize)> {
    let letters = world.letters.iter();
    letters
        .map(|letter| (letter.reason, letter.users.len()))
        .collect()
}

#[test]
fn an_event_near_the_limit_gets_a_letter_instead_of_going_back() {
    let mut world = near_limit(false, |_, _| Answer::Fault);
    world.publish([0, 1]);
    world.run_for(2 * settings().hold_limit);
    assert_eq!(world.handed_back, 0);
    assert_eq!(reasons(&world), [(Reason::ReturnedTooOften, 2)]);
    assert_eq!(world.acknowledged.len(), 1);
}

#[test]
fn an_event_near_the_limit_is_worked_off_like_any_other() {
    let mut world = near_limit(false, |_, _| ok());
    world.publish([0, 1]);
    world.run_for(SECOND);
    assert_eq!((world.acknowledged.len(), world.letters.len()), (1, 0));
}

#[test]
fn an_event_that_any_loss_may_drop_gets_its_letter_at_once() {
    let mut world = near_limit(true, |_, _| ok());
    world.publish([0, 1]);
    world.publish([]);
    world.run_for(SECOND);
    let (given_up, malformed) = (Reason::ReturnedTooOften, Reason::MalformedEvent);
    assert_eq!(reasons(&world), [(given_up, 2), (malformed, 0)]);
    assert_eq!((world.acknowledged.len(), world.calls.len()), (2, 0));
}

/// Its body may not be kept: the letter must name its users.
#[test]
fn an_event_that_was_never_decoded_is_so_before_its_letter_is_written() {
    let mut world = near_limit(false, |_, _| Answer::Fault);
    let room = settings().prefetch.max(2 * settings().max_ids);
    world.publish(0..room);
    world.publish([room, room + 1]);
    world.run_for(2 * settings().hold_limit);
    let named: usize = world.letters.iter().map(|letter| letter.users.len()).sum();
    assert_eq!((named, world.acknowledged.len()), (room + 2, 2));
}

/// A call may be out, and its answer may condemn a user, when the letter is on its way: both wait for the letter.
#[test]
fn nothing_but_its_letter_ends_an_event_that_was_given_up() {
    let mut world = near_limit(false, |world, _| match world.now - world.start {
        early if early < settings().hold_limit => Answer::Fault,
        _ => ok(),
    });
    world.refuse_letters = true;
    world.publish([0, 1]);
    world.run_for(2 * settings().hold_limit);
    assert_eq!((world.acknowledged.len(), world.handed_back), (0, 0));
    world.refuse_letters = false;
    world.run_for(60 * SECOND);
    assert_eq!(world.acknowledged.len(), 1);
}
