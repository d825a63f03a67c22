//! What each class of answer leads to.

use super::*;

#[test]
fn one_rejected_id_among_100_costs_the_others_nothing_and_only_it_is_dead_lettered() {
    for bad in [0, 37, 99] {
        let mut world = World::new(settings(), move |_, users| refuse_if(users, &[bad], 90001));
        for number in 0..100 {
            world.publish([number]);
        }
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.engine.status(world.now).tally.users_cleared, 99);
        world.run_for(Duration::from_secs(150));
        world.assert_all_settled();
        assert_eq!(world.dead_lettered(), [user(bad).as_str()]);
        assert_eq!(world.letters[0].reason, Reason::RejectedByApi);
        assert_eq!(world.letters[0].code, Some(90001));
    }
}

#[test]
fn the_error_list_is_the_truth_about_each_user() {
    let mut world = World::new(settings(), |world, users| {
        let codes = [(1, 70107), (2, 90001), (3, 70500)];
        let failing = codes
            .into_iter()
            .filter(|(number, code)| *code != 70500 || world.calls.is_empty() || *number != 3);
        Answer::Done {
            failed: failing
                .map(|(number, code)| (user(number), code))
                .filter(|(id, _)| users.contains(id))
                .collect(),
        }
    });
    world.publish([0, 1, 2, 3]);
    world.run_for(Duration::from_secs(150));
    world.assert_all_settled();
    let tally = world.engine.status(world.now).tally;
    assert_eq!((tally.users_cleared, tally.users_missing), (2, 1));
    assert_eq!(world.dead_lettered(), ["u2"]);
    let cleared = world
        .calls
        .iter()
        .filter(|(_, users, _)| users.contains(&user(0)));
    assert_eq!(cleared.count(), 1, "who went through is not called again");
}

#[test]
fn an_error_list_that_names_every_user_is_no_success() {
    let mut world = World::new(settings(), |_, users| Answer::Done {
        failed: users.iter().map(|id| (*id, 90045)).collect(),
    });
    world.publish([1]);
    world.publish([2]);
    world.run_for(SECOND * 30);
    assert!(world.letters.is_empty());
    assert!(world.engine.status(world.now).paused.is_some());
}

#[test]
fn a_missing_account_is_done_or_dead_lettered_as_the_configuration_says() {
    for (missing_account, letters) in [(MissingAccount::Done, 0), (MissingAccount::DeadLetter, 2)] {
        let mut world = World::new(
            Settings {
                missing_account,
                ..settings()
            },
            |_, users| refuse_if(users, &[1, 2], 70107),
        );
        world.publish([1]);
        world.publish([2]);
        world.publish([3]);
        world.run_for(SECOND * 5);
        world.assert_all_settled();
        assert_eq!(world.letters.len(), letters);
        assert!(
            world
                .letters
                .iter()
                .all(|letter| letter.reason == Reason::UnknownAccount)
        );
    }
}

#[test]
fn a_window_that_fails_while_others_succeed_is_split_and_only_the_guilty_user_is_dead_lettered() {
    let mut world = World::new(settings(), |_, users| refuse_if(users, &[5], 91000));
    for number in 0..10 {
        world.publish([number]);
    }
    for second in 0..400 {
        world.run_until(world.start + SECOND * second);
        world.publish([1000 + second as usize]);
    }
    world.run_for(SECOND * 60);
    world.assert_all_settled();
    assert_eq!(world.dead_lettered(), ["u5"]);
    assert_eq!(world.letters[0].reason, Reason::RetriesExhausted);
}

