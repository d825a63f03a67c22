//! Outages: nobody is blamed for them, and they end by themselves.

use super::*;

#[test]
fn a_wrong_key_pauses_dead_letters_nothing_and_goes_on_when_the_key_is_right() {
    let recovered = Duration::from_secs(300);
    let mut world = World::new(settings(), move |world, _| {
        if world.elapsed() < recovered {
            Answer::Refused(70009)
        } else {
            ok()
        }
    });
    for number in 0..3_000 {
        world.publish([number]);
    }
    world.run_for(recovered);
    let probes = world.calls.len();
    assert!(probes < 16 + 18, "{probes} calls with a wrong key");
    assert!(world.renewals > 5, "a probe tries the key anew");
    world.run_for(Duration::from_secs(65));
    world.assert_all_settled();
    assert!(world.letters.is_empty());
    assert!(
        world
            .notices
            .iter()
            .any(|notice| matches!(notice, Notice::Resumed { .. }))
    );
}

#[test]
fn an_api_that_rejects_everything_for_a_minute_costs_no_user_and_few_calls() {
    let recovered = Duration::from_secs(60);
    let mut world = World::new(settings(), move |world, _| {
        if world.elapsed() < recovered {
            Answer::Refused(90001)
        } else {
            ok()
        }
    });
    for number in 0..3_000 {
        world.publish([number]);
    }
    world.run_for(recovered);
    assert!(world.calls.len() < 40, "{} calls", world.calls.len());
    world.run_for(Duration::from_secs(120));
    world.assert_all_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn an_api_that_throttles_everybody_pauses_and_goes_on_soon_after_it_lets_somebody_in() {
    for users in [100, 2_000] {
        let healed = Duration::from_secs(600);
        let mut world = World::new(settings(), move |world, _| {
            match world.elapsed() < healed && world.elapsed() > SECOND * 5 {
                true => Answer::Refused(60007),
                false => ok(),
            }
        });
        for number in 0..users {
            world.publish([number]);
            world.run_for(SECOND / 10);
        }
        world.run_until(world.start + SECOND * 120.max(users as u32 / 10));
        assert!(world.engine.status(world.now).paused.is_some(), "{users}");
        world.run_until(world.start + healed + SECOND * 120);
        world.assert_all_settled();
        assert!(world.letters.is_empty());
    }
}

#[test]
fn an_api_that_refuses_everybody_for_hours_condemns_nobody_and_costs_few_calls() {
    for code in [90001, 12345, 70009, 60004, 90018] {
        let mut world = World::new(settings(), move |_, _| Answer::Refused(code));
        for number in 0..10 {
            world.publish([number]);
            world.run_for(SECOND);
        }
        world.run_until(world.start + SECOND * 3_600);
        assert!(world.letters.is_empty(), "{code}");
        assert!(
            world.calls.len() < 160,
            "{} calls in an hour",
            world.calls.len()
        );
    }
}

#[test]
fn an_api_that_turns_to_fail_everybody_costs_no_user_of_a_trickle() {
    let (broken, recovered) = (Duration::from_secs(30), Duration::from_secs(90));
    for answer in [
        Answer::Refused(90001),
        Answer::Fault,
        Answer::Refused(91000),
    ] {
        let mut world = World::new(settings(), move |world, _| {
            if (broken..recovered).contains(&world.elapsed()) {
                answer.clone()
            } else {
                ok()
            }
        });
        for second in 0..180 {
            world.run_until(world.start + SECOND * second);
            world.publish([second as usize]);
        }
        world.run_for(Duration::from_secs(120));
        world.assert_all_settled();
        assert_eq!(world.letters, []);
    }
}

#[test]
fn a_lone_user_whose_calls_fail_in_an_outage_right_after_a_success_is_kept() {
    let mut world = World::new(settings(), |world, _| {
        if world.calls.is_empty() {
            ok()
        } else {
            Answer::Fault
        }
    });
    world.publish([1]);
    world.run_for(SECOND);
    world.publish([2]);
    world.run_for(Duration::from_secs(3_600));
    assert!(world.letters.is_empty());
    assert_eq!(world.unacked.len() + world.queue.len(), 1);
}

#[test]
fn an_outage_of_an_hour_dead_letters_nothing_and_hands_back_once() {
    let recovered = Duration::from_secs(3_600);
    let mut world = World::new(settings(), move |world, _| {
        if world.elapsed() < recovered {
            Answer::Fault
        } else {
            ok()
        }
    });
    for number in 0..2_500 {
        world.publish([number]);
    }
    world.run_for(recovered);
    assert_eq!(world.handed_back, 1_800);
    assert!(world.calls.len() < 120, "{} calls", world.calls.len());
    world.run_for(Duration::from_secs(120));
    world.assert_all_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn a_window_that_always_fails_cannot_block_the_queue_in_a_pause() {
    let mut world = World::new(settings(), |_, users| {
        if users.contains(&user(0)) {
            Answer::Fault
        } else {
            ok()
        }
    });
    world.publish([0]);
    world.run_for(Duration::from_secs(120));
    for number in 1..200 {
        world.publish([number]);
    }
    world.run_for(Duration::from_secs(300));
    assert_eq!(world.unacked.len() + world.letters.len(), 1);
}

#[test]
fn a_user_that_always_fails_in_a_silent_queue_costs_nobody_in_its_event_the_erasure() {
    let mut world = World::new(settings(), |_, users| {
        if users.contains(&user(7)) {
            Answer::Fault
        } else {
            ok()
        }
    });
    world.publish(0..100);
    world.run_for(Duration::from_secs(300));
    assert_eq!(world.engine.status(world.now).tally.users_cleared, 99);
    assert_eq!(world.dead_lettered(), ["u7"]);
    assert_eq!(world.letters[0].reason, Reason::RetriesExhausted);
}

#[test]
fn users_that_always_fail_leave_a_slow_quota_to_the_others() {
    let settings = Settings {
        calls_per_second: 1,
        max_attempts: 4,
        backoff_max: SECOND,
        ..settings()
    };
    let mut world = World::new(settings, |_, users| refuse_if(users, &[1, 2], 91000));
    world.publish([1]);
    world.publish([2]);
    world.run_for(Duration::from_secs(10));
    world.publish([3]);
    world.run_for(Duration::from_secs(6));
    assert_eq!(world.notices, [], "a pause would let new users pass, too");
    assert!(world.cleared.contains_key(&user(3)));
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
    world.settle_within(MINUTE * 5);
    assert_eq!(world.dead_lettered().len(), 1_000);
}

/// An API that works knows none of these accounts, the control user's neither: all were deleted there first.
fn everybody_is_gone(outage: Answer, of: impl Fn(&World) -> bool + 'static) -> World {
    let mut world = World::new(settings(), move |world, users| match of(world) {
        true => outage.clone(),
        false => Answer::Done {
            failed: users.iter().map(|id| (*id, 70107)).collect(),
        },
    });
    for second in 0..300 {
        world.run_until(world.start + SECOND * second);
        for user in 0..3 {
            world.publish([second as usize * 3 + user]);
        }
    }
    world
}

#[test]
fn a_pause_ends_though_all_accounts_are_gone() {
    let codes = [91000, 70009, 90045, 60007, 12345].map(Answer::Refused);
    for outage in codes.into_iter().chain([Answer::Fault, Answer::Unclear]) {
        let told = format!("{outage:?}");
        let mut world = everybody_is_gone(outage, |world| {
            (SECOND * 30..SECOND * 90).contains(&world.elapsed())
        });
        let paused = |notice: &Notice| matches!(notice, Notice::Paused { .. });
        assert!(world.notices.iter().any(paused), "{told}");
        world.settle_within(SECOND * 5);
        assert_eq!(world.dead_lettered(), [""; 0], "{told}");
    }
}

#[test]
fn single_failures_among_accounts_that_are_gone_pause_nothing() {
    let mut world = everybody_is_gone(Answer::Fault, |world| world.calls.len() % 6 == 0);
    world.settle_within(SECOND * 30);
    assert_eq!(world.notices, []);
}
