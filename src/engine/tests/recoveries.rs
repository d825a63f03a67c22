//! Outages that last for hours, come and go, or let a few calls through: what they must not leave behind.

use std::cell::RefCell;

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn is_control(users: &[UserId]) -> bool {
    users[0].as_str() == "control"
}

#[test]
fn a_moment_of_good_weather_in_an_outage_that_spares_the_control_user_condemns_nobody() {
    let (began, healed) = (MINUTE, MINUTE * 16);
    let works = MINUTE * 5..MINUTE * 5 + SECOND * 3;
    let mut world = World::new(settings(), move |world, users| {
        let at = world.elapsed();
        let is_outage = at > began && at < healed && !works.contains(&at);
        match is_outage && !is_control(users) {
            true => Answer::Refused(91000),
            false => ok(),
        }
    });
    for second in 0..960 {
        world.run_until(world.start + SECOND * second);
        world.publish([second as usize]);
    }
    world.settle_within(MINUTE * 4);
    assert_eq!(world.dead_lettered(), [""; 0]);
}

#[test]
fn one_call_of_a_hundred_that_passes_beside_the_control_user_condemns_nobody() {
    let rng = RefCell::new(fastrand::Rng::with_seed(3));
    let mut world = World::new(settings(), move |world, users| {
        let is_outage = world.elapsed() < MINUTE * 20 && !is_control(users);
        match is_outage && rng.borrow_mut().f64() < 0.99 {
            true => Answer::Refused(91000),
            false => ok(),
        }
    });
    for second in 0..1_200 {
        world.run_until(world.start + SECOND * second);
        world.publish([second as usize]);
    }
    world.settle_within(MINUTE * 4);
    assert_eq!(world.dead_lettered(), [""; 0]);
}

#[test]
fn nine_calls_of_ten_that_fail_for_four_hours_condemn_nobody() {
    for code in [91000, 90001] {
        let rng = RefCell::new(fastrand::Rng::with_seed(3));
        let mut world = World::new(settings(), move |world, _| {
            match world.elapsed() < HOUR * 4 && rng.borrow_mut().f64() < 0.9 {
                true => Answer::Refused(code),
                false => ok(),
            }
        });
        for number in 0..7_200 {
            world.publish([number]);
            world.run_for(SECOND * 2);
        }
        world.settle_within(MINUTE * 5);
        assert_eq!(world.dead_lettered(), [""; 0], "{code}");
    }
}

#[test]
fn a_control_user_that_hangs_stops_nobody_in_outages_that_come_again_and_again() {
    for seed in [2, 3, 5] {
        let seeded = Settings { seed, ..settings() };
        let mut world = World::new(seeded, |world, users| {
            let at = world.elapsed();
            let is_outage = at > MINUTE * 2 && at < MINUTE * 20 && at.as_secs() % 31 < 9;
            match users {
                _ if is_outage => Answer::Refused(91000),
                _ if users.contains(&user(3)) || users.contains(&user(4)) => Answer::Refused(70051),
                _ => ok(),
            }
        });
        world.slow = Box::new(is_control);
        for number in 10..7_510 {
            if number % 600 == 20 {
                world.publish([3]);
            }
            if number % 700 == 30 {
                world.publish([4]);
            }
            world.publish([number]);
            world.run_for(SECOND / 5);
            let cleared = world.engine.status(world.now).tally.users_cleared;
            assert!(number != 3_000 || cleared > 2_500, "{seed}: {cleared}");
        }
        world.run_for(MINUTE * 2);
        let tally = world.engine.status(world.now).tally;
        assert!(tally.users_cleared >= 7_500, "{seed}: {tally:?}");
    }
}

#[test]
fn where_half_of_all_calls_is_refused_the_pauses_do_not_grow() {
    let rng = RefCell::new(fastrand::Rng::with_seed(3));
    let mut world = World::new(settings(), move |_, _| match rng.borrow_mut().bool() {
        true => Answer::Refused(70009),
        false => ok(),
    });
    for second in 0..600 {
        world.run_until(world.start + SECOND * second);
        for user in 0..100 {
            world.publish([second as usize * 100 + user]);
        }
    }
    let cleared = world.engine.status(world.now).tally.users_cleared;
    assert!(cleared > 57_000, "{cleared}");
    assert_eq!(world.dead_lettered(), [""; 0]);
}

#[test]
fn a_control_user_that_was_refused_for_a_while_is_tried_again() {
    let rng = RefCell::new(fastrand::Rng::with_seed(3));
    let mut world = World::new(settings(), move |world, users| {
        let is_outage = world.elapsed() < MINUTE * 10;
        match users {
            _ if users.contains(&user(7_777)) => Answer::Refused(12345),
            _ if is_outage && (is_control(users) || rng.borrow_mut().u32(..8) == 0) => {
                Answer::Refused(70051)
            }
            _ => ok(),
        }
    });
    for second in 0..600 {
        world.run_until(world.start + SECOND * second);
        world.publish([second as usize]);
    }
    world.settle_within(MINUTE * 2);
    let is_useless = |notice: &&Notice| matches!(notice, Notice::ControlRefused { .. });
    assert_eq!(world.notices.iter().filter(is_useless).count(), 1);
    // Nobody else comes any more.
    world.publish([7_777]);
    world.settle_within(MINUTE * 15);
    assert_eq!(world.dead_lettered(), [user(7_777).as_str()]);
}
