//! What control calls can tell, and what they cannot.

use super::*;

#[test]
fn a_lone_bad_user_in_a_silent_queue_is_judged_by_control_calls() {
    let mut world = World::new(settings(), |_, users| refuse_if(users, &[1], 90001));
    world.publish([1]);
    let took = world.settle_within(MINUTE * 3);
    println!(
        "a lone bad user in a silent queue: {} calls, {took:?}",
        world.calls.len()
    );
    assert_eq!(world.dead_lettered(), ["u1"]);
    assert_eq!(world.notices, [], "nothing was wrong with the API");
    let controls = world
        .calls
        .iter()
        .filter(|(.., trigger)| *trigger == Trigger::Control);
    assert!(controls.count() >= 5);
}

#[test]
fn a_store_that_fails_for_real_accounts_condemns_nobody_by_a_control_user_that_does_not_exist() {
    let healed = MINUTE * 20;
    let mut world = World::new(settings(), move |world, users| {
        match world.elapsed() < healed {
            true if users[0].as_str() == "control" => Answer::Refused(70107),
            true => Answer::Refused(91000),
            false => ok(),
        }
    });
    for second in 0..1_200 {
        world.run_until(world.start + SECOND * second);
        world.publish([second as usize]);
    }
    assert!(world.engine.status(world.now).paused.is_some());
    world.run_until(world.start + healed);
    world.settle_within(MINUTE * 3);
    assert_eq!(world.dead_lettered(), [""; 0]);
}

#[test]
fn an_api_that_refuses_the_control_user_only_is_measured_by_real_users_and_that_is_said_once() {
    let mut world = World::new(settings(), |_, users| match users[0].as_str() {
        "control" => Answer::Refused(90048),
        _ => refuse_if(users, &[3], 90001),
    });
    for second in 0..600 {
        world.run_until(world.start + SECOND * second);
        world.publish([second as usize]);
    }
    world.settle_within(MINUTE * 3);
    assert_eq!(world.dead_lettered(), ["u3"]);
    let said = |notice: &&Notice| matches!(notice, Notice::ControlRefused { .. });
    println!("{:?}", world.notices);
    assert!(world.notices.iter().filter(said).count() <= 1);
}

/// An event now and then for ten minutes, each control call answered with `code`; the calls of user 5 hang.
fn trickle_beside_one_that_hangs(apart: Duration, code: i64) -> World {
    let settings = Settings {
        backoff_min: Duration::from_millis(20),
        hold_limit: MINUTE,
        ..settings()
    };
    let mut world = World::new(settings, move |_, users| match users[0].as_str() {
        "control" => Answer::Refused(code),
        _ => ok(),
    });
    world.slow = Box::new(|users| users.contains(&user(5)));
    let mut next = 0;
    while world.elapsed() < MINUTE * 10 {
        world.publish([next]);
        next += 1;
        world.run_for(apart);
    }
    world
}

#[test]
fn a_user_whose_tries_are_closer_than_other_calls_is_judged_without_a_control_user() {
    let mut world = trickle_beside_one_that_hangs(SECOND * 20, 70107);
    world.settle_within(MINUTE);
    assert_eq!(world.dead_lettered(), ["u5"]);
}

#[test]
fn an_api_that_refuses_the_control_user_from_the_start_stops_nobody() {
    for code in [91000, 90001, 60004, 70051] {
        let mut world = trickle_beside_one_that_hangs(SECOND, code);
        world.settle_within(MINUTE);
        assert_eq!(world.dead_lettered(), ["u5"], "{code}");
        let paused = |notice: &&Notice| matches!(notice, Notice::Paused { .. });
        let pauses = world.notices.iter().filter(paused).count();
        assert!(pauses <= 3, "{code}: {:?}", world.notices);
    }
}

/// The first that waits is bad, and the next: probes from the head alone would find no good one.
#[test]
fn bad_users_at_the_head_keep_nobody_out_where_control_calls_show_nothing() {
    for answer in [90001, 70107] {
        let bad: Vec<usize> = (0..300).collect();
        let mut world = World::new(settings(), move |_, users| match users[0].as_str() {
            "control" => Answer::Refused(answer),
            _ => refuse_if(users, &bad, 12345),
        });
        for number in 0..1_300 {
            world.publish([number]);
            if number == 20 {
                // It has paused by then.
                world.run_for(SECOND * 10);
            }
        }
        let good = |world: &World| world.engine.status(world.now).tally.users_cleared;
        // Some stand in a window with bad ones, and wait for probes.
        while good(&world) < 950 {
            assert!(world.elapsed() < MINUTE * 3, "{answer}: {}", good(&world));
            world.run_for(SECOND);
        }
        assert!(
            world.dead_lettered().iter().all(|user| user.len() < 5),
            "{answer}"
        );
    }
}

#[test]
fn an_api_out_of_reach_for_a_week_costs_each_event_one_return_though_no_control_call_ever_passed() {
    let week = MINUTE * 60 * 24 * 7;
    let mut world = World::new(settings(), move |world, _| match world.elapsed() < week {
        true => Answer::Fault,
        false => ok(),
    });
    for number in 0..100 {
        world.publish([number]);
    }
    world.run_for(week);
    assert_eq!(world.handed_back, 100);
    world.settle_within(MINUTE * 2);
    assert_eq!(world.dead_lettered(), [""; 0]);
}

#[test]
fn an_outage_of_a_day_costs_few_returns_where_the_control_user_does_not_exist() {
    let (begin, end) = (MINUTE * 5, MINUTE * 60 * 24);
    let mut world = World::new(settings(), move |world, users| {
        match (begin..end).contains(&world.elapsed()) {
            true => Answer::Refused(91000),
            false if users[0].as_str() == "control" => Answer::Refused(70107),
            false => refuse_if(users, &[1], 90001),
        }
    });
    world.publish([1]);
    world.run_until(world.start + begin);
    for number in 100..200 {
        world.publish([number]);
    }
    world.run_until(world.start + end);
    // Each once, and now and then for probes, at intervals that double.
    assert!(world.handed_back <= 100 * 6, "{}", world.handed_back);
    world.settle_within(MINUTE * 3);
    assert_eq!(world.dead_lettered(), ["u1"]);
}

/// An outage of an hour. Since then the API refuses the control user for good, and nobody else.
#[test]
fn a_control_user_that_is_refused_since_an_outage_suspends_nothing_for_ever() {
    let (begin, end) = (MINUTE, MINUTE * 60);
    for (before, during) in [(None, 91000), (Some(70107), 91000), (None, 70107)] {
        let mut world = World::new(settings(), move |world, users| {
            let control = users[0].as_str() == "control";
            let elapsed = world.elapsed();
            match before.filter(|_| control && elapsed < begin) {
                Some(code) => Answer::Refused(code),
                None if elapsed < begin => ok(),
                None if elapsed < end && (control || during == 91000) => Answer::Refused(during),
                None if elapsed < end => Answer::Refused(91000),
                None if control => Answer::Refused(60008),
                None => ok(),
            }
        });
        world.publish(0..3);
        world.run_until(world.start + begin);
        for number in 100..200 {
            world.publish([number]);
        }
        world.run_until(world.start + end);
        world.settle_within(MINUTE * 60 * 4);
        assert_eq!(world.dead_lettered(), [""; 0], "{before:?} {during}");
    }
}
