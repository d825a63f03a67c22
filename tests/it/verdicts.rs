//! What the API answers, by way of the real wire, and what becomes of the users.

use std::time::Duration;

use im_simulator::{Fault, Rule, UnknownAccounts};
use jiff::Timestamp;
use testkit::amqp::{Incoming, Outgoing};

use crate::stage::*;

#[tokio::test]
async fn a_call_without_a_usable_answer_is_made_again_until_it_has_one() {
    let mut stage = Stage::new().await;
    stage.set("IM__CONNECT_TIMEOUT", "1s");
    stage.set("IM__REQUEST_TIMEOUT", "1s");
    let faults = [
        Fault::Answer(91000),
        Fault::ErrorStatus(502),
        Fault::ErrorStatus(200),
        Fault::Body("{}".to_owned()),
        Fault::Reset,
        Fault::LostAnswer,
        Fault::Truncated,
        Fault::BrokenJson,
        Fault::Hang,
        Fault::SlowDrip(Duration::from_millis(100)),
    ];
    let worker = stage.worker().await;
    for (number, fault) in faults.iter().enumerate() {
        let rule = Rule::new(fault.clone()).next_calls(1);
        stage.simulator.add_fault(rule);
        stage.import([number]);
        let calls = stage.simulator.stats().calls;
        stage.delete([number]).await;
        // The first call may have cleared the user, too: what counts is that it is made again.
        stage
            .seen("the call is made again", |stats| stats.calls >= calls + 2)
            .await;
        stage.cleared(number as u64 + 1).await;
    }
    let struck: u64 = stage.simulator.stats().faults.values().sum();
    assert_eq!(struck, faults.len() as u64);
    let account = stage.finish(worker).await;
    assert_eq!(account.count("users_cleared"), faults.len() as u64);
}

#[tokio::test]
async fn a_user_that_always_fails_while_others_succeed_is_dead_lettered_alone_as_retries_exhausted()
{
    let mut stage = Stage::new().await;
    stage.set("RETRY__MAX_ATTEMPTS", 3);
    stage.import(0..12);
    let always = Rule::new(Fault::Answer(91000)).only_for_user(user(7));
    stage.simulator.add_fault(always);
    let worker = stage.worker().await;
    stage.publish([deleted(&(0..11).collect::<Vec<_>>())]).await;
    // Calls that succeed speak for the API: without them nobody is blamed.
    let mut others = 100..;
    testkit::eventually(PATIENCE, "the user is dead-lettered", async || {
        let other = others.next()?;
        stage.import([other]);
        stage.delete([other]).await;
        let (ready, _) = stage.amqp.depth(DEAD_LETTERS).await.ok()?;
        (ready > 0).then_some(())
    })
    .await;
    let letters = stage.letters(1).await;
    assert_failed(&letters[0], "retries-exhausted", Some(91000), &[user(7)]);
    let account = stage.finish(worker).await;
    assert_eq!(
        account.count("users_cleared"),
        10 + others.start as u64 - 100
    );
}

#[tokio::test]
async fn an_error_list_is_the_truth_about_each_user() {
    let stage = Stage::new().await;
    stage.import(0..10);
    stage.simulator.reject_user_in_error_list(user(3), 90001);
    stage.simulator.reject_user_in_error_list(user(4), 70107);
    stage.simulator.reject_user_in_error_list(user(5), 91000);
    let worker = stage.worker().await;
    stage
        .publish([deleted(&[0, 1, 2, 3]), deleted(&[4, 5]), deleted(&[6])])
        .await;
    stage.cleared(4).await;
    stage
        .seen("the transient one is tried again", |stats| stats.calls >= 3)
        .await;
    assert!(stage.simulator.clears(&user(5)).count == 0);
    stage.simulator.accept_user(&user(5));
    stage.cleared(5).await;
    let letters = stage.letters(1).await;
    assert_eq!(letters.len(), 1);
    assert_failed(&letters[0], "rejected-by-api", Some(90001), &[user(3)]);
    let account = stage.finish(worker).await;
    assert_eq!(account.count("users_missing"), 1);
    assert_eq!(account.count("users_dead_lettered"), 1);
    assert_eq!(account.count("events_done"), 2);
    assert_eq!(account.count("events_dead_lettered"), 1);
}

