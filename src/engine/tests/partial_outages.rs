//! An API that refuses whom it should not: by chance, by front end, by turns, or in its lists.

use std::cell::RefCell;

use super::*;

/// One event a second for ten minutes; the API refuses some calls by chance, whoever is in them.
fn trickle(code: i64, refuses: impl Fn(Duration, &mut fastrand::Rng) -> bool + 'static) -> World {
    let rng = RefCell::new(fastrand::Rng::with_seed(3));
    let mut world = World::new(settings(), move |world, _| {
        let healed = world.elapsed() > MINUTE * 10;
        match !healed && refuses(world.elapsed(), &mut rng.borrow_mut()) {
            true => Answer::Refused(code),
            false => ok(),
        }
    });
    for second in 0..600 {
        world.run_until(world.start + SECOND * second);
        world.publish([second as usize]);
    }
    world.run_until(world.start + MINUTE * 10);
    world
}

#[test]
fn while_a_part_of_the_api_refuses_everybody_no_innocent_user_is_dead_lettered() {
    for code in [90001, 60004, 12345, 91000, 90045] {
        for share in [0.5, 0.25, 0.1] {
            let mut world = trickle(code, move |_, rng| rng.f64() < share);
            world.settle_within(MINUTE * 3);
            assert_eq!(
                world.dead_lettered(),
                [""; 0],
                "{code} for {share} of the calls"
            );
        }
    }
}

/// Calls are handed to so many front ends in turn, of which some refuse everybody.
#[test]
fn while_front_ends_that_take_turns_refuse_everybody_no_innocent_user_is_dead_lettered() {
    for (code, turns) in [
        (90001, &[true, false][..]),
        (91000, &[true, false]),
        (90001, &[true, false, false]),
        (12345, &[true, true, false]),
        (90001, &[true, false, true, false]),
        (91000, &[true, true, false, false]),
    ] {
        for seed in 0..20 {
            let mut world = World::new(Settings { seed, ..settings() }, move |world, _| {
                let turn = world.calls.len() % turns.len();
                match turns[turn] && world.elapsed() < MINUTE * 20 {
                    true => Answer::Refused(code),
                    false => ok(),
                }
            });
            for (minute, user) in [(0, 1), (1, 2), (7, 3)] {
                world.run_until(world.start + MINUTE * minute);
                world.publish([user]);
            }
            world.settle_within(MINUTE * 30);
            assert_eq!(world.dead_lettered(), [""; 0], "{code} {turns:?} {seed}");
        }
    }
}

#[test]
fn while_the_api_flaps_no_innocent_user_is_dead_lettered() {
    for (code, period) in [
        (90001, 1_000),
        (60004, 1_000),
        (90001, 5_000),
        (91000, 20_000),
    ] {
        let mut world = trickle(code, move |elapsed, _| {
            elapsed.as_millis() / period % 2 == 0
        });
        world.settle_within(MINUTE * 3);
        assert_eq!(world.dead_lettered(), [""; 0], "{code}, every {period} ms");
    }
}

#[test]
fn an_error_list_that_names_nearly_everybody_for_minutes_condemns_nobody() {
    for (code, max_attempts) in [(60011, 8), (90045, 8), (12345, 8), (70009, 1)] {
        let settings = Settings {
            max_attempts,
            ..settings()
        };
        let rng = RefCell::new(fastrand::Rng::with_seed(9));
        let mut world = World::new(settings, move |world, users| {
            if world.elapsed() > MINUTE * 2 {
                return ok();
            }
            let mut named: Vec<UserId> = users.to_vec();
            rng.borrow_mut().shuffle(&mut named);
            named.truncate(users.len().saturating_sub(10));
            Answer::Done {
                failed: named.into_iter().map(|id| (id, code)).collect(),
            }
        });
        for number in 0..3_000 {
            world.publish([number]);
        }
        world.run_for(MINUTE * 2);
        world.settle_within(MINUTE * 3);
        assert_eq!(world.dead_lettered(), [""; 0], "{code}");
    }
}

#[test]
fn an_outage_that_spares_the_control_user_alone_condemns_next_to_nobody_and_is_said() {
    for answer in [
        Answer::Refused(91000),
        Answer::Refused(70009),
        Answer::Unclear,
    ] {
        let told = format!("{answer:?}");
        let healed = MINUTE * 20;
        let mut world = World::new(settings(), move |world, users| {
            let is_control = users[0].as_str() == "control";
            match world.elapsed() > MINUTE && world.elapsed() < healed && !is_control {
                true => answer.clone(),
                false => ok(),
            }
        });
        for second in 0..1_200 {
            world.run_until(world.start + SECOND * second);
            world.publish([second as usize]);
        }
        let said = |notice: &&Notice| matches!(notice, Notice::NobodyCleared { .. });
        assert_eq!(world.notices.iter().filter(said).count(), 1, "{told}");
        assert!(world.engine.status(world.now).nobody_cleared.is_some());
        world.settle_within(MINUTE * 3);
        assert_eq!(world.dead_lettered(), [""; 0], "{told}");
        assert_eq!(world.engine.status(world.now).nobody_cleared, None);
    }
}