#[test]
fn throttling_slows_down_and_never_counts_as_an_attempt() {
    let until = Duration::from_secs(20);
    let mut world = World::new(settings(), move |world, _| {
        if world.elapsed() < until {
            Answer::Refused(60007)
        } else {
            ok()
        }
    });
    for number in 0..2_000 {
        world.publish([number]);
    }
    world.run_for(until);
    let during = world.calls.len();
    assert!(during < 60, "{during} calls into a closed door");
    world.run_for(Duration::from_secs(120));
    world.assert_all_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn no_call_is_made_before_the_time_that_a_throttling_answer_names() {
    for (status, asked, waited) in [(429, 30, 30), (503, 30, 30), (429, 86_400, 120)] {
        let until = Duration::from_secs(5);
        let mut world = World::new(settings(), move |world, _| match world.elapsed() < until {
            true => Answer::Http {
                status,
                retry_after: Some(Duration::from_secs(asked)),
            },
            false => ok(),
        });
        for number in 0..2_000 {
            world.publish([number]);
        }
        world.run_for(Duration::from_secs(200));
        world.assert_all_settled();
        assert!(world.letters.is_empty());
        let starts: Vec<_> = world
            .calls
            .iter()
            .map(|(start, ..)| *start - world.start)
            .collect();
        let (early, late): (Vec<Duration>, Vec<Duration>) =
            starts.into_iter().partition(|start| *start < until);
        // All that were in flight at the first answer.
        assert!(early.len() <= 16, "{early:?}");
        let first = late[0];
        assert!(first >= Duration::from_secs(waited), "{status}: {first:?}");
        assert!(
            first < Duration::from_secs(waited + 3),
            "{status}: {first:?}"
        );
    }
}

#[test]
fn a_drain_does_not_wait_for_the_time_that_a_throttling_answer_names() {
    let mut world = World::new(settings(), |_, _| Answer::Http {
        status: 429,
        retry_after: Some(Duration::from_secs(60)),
    });
    world.publish([1]);
    world.publish([2]);
    world.run_for(SECOND);
    let left = world.engine.status(world.now).told_to_wait.unwrap();
    assert!((58..60).contains(&left.as_secs()), "{left:?}");
    world.engine.handle(world.now, Input::Drain);
    world.run_for(SECOND);
    assert!(world.engine.is_drained());
}

#[test]
fn a_redirect_or_a_refused_login_is_the_configuration_and_named_by_its_status() {
    for status in [307, 401, 403, 404, 407] {
        let mut world = World::new(settings(), move |_, _| Answer::Http {
            status,
            retry_after: None,
        });
        world.publish([1]);
        world.run_for(SECOND * 5);
        let paused = world.engine.status(world.now).paused.unwrap();
        assert_eq!((paused.class, paused.http), (Class::Config, Some(status)));
        assert_eq!(paused.meaning(), Some(http_status(status, false).meaning));
        assert!(world.calls.len() < 8, "{}", world.calls.len());
    }
}

#[test]
fn an_expired_user_sig_is_renewed_once_and_then_it_is_the_configuration() {
    let mut world = World::new(settings(), |world, _| {
        if world.renewals == 0 {
            Answer::Refused(70001)
        } else {
            ok()
        }
    });
    world.publish([1]);
    world.run_for(SECOND);
    world.assert_all_settled();
    assert_eq!((world.renewals, world.calls.len()), (1, 2));

    let mut world = World::new(settings(), |_, _| Answer::Refused(70001));
    world.publish([1]);
    world.run_for(SECOND);
    assert_eq!(world.calls.len(), 3, "the window twice, and a control call");
    assert!(matches!(
        world.notices[..],
        [Notice::Paused {
            reason: PauseReason {
                class: Class::AuthRefresh,
                ..
            },
            ..
        }]
    ));
}

#[test]
fn an_ambiguous_code_costs_a_new_user_sig_a_minute_and_is_then_the_users_own() {
    let mut world = World::new(settings(), |_, users| refuse_if(users, &[3], 60004));
    world.publish([100]);
    world.run_for(SECOND);
    for number in 0..8 {
        world.publish([number]);
    }
    world.run_for(SECOND * 200);
    world.assert_all_settled();
    assert_eq!(world.dead_lettered(), ["u3"]);
    assert!((1..=4).contains(&world.renewals));
}

#[test]
fn a_code_that_nobody_knows_holds_up_nobody_else_and_ends_as_exhausted_retries() {
    let mut world = World::new(settings(), |_, users| refuse_if(users, &[3], 12345));
    for second in 0..180 {
        world.run_until(world.start + SECOND * second);
        world.publish([second as usize]);
    }
    world.run_for(SECOND * 20);
    world.assert_all_settled();
    assert_eq!(world.dead_lettered(), ["u3"]);
    assert_eq!(world.letters[0].reason, Reason::RetriesExhausted);
    assert!(world.letters[0].attempts >= 8);
}

#[test]
fn a_configuration_code_that_only_one_user_gets_stops_nobody_else() {
    let mut world = World::new(settings(), |_, users| refuse_if(users, &[5], 70051));
    for number in 0..20_000 {
        world.publish([number]);
    }
    world.run_for(SECOND * 10);
    assert_eq!(world.engine.status(world.now).tally.users_cleared, 19_999);
    assert!(world.letters.is_empty());
    assert_eq!(world.unacked.len(), 1);
}

#[test]
fn a_list_in_which_nobody_went_through_casts_no_suspicion_on_those_who_may_yet() {
    let settings = Settings {
        max_ids: 2,
        ..settings()
    };
    let mut world = World::new(settings, |world, users| {
        let is_first_alone = !world.calls.iter().any(|(_, users, _)| *users == [user(2)]);
        if users == [user(1), user(2)] {
            Answer::Done {
                failed: vec![(user(1), 90001), (user(2), 70500)],
            }
        } else if users == [user(2)] && is_first_alone {
            Answer::Refused(90001)
        } else {
            refuse_if(users, &[1], 90001)
        }
    });
    world.publish([1, 2]);
    for number in 2..300 {
        world.publish([2 * number, 2 * number + 1]);
        world.run_for(SECOND / 5);
    }
    world.run_for(Duration::from_secs(10));
    world.assert_all_settled();
    assert_eq!(world.dead_lettered(), ["u1"]);
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