#[tokio::test]
async fn users_whom_the_api_does_not_know_are_done() {
    for unknown in [UnknownAccounts::ErrorList, UnknownAccounts::FailAll] {
        let stage = Stage::new().await;
        stage.simulator.set_unknown_accounts(unknown);
        stage.import(0..9);
        let worker = stage.worker().await;
        stage
            .publish([deleted(&[0, 1, 2, 100, 3, 4, 5, 6, 7, 8, 101])])
            .await;
        stage.cleared(9).await;
        let account = stage.finish(worker).await;
        assert_eq!(account.count("users_missing"), 2);
        assert_eq!(account.count("events_done"), 1);
    }
}

#[tokio::test]
async fn users_whom_the_api_does_not_know_are_dead_lettered_where_the_configuration_says_so() {
    let mut stage = Stage::new().await;
    stage.set("IM__MISSING_ACCOUNT", "dead-letter");
    stage
        .simulator
        .set_unknown_accounts(UnknownAccounts::ErrorList);
    stage.import(0..2);
    let worker = stage.worker().await;
    stage
        .publish([deleted(&[0, 100, 1, 101]), deleted(&[102])])
        .await;
    let mut letters = stage.letters(2).await;
    letters.sort_by_key(|letter| letter.texts("tagsweep-failed-users").len());
    assert_failed(&letters[0], "unknown-account", Some(70107), &[user(102)]);
    assert_failed(
        &letters[1],
        "unknown-account",
        Some(70107),
        &[user(100), user(101)],
    );
    stage.cleared(2).await;
    stage.finish(worker).await;
}

#[tokio::test]
async fn an_expired_user_sig_is_renewed_at_once() {
    let stage = Stage::new().await;
    stage
        .simulator
        .add_fault(Rule::new(Fault::Answer(70001)).next_calls(1));
    stage.import(0..1);
    let worker = stage.worker().await;
    stage.delete([0]).await;
    let stats = stage.cleared(1).await;
    assert_eq!((stats.calls, stats.refused_with(70001)), (2, 1));
    assert_eq!(stage.said("paused"), 0);
    stage.finish(worker).await;
}

#[tokio::test]
async fn an_ambiguous_refusal_is_first_answered_with_a_new_user_sig() {
    let stage = Stage::new().await;
    stage
        .simulator
        .add_fault(Rule::new(Fault::Answer(60004)).next_calls(1));
    stage.import(0..2);
    let worker = stage.worker().await;
    stage.publish([deleted(&[0, 1])]).await;
    let stats = stage.cleared(2).await;
    assert_eq!((stats.calls, stats.refused_with(60004)), (2, 1));
    stage.finish(worker).await;
}