#[test]
fn a_bad_user_does_not_speak_against_those_whom_an_outage_refuses_after_it() {
    // At once for something else, and some minutes later for the same.
    for (code, began) in [(12345, MINUTE), (91000, MINUTE * 5)] {
        let healed = began + MINUTE * 10;
        let mut world = World::new(settings(), move |world, users| {
            let is_outage = world.elapsed() > began && world.elapsed() < healed;
            match users {
                _ if users.contains(&user(7_777)) => Answer::Refused(code),
                [id, ..] if is_outage && id.as_str() != "control" => Answer::Refused(91000),
                _ => ok(),
            }
        });
        world.publish([7_777]);
        for second in 0..900 {
            world.run_until(world.start + SECOND * second);
            world.publish([second as usize]);
        }
        world.settle_within(MINUTE * 4);
        assert_eq!(world.dead_lettered(), [user(7_777).as_str()], "{code}");
    }
}

#[test]
fn an_api_that_asks_everybody_for_time_for_hours_costs_each_event_one_return() {
    let mut world = World::new(settings(), |world, _| {
        match world.elapsed() < MINUTE * 600 {
            true => Answer::Http {
                status: 503,
                retry_after: Some(SECOND * 120),
            },
            false => ok(),
        }
    });
    for number in 0..50 {
        world.publish([number]);
    }
    world.run_for(MINUTE * 10);
    assert!(world.engine.status(world.now).paused.is_some());
    world.run_for(MINUTE * 580);
    let returned = world.engine.status(world.now).tally.events[Ending::Returned as usize];
    assert!(returned <= 50, "{returned}");
    world.settle_within(MINUTE * 25);
    assert_eq!(world.dead_lettered(), [""; 0]);
}

#[test]
fn an_api_that_begins_to_ask_everybody_for_time_is_a_pause_by_the_third_wait() {
    for max_ids in [1, 100] {
        let few = Settings {
            max_ids,
            ..settings()
        };
        let mut world = World::new(few, |world, _| match world.elapsed() < SECOND * 16 {
            true => ok(),
            false => Answer::Http {
                status: 503,
                retry_after: Some(SECOND * 83),
            },
        });
        for second in 0..22 {
            world.run_until(world.start + SECOND * second);
            world.publish([second as usize]);
        }
        world.run_for(SECOND * 83 * 3);
        assert!(world.engine.status(world.now).paused.is_some(), "{max_ids}");
    }
}

#[test]
fn the_time_of_an_operators_pause_is_no_time_in_which_a_crowd_was_refused() {
    for paused in 8..20 {
        let crowded = Settings {
            prefetch: 40,
            max_attempts: 3,
            backoff_max: SECOND,
            ..settings()
        };
        let mut world = World::new(crowded, |world, users| {
            match world.elapsed() > MINUTE || users[0].as_str() == "control" {
                true => ok(),
                false => Answer::Refused(91000),
            }
        });
        for user in 0..60 {
            world.publish([user]);
        }
        world.run_for(SECOND * paused);
        world.engine.handle(world.now, Input::OperatorPause);
        world.run_for(MINUTE * 5);
        world.engine.handle(world.now, Input::OperatorResume);
        world.settle_within(MINUTE * 4);
        assert_eq!(world.dead_lettered(), [""; 0], "{paused}");
    }
}

#[test]
fn a_crowd_that_only_the_control_user_speaks_against_is_condemned_at_last() {
    let mut world = World::new(settings(), |_, users| match users[0].as_str() {
        "control" => ok(),
        _ => Answer::Refused(91000),
    });
    for user in 0..50 {
        world.publish([user]);
    }
    world.run_for(MINUTE * 29);
    assert_eq!(world.dead_lettered(), [""; 0]);
    world.settle_within(MINUTE * 4);
    assert_eq!(world.dead_lettered().len(), 50);
}

#[test]
fn one_server_of_eight_that_asks_for_two_minutes_holds_up_its_own_callers_only() {
    let rng = RefCell::new(fastrand::Rng::with_seed(3));
    let mut world = World::new(settings(), move |_, _| match rng.borrow_mut().u32(..8) {
        0 => Answer::Http {
            status: 503,
            retry_after: Some(SECOND * 120),
        },
        _ => ok(),
    });
    for user in 0..20_000 {
        world.publish([user]);
    }
    world.run_for(SECOND * 30);
    let cleared = world.engine.status(world.now).tally.users_cleared;
    assert_eq!(cleared, 20_000);
    assert_eq!(world.dead_lettered(), [""; 0]);
}

#[test]
fn one_user_for_whom_the_api_asks_for_two_minutes_holds_up_nobody_else_for_longer() {
    let mut world = World::new(settings(), |_, users| {
        match users.iter().any(|id| *id == user(5)) {
            true => Answer::Http {
                status: 429,
                retry_after: Some(SECOND * 120),
            },
            false => ok(),
        }
    });
    for second in 0..900 {
        world.run_until(world.start + SECOND * second);
        world.publish([second as usize]);
    }
    // Its own companions wait for a split.
    let cleared = world.engine.status(world.now).tally.users_cleared;
    assert!(cleared > 890, "{cleared}");
    assert_eq!(world.dead_lettered(), [""; 0]);
}
