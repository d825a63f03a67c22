//! Weather as it was met, and what must come of it, in plain numbers. The API of these tests knows who is bad;
//! nothing here knows how the engine finds out.

use std::cell::RefCell;

use super::*;

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// An API that takes all but the users from 0 to `bad`, whose calls it answers with `code`.
fn bad_below(bad: usize, code: i64) -> impl Fn(&World, &[UserId]) -> Answer {
    let bad: HashSet<UserId> = (0..bad).map(user).collect();
    move |_, users| match users.iter().any(|id| bad.contains(id)) {
        true => Answer::Refused(code),
        false => ok(),
    }
}

/// The number of a user of these tests; none of the control user.
fn number(id: &str) -> Option<usize> {
    id.strip_prefix('u')?.parse().ok()
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

/// Runs until all is settled.
pub(super) fn settled_within(world: &mut World, limit: Duration) -> Duration {
    let start = world.now;
    while world.acknowledged.len() < world.published {
        assert!(
            world.now - start < limit,
            "{} of {} settled after {limit:?}, {:?}",
            world.acknowledged.len(),
            world.published,
            world.engine.status(world.now)
        );
        world.run_for(SECOND);
    }
    world.now - start
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
        let took = settled_within(&mut world, MINUTE * minutes);
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
        assert_eq!(world.notices, [], "no pause");
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
    let took = settled_within(&mut world, MINUTE * 6);
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
            settled_within(&mut world, MINUTE * 3);
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
            settled_within(&mut world, MINUTE * 30);
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
        settled_within(&mut world, MINUTE * 3);
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
        settled_within(&mut world, MINUTE * 3);
        assert_eq!(world.dead_lettered(), [""; 0], "{code}");
    }
}

#[test]
fn after_a_long_outage_the_first_call_goes_through_within_the_probe_interval() {
    let healed = MINUTE * 30;
    let mut world = World::new(settings(), move |world, users| {
        let bad = |id: &UserId| number(id.as_str()).is_some_and(|number| number % 5 == 0);
        match () {
            () if world.elapsed() < healed => Answer::Fault,
            () if users.iter().any(bad) => Answer::Refused(90001),
            () => ok(),
        }
    });
    for number in 0..5_000 {
        world.publish([number]);
    }
    world.run_until(world.start + healed);
    let probes = world.calls.iter().skip(40);
    assert!(
        probes.clone().all(|(_, users, _)| users.len() == 1),
        "a probe is one user"
    );
    let calls = world.calls.len();
    world.run_for(MINUTE + SECOND);
    assert!(world.calls.len() > calls + 10, "it goes on within a minute");
    assert!(
        world.handed_back <= 1_800,
        "each event goes back once: {}",
        world.handed_back
    );
    settled_within(&mut world, MINUTE * 5);
    assert_eq!(world.dead_lettered().len(), 1_000);
}

#[test]
fn sixteen_calls_that_were_out_when_the_api_began_to_throttle_halve_the_pace_once() {
    let throttled = Duration::from_secs(3);
    let mut world = World::new(settings(), move |world, _| {
        match (throttled..throttled + SECOND / 10).contains(&world.elapsed()) {
            true => Answer::Refused(60007),
            false => ok(),
        }
    });
    world.latency = Duration::from_millis(150);
    for number in 0..100_000 {
        world.publish([number]);
    }
    world.run_until(world.start + throttled + SECOND);
    let rate = world.engine.status(world.now).calls_per_second;
    let halvings = world.notices.len();
    assert!(rate >= 49.0, "{rate} calls/s");
    assert_eq!(halvings, 1, "all were out before the first answer");
}

/// The code is one of class throttle, but it is the user's own.
#[test]
fn users_whose_every_call_is_throttled_slow_down_nobody_else_and_are_not_condemned() {
    let is_bad = |number: usize| number.is_multiple_of(100);
    for bad in [1, 100] {
        let is_bad = move |user: &&UserId| {
            number(user.as_str()).is_some_and(|number| is_bad(number) && number < 100 * bad)
        };
        for listed in [true, false] {
            let mut world = World::new(settings(), move |_, users| {
                let bad: Vec<UserId> = users.iter().filter(is_bad).copied().collect();
                match listed {
                    true => Answer::Done {
                        failed: bad.into_iter().map(|user| (user, 60011)).collect(),
                    },
                    false if bad.is_empty() => ok(),
                    false => Answer::Refused(70114),
                }
            });
            for number in 0..10_000 {
                world.publish([number]);
            }
            let good = 10_000 - bad as u64;
            while world.engine.status(world.now).tally.users_cleared < good {
                // Where every call is throttled, it looks as if the API did that to everybody.
                let limit = if bad > 1 && !listed { 15 } else { 1 };
                assert!(world.elapsed() < limit * MINUTE, "{bad} {listed}");
                world.run_for(SECOND);
            }
            assert!(world.letters.is_empty(), "{bad} {listed}");
        }
    }
}

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
    settled_within(&mut world, MINUTE * 4);
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
fn a_window_whose_user_sig_is_always_refused_costs_backoff_and_not_the_quota() {
    let mut world = World::new(settings(), |_, users| refuse_if(users, &[1], 70001));
    for second in 0..60 {
        world.run_until(world.start + SECOND * second);
        for number in 0..10 {
            world.publish([1 + 10 * second as usize + number]);
        }
    }
    assert!(world.renewals <= 2, "{} new UserSigs", world.renewals);
    let with_user = |(_, users, _): &&(Instant, Vec<UserId>, Trigger)| users.contains(&user(1));
    let calls = world.calls.iter().filter(with_user).count();
    assert!(calls <= 20, "{calls} calls with that user");
    assert!(world.unacked.len() <= 11, "the others go on");
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
    settled_within(&mut world, SECOND * 2);
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