#[tokio::test]
async fn one_rejected_id_among_100_in_a_silent_queue_is_dead_lettered_alone() {
    let begun = Timestamp::now();
    let mut stage = Stage::new().await;
    stage.set("RETRY__BACKOFF_MAX", "2s");
    stage.import(0..100);
    stage.simulator.reject_user(user(37), 90001);
    let event = |number| deleted(&[number]).with_headers(&[("x-tenant", "t-1")]);
    let original = event(37);
    let worker = stage.worker().await;
    let events = (0..100).map(|number| {
        if number == 37 {
            original.clone()
        } else {
            event(number)
        }
    });
    stage.publish(events).await;
    stage.cleared(99).await;
    let [letter] = <[Incoming; 1]>::try_from(stage.letters(1).await).expect("one letter");
    let stats = stage.simulator.stats();
    // Two windows, 14 calls until it stands alone, and then some ten refusals with a control call for each.
    assert!(stats.calls <= 2 + 14 + 22, "{stats:?}");
    assert_eq!(stage.simulator.clear_counts(), [(0, 1), (1, 99)].into());

    assert_same(&letter, &original);
    assert_eq!(letter.header("x-tenant").as_deref(), Some("t-1"));
    assert_eq!(letter.properties.delivery_mode(), &Some(2), "persistent");
    assert_failed(&letter, "rejected-by-api", Some(90001), &[user(37)]);
    let header = |name: &str| {
        letter
            .header(&format!("tagsweep-{name}"))
            .unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(header("exchange"), EXCHANGE);
    assert_eq!(header("routing-key"), "user.deleted");
    assert_eq!(header("version"), env!("CARGO_PKG_VERSION"));
    assert!((2..=24).contains(&header("attempts").parse().expect("a number")));
    assert!(!header("detail").is_empty() && !header("detail").contains(USER_MARK));
    let time = |name| header(name).parse::<Timestamp>().expect("RFC 3339");
    // They are given in milliseconds.
    let begun = begun - Duration::from_millis(1);
    assert!(begun <= time("first-seen"));
    assert!(time("first-seen") <= time("dead-lettered-at"));
    assert!(time("dead-lettered-at") <= Timestamp::now());
    stage.finish(worker).await;
}

#[tokio::test]
async fn a_rejected_user_of_a_large_event_is_named_and_the_others_are_cleared() {
    let stage = Stage::new().await;
    stage.import(0..300);
    for guilty in [5, 150] {
        stage.simulator.reject_user(user(guilty), 60015);
    }
    let event = deleted(&(0..300).collect::<Vec<_>>());
    let worker = stage.worker().await;
    stage.publish([event.clone()]).await;
    stage.cleared(298).await;
    let [letter] = <[Incoming; 1]>::try_from(stage.letters(1).await).expect("one letter");
    assert_same(&letter, &event);
    let mut named = letter.texts("tagsweep-failed-users");
    named.sort();
    assert_eq!(named, [user(5), user(150)]);
    stage.finish(worker).await;
}

#[tokio::test]
async fn a_window_that_is_too_large_is_split() {
    let mut stage = Stage::new().await;
    stage.set("WINDOW__MAX_WAIT", "5m");
    stage
        .simulator
        .add_fault(Rule::new(Fault::Answer(90018)).next_calls(1));
    stage.import(0..100);
    let worker = stage.worker().await;
    stage.delete(0..100).await;
    let stats = stage.cleared(100).await;
    assert_eq!((stats.calls, stats.accepted), (3, 2));
    stage.finish(worker).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_dead_lettered_as_it_came() {
    let stage = Stage::new().await;
    let odd = Outgoing {
        routing_key: "user.deleted".to_owned(),
        body: format!("\u{0}\u{ff} no JSON, and {}", user(1)).into_bytes(),
        properties: lapin::BasicProperties::default().with_content_type("text/x-odd".into()),
    }
    .with_headers(&[("x-tenant", "t-1")]);
    let no_user = Outgoing::json("user.deleted", r#"{"type":"user.deleted"}"#);
    stage.import(0..1);
    let worker = stage.worker().await;
    stage.publish([odd.clone(), no_user.clone()]).await;
    stage.delete([0]).await;
    let mut letters = stage.letters(2).await;
    letters.sort_by_key(|letter| {
        letter.properties.content_type() == no_user.properties.content_type()
    });
    for (letter, original) in letters.iter().zip([&odd, &no_user]) {
        assert_same(letter, original);
        assert_failed(letter, "malformed-event", None, &[]);
        assert_eq!(letter.header("tagsweep-attempts").as_deref(), Some("0"));
    }
    assert_eq!(letters[0].header("x-tenant").as_deref(), Some("t-1"));
    stage.cleared(1).await;
    stage.finish(worker).await;
}

#[tokio::test]
async fn ids_that_break_the_rule_are_dead_lettered_and_the_good_ones_of_their_event_cleared() {
    let long = format!("{USER_MARK}{}", "x".repeat(29));
    let control = format!("{USER_MARK}a\u{7}b");
    assert_eq!(long.len(), 33);
    let event = Outgoing::json(
        "user.deleted",
        serde_json::json!({ "type": "user.deleted", "user_ids": [user(0), long, user(1), control] }),
    );
    let stage = Stage::new().await;
    stage.import(0..2);
    let worker = stage.worker().await;
    stage.publish([event.clone()]).await;
    stage.cleared(2).await;
    let [letter] = <[Incoming; 1]>::try_from(stage.letters(1).await).expect("one letter");
    assert_same(&letter, &event);
    assert_failed(&letter, "invalid-user-id", None, &[long, control]);
    let account = stage.finish(worker).await;
    assert_eq!(account.count("users_cleared"), 2);
    assert_eq!(account.count("events_dead_lettered"), 1);
    assert_eq!(account.count("users_dead_lettered"), 2);
}

/// The original is all there.
fn assert_same(letter: &Incoming, original: &Outgoing) {
    assert_eq!(letter.body, original.body);
    assert_eq!(letter.routing_key, original.routing_key);
    assert_eq!(
        letter.properties.content_type(),
        original.properties.content_type()
    );
}

fn assert_failed(letter: &Incoming, reason: &str, code: Option<i64>, users: &[String]) {
    assert_eq!(letter.header("tagsweep-reason").as_deref(), Some(reason));
    let code = code.map(|code| code.to_string());
    assert_eq!(letter.header("tagsweep-error-code"), code);
    assert_eq!(letter.texts("tagsweep-failed-users"), users);
}
