//! An API that does nothing for anybody for a while: down, off, throttled, or ours is the wrong key.
//!
//! The one test that takes a minute is in here, and this file's name is the first to be run.

use std::time::Duration;

use im_simulator::{Fault, Rule};

use crate::stage::*;

#[tokio::test]
async fn an_api_that_rejects_everything_for_a_minute_costs_none_of_3000_users() {
    let stage = Stage::new().await;
    stage.prepare_queues().await;
    stage.import(0..3_000);
    stage.delete(0..3_000).await;
    let minute = Duration::from_secs(60);
    stage
        .simulator
        .add_fault(Rule::new(Fault::Answer(90001)).lasting(minute));
    let worker = stage.worker().await;
    // Probes are up to a minute apart.
    let over = stage
        .simulator
        .wait_for(3 * minute, |stats| stats.accepted > 0)
        .await;
    let over = over.expect("the worker probes");
    assert!(over.refused_with(90001) < 100, "{over:?}");
    stage.cleared(3_000).await;
    let account = stage.finish(worker).await;
    assert_eq!(account.count("events_done"), 3_000);
}

#[tokio::test]
async fn an_outage_that_outlasts_the_hold_limit_returns_events_once_and_ends_by_itself() {
    let mut stage = Stage::new().await;
    stage.set("IM__CONNECT_TIMEOUT", "1s");
    stage.set("IM__REQUEST_TIMEOUT", "1s");
    stage.set("RETRY__BACKOFF_MAX", "1s");
    stage.set("RABBITMQ__HOLD_LIMIT", "4s");
    stage.simulator.import_users(["tagsweep-control"]);
    let outage = stage.simulator.add_fault(Fault::Answer(91000));
    stage.import(0..200);
    let worker = stage.worker().await;
    stage.delete(0..200).await;
    stage
        .says("paused for longer than rabbitmq.hold_limit", 1)
        .await;
    let calls = stage.simulator.stats().calls;
    stage
        .seen("probes go on", |stats| stats.calls >= calls + 2)
        .await;
    stage.simulator.remove_fault(outage);
    // The control user is cleared too, and must not be counted for one of them.
    let has_tags = |number| {
        stage
            .simulator
            .tags(&user(number))
            .is_some_and(|tags| !tags.is_empty())
    };
    testkit::eventually(PATIENCE, "all users are cleared", async || {
        (!(0..200).any(has_tags)).then_some(())
    })
    .await;
    let account = stage.finish(worker).await;
    // Those that came first may have been held for their time before the pause was known to be a long one.
    let returned = account.count("events_returned");
    assert!((200..300).contains(&returned), "{returned}");
}

#[tokio::test]
async fn throttling_slows_the_worker_down_and_dead_letters_nothing() {
    let mut stage = Stage::new().await;
    stage.set("WINDOW__MAX_IDS", 10);
    // The app's true quota is a quarter of what the worker was told.
    stage.simulator.set_calls_per_second(Some(25));
    stage.import(0..1_000);
    let worker = stage.worker().await;
    stage.delete(0..1_000).await;
    let stats = stage.cleared(1_000).await;
    assert!(stats.refused_with(60007) > 0);
    assert!(stage.said("slowing down") > 0);
    stage.finish(worker).await;
}

#[tokio::test]
async fn a_spell_of_nothing_but_throttling_ends_without_a_dead_letter() {
    let stage = Stage::new().await;
    let spell = Rule::new(Fault::Answer(60007)).lasting(Duration::from_secs(3));
    stage.simulator.add_fault(spell);
    stage.import(0..3_000);
    let worker = stage.worker().await;
    stage.delete(0..3_000).await;
    let stats = stage.cleared(3_000).await;
    assert!(stats.refused_with(60007) > 0);
    let account = stage.finish(worker).await;
    assert_eq!(account.count("events_done"), 3_000);
}

#[tokio::test]
async fn a_code_that_cannot_be_the_users_fault_pauses_and_work_goes_on_by_itself() {
    // A refused renewal, a lone window that is too large, and a code that nobody knows.
    for code in [70001, 90018, 12345] {
        let stage = Stage::new().await;
        let rule = stage.simulator.add_fault(Fault::Answer(code));
        stage.import(0..1);
        let worker = stage.worker().await;
        stage.delete([0]).await;
        stage.says("paused: API calls suspended", 1).await;
        stage.simulator.remove_fault(rule);
        stage.cleared(1).await;
        stage.says("API recovered, resuming", 1).await;
        stage.finish(worker).await;
    }
}

#[tokio::test]
async fn a_feature_that_is_off_pauses_and_work_goes_on_by_itself_when_it_is_on() {
    let stage = Stage::new().await;
    stage.simulator.set_feature_enabled(false);
    stage.import(0..250);
    let worker = stage.worker().await;
    stage.delete(0..250).await;
    stage.says("paused: API calls suspended", 1).await;
    // A probe, too, finds it off.
    let refused = stage.simulator.stats().refused_with(90045);
    stage
        .seen("a probe", |stats| stats.refused_with(90045) > refused)
        .await;
    assert_eq!(stage.ready(DEAD_LETTERS).await, 0);
    stage.simulator.set_feature_enabled(true);
    stage.cleared(250).await;
    assert_eq!(stage.said("API recovered, resuming"), 1);
    let account = stage.finish(worker).await;
    assert_eq!(account.count("events_done"), 250);
}

#[tokio::test]
async fn a_wrong_secret_key_dead_letters_nothing_and_work_goes_on_once_the_file_holds_the_right_one()
 {
    let key_file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key_file.path(), SECRET_KEY.replace('7', "8")).expect("it is written");
    let mut stage = Stage::new().await;
    stage.unset("IM__SECRET_KEY");
    stage.set("IM__SECRET_KEY_FILE", key_file.path().display());
    stage.import(0..250);
    let worker = stage.worker().await;
    stage.delete(0..250).await;
    stage.says("paused: API calls suspended", 1).await;
    assert_eq!(stage.last_line("paused: API calls suspended, probing periodically; events wait, none is dead-lettered unless the broker would drop it")["class"], "config");
    let calls = stage.simulator.stats().calls;
    stage.seen("a probe", |stats| stats.calls > calls).await;
    assert_eq!(stage.simulator.stats().accepted, 0);
    assert_eq!(stage.ready(DEAD_LETTERS).await, 0);
    std::fs::write(key_file.path(), SECRET_KEY).expect("it is written");
    stage.cleared(250).await;
    let account = stage.finish(worker).await;
    assert_eq!(account.count("events_done"), 250);
}

#[tokio::test]
async fn an_api_that_rejects_everybody_for_a_moment_costs_no_user_of_a_quiet_queue() {
    let stage = Stage::new().await;
    // Both users stand alone when the API is itself again: the first success must not convict the other.
    stage
        .simulator
        .add_fault(Rule::new(Fault::Answer(90001)).next_calls(4));
    stage.import(0..2);
    let worker = stage.worker().await;
    stage.publish([deleted(&[0, 1])]).await;
    stage.cleared(2).await;
    stage.finish(worker).await;
}
