//! Many bad users, and what each of them costs.

use super::*;

/// An API that takes all but the users from 0 to `bad`, whose calls it answers with `code`.
fn bad_below(bad: usize, code: i64) -> impl Fn(&World, &[UserId]) -> Answer {
    let bad: HashSet<UserId> = (0..bad).map(user).collect();
    move |_, users| match users.iter().any(|id| bad.contains(id)) {
        true => Answer::Refused(code),
        false => ok(),
    }
}

/// Bad ones first, and what is handed back comes first again.
fn many_bad_first(bad: usize, good: usize, code: i64) -> World {
    let mut world = World::new(settings(), bad_below(bad, code));
    world.requeue_at_head = true;
    for number in 0..bad + good {
        world.publish([number]);
    }
    world
}

fn assert_only_bad_are_dead_lettered(world: &World, bad: usize) {
    let mut letters = world.dead_lettered();
    let all = letters.len();
    letters.sort_unstable();
    letters.dedup();
    let innocent = letters
        .iter()
        .filter(|id| number(id).is_none_or(|number| number >= bad));
    assert_eq!(innocent.count(), 0, "innocent users are dead-lettered");
    assert_eq!((letters.len(), all), (bad, bad));
}

#[test]
fn thousands_of_bad_users_at_the_head_stop_no_good_one() {
    for (bad, good, code, minutes) in [
        (2_000, 5_000, 90001, 5),
        (1_900, 3_000, 12345, 8),
        (1_900, 3_000, 70051, 8),
    ] {
        let mut world = many_bad_first(bad, good, code);
        let took = world.settle_within(MINUTE * minutes);
        println!(
            "{bad} bad, {good} good, {code}: {} calls, {took:?}",
            world.calls.len()
        );
        assert_only_bad_are_dead_lettered(&world, bad);
        assert!(world.busiest_second() <= 100);
        // At most 15 calls to find each, and some tries of each alone.
        assert!(
            world.calls.len() <= bad * 12 + good,
            "{} calls",
            world.calls.len()
        );
        let paused = |notice: &Notice| !matches!(notice, Notice::NobodyCleared { .. });
        assert!(!world.notices.iter().any(paused), "{:?}", world.notices);
    }
}

#[test]
fn with_most_users_bad_all_are_settled_within_minutes() {
    let mut world = World::new(settings(), |_, users| {
        let is_bad = |id: &UserId| number(id.as_str()).is_some_and(|number| number % 5 < 3);
        match users.iter().any(is_bad) {
            true => Answer::Refused(90001),
            false => ok(),
        }
    });
    for number in 0..5_000 {
        world.publish([number]);
    }
    let took = world.settle_within(MINUTE * 6);
    println!("60 % bad: {} calls, {took:?}", world.calls.len());
    assert_eq!(world.dead_lettered().len(), 3_000);
    assert_eq!(world.engine.status(world.now).tally.users_cleared, 2_000);
}

#[test]
fn one_bad_user_of_100_under_load_is_found_in_at_most_18_extra_calls() {
    for bad in [0, 37, 99] {
        let mut world = World::new(settings(), move |_, users| refuse_if(users, &[bad], 90001));
        for number in 0..60_000 {
            world.publish([number]);
        }
        world.run_for(SECOND * 12);
        world.assert_all_settled();
        let is_control = |call: &&(Instant, Vec<UserId>, Trigger)| call.2 == Trigger::Control;
        let control = world.calls.iter().filter(is_control).count();
        let extra = world.calls.len() - 600 - control;
        println!("one bad user of 100: {extra} extra calls, and {control} control calls");
        assert!(extra <= 18, "{extra} extra calls");
        assert_eq!(world.dead_lettered(), [user(bad).as_str()]);
    }
}
