//! The worker's life: signals, crashes, a broker that comes late, and its logs.

use std::collections::HashSet;
use std::time::Duration;

use im_simulator::Fault;
use serde_json::{Value, json};
use testkit::amqp::Outgoing;
use testkit::proxy::FaultProxy;

use crate::program::PATIENCE;
use crate::stage::*;

#[tokio::test]
async fn a_signal_in_mid_window_calls_what_waits_acknowledges_it_and_ends_with_0() {
    for signal in ["TERM", "INT"] {
        let stage = Stage::new().await;
        stage.import(0..7);
        let worker = stage.program("run").set("window.max_wait", "5m").start();
        worker.says("broker session open").await;
        stage.delete(0..7).await;
        // Events are read in order: when the letter for this one is there, all others wait in the window.
        let unreadable = Outgoing::json("user.deleted", "{");
        stage.publish([unreadable]).await;
        stage.letters_wait(1).await;
        assert_eq!(stage.simulator.stats().calls, 0);
        worker.signal(signal).await;
        let (code, log) = worker.ended().await;
        assert_eq!(code, Some(0), "{log}");
        assert_eq!(stage.simulator.stats().calls, 1);
        assert_eq!(stage.simulator.clear_counts(), [(1, 7)].into());
        stage.waits_in_the_queue(0).await;
    }
}

#[tokio::test]
async fn a_second_signal_stops_at_once_and_the_broker_delivers_again() {
    let stage = Stage::new().await;
    stage.import(0..5);
    let hang = stage.simulator.add_fault(Fault::Hang);
    let worker = stage.worker().await;
    stage.delete(0..5).await;
    stage
        .seen("a call hangs", |stats| stats.in_flight > 0)
        .await;
    worker.signal("TERM").await;
    worker.says("draining").await;
    worker.signal("INT").await;
    // Far below the grace period of 25 s, after which it would stop by itself.
    let (code, log) = within(Duration::from_secs(20), worker.ended()).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("second signal"), "{log}");
    stage.waits_in_the_queue(5).await;

    stage.simulator.remove_fault(hang);
    let worker = stage.worker().await;
    stage.cleared(5).await;
    worker.signal("TERM").await;
    assert_eq!(worker.ended().await.0, Some(0));
    stage.waits_in_the_queue(0).await;
}

#[tokio::test]
async fn a_mute_broker_does_not_hold_up_the_second_signal() {
    let stage = Stage::new().await;
    stage.simulator.add_fault(Fault::Hang);
    let proxy = FaultProxy::start(stage.broker()).unwrap();
    let url = stage.vhost.url_through(proxy.address().port());
    let worker = stage.program("run").set("rabbitmq.url", url).start();
    worker.says("broker session open").await;
    stage.delete(0..1).await;
    stage
        .seen("a call hangs", |stats| stats.in_flight > 0)
        .await;
    proxy.stall();
    worker.signal("TERM").await;
    worker.says("draining").await;
    worker.signal("TERM").await;
    // Far below the 10 s that one AMQP call may take.
    let (code, log) = within(Duration::from_secs(8), worker.ended()).await;
    assert_eq!(code, Some(1), "{log}");
}

#[tokio::test]
async fn the_end_of_the_grace_period_stops_the_worker_with_1() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..18);
    stage.delete(0..18).await;
    // 18 calls at one a second do not fit into the grace period.
    let worker = stage
        .program("run")
        .set("im.calls_per_second", 1)
        .set("window.max_ids", 1)
        .set("im.connect_timeout", "1s")
        .set("im.request_timeout", "1s")
        .set("shutdown.grace_period", "1500ms")
        .start();
    stage.cleared(1).await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("grace period expired"), "{log}");
    let cleared = stage.simulator.stats().users_cleared;
    assert!(cleared < 18);
    stage.waits_in_the_queue(18 - cleared).await;
}

#[tokio::test]
async fn no_user_is_lost_when_the_worker_is_killed_twenty_times() {
    const USERS: usize = 50_000;
    const KILLS: u64 = 20;
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..USERS);
    let rejected = |number: usize| number % 2_000 == 17 && number < 40_000;
    for number in (0..USERS).filter(|number| rejected(*number)) {
        stage.simulator.reject_user(user(number), 90001);
    }
    let malformed = |number: usize| number % 2_000 == 42 && number < 40_000;
    let events = (0..USERS).flat_map(|number| {
        let unreadable = Outgoing::json("user.deleted", json!({ "broken": number }));
        let unreadable = malformed(number).then_some(unreadable);
        [Some(deleted(number)), unreadable].into_iter().flatten()
    });
    stage.publish(events).await;

    let part = USERS as u64 / (KILLS + 2);
    for _ in 0..KILLS {
        let before = stage.simulator.stats().distinct_users_cleared;
        let worker = stage.program("run").start();
        stage.cleared(before + part).await;
        worker.kill().await;
    }
    let worker = stage.program("run").set("retry.backoff_max", "2s").start();
    let bad = (0..USERS).filter(|number| rejected(*number)).count();
    stage.cleared((USERS - bad) as u64).await;
    stage.letters_wait(2 * bad as u64).await;
    stage.all_settled().await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
    stage.waits_in_the_queue(0).await;

    // A letter that was confirmed and not acknowledged when the worker died is written again, so each
    // may be there more than once.
    let mut rejections = HashSet::new();
    let mut unreadable = HashSet::new();
    for letter in stage.letters().await {
        let body: Value = serde_json::from_slice(&letter.body).unwrap();
        match letter.header("tagsweep-reason").as_deref() {
            Some("rejected-by-api") => {
                rejections.insert(body["user_id"].as_str().unwrap().to_owned())
            }
            Some("malformed-event") => unreadable.insert(body["broken"].as_u64().unwrap() as usize),
            other => panic!("a dead letter for {other:?}"),
        };
    }
    for number in 0..USERS {
        assert_eq!(
            unreadable.contains(&number),
            malformed(number),
            "event {number}"
        );
        let lettered = rejections.contains(&user(number));
        assert_eq!(lettered, rejected(number), "user {number}");
        let cleared = stage.simulator.clears(&user(number)).count > 0;
        assert!(cleared != lettered, "user {number}");
    }
}

#[tokio::test]
async fn the_standby_takes_over_when_the_active_replica_is_killed() {
    const USERS: usize = 10_000;
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..USERS);
    stage.delete(0..USERS).await;
    // So slow that it cannot finish before the other is there.
    let active = stage.program("run").set("im.calls_per_second", 10).start();
    active.says("broker session open").await;
    let standby = stage.program("run").set("log.level", "debug").start();
    standby.says("broker session open").await;
    let now = stage.simulator.stats().distinct_users_cleared;
    let stats = stage.cleared(now + 500).await;
    assert!(stats.distinct_users_cleared < USERS as u64);
    assert!(!standby.log().contains("call done"), "two replicas work");
    active.kill().await;
    stage.cleared(USERS as u64).await;
    standby.signal("TERM").await;
    let (code, log) = standby.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("call done"), "{log}");
    stage.waits_in_the_queue(0).await;
}

#[tokio::test]
async fn a_broker_that_comes_late_is_waited_for() {
    let stage = Stage::new().await;
    stage.import(0..1);
    let proxy = FaultProxy::start(stage.broker()).unwrap();
    proxy.refuse().await.unwrap();
    let url = stage.vhost.url_through(proxy.address().port());
    let worker = stage.program("run").set("rabbitmq.url", url).start();
    testkit::eventually(PATIENCE, "it tries more than once", async || {
        let tries = worker.log().matches("no broker session, retrying").count();
        (tries > 1).then_some(())
    })
    .await;
    proxy.accept().await.unwrap();
    worker.says("broker session open").await;
    stage.delete(0..1).await;
    stage.cleared(1).await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0));
    let tried = line(&log, "no broker session, retrying");
    assert_eq!(tried["attempts"], 1);
    let opened = line(&log, "broker session open, consuming");
    assert!(opened["attempts"].as_u64() > Some(2), "{opened}");
    assert!(opened["disconnected_seconds"].is_number(), "{opened}");
}

/// The first line of a JSON log with this message.
pub fn line(log: &str, message: &str) -> Value {
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut found = lines.filter(|line: &Value| line["message"] == message);
    let found = found.next();
    found.unwrap_or_else(|| panic!("the log does not say {message:?}\n{log}"))
}

#[tokio::test]
async fn a_terminal_that_is_closed_ends_the_worker_in_good_order() {
    let stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let command = format!(
        "exec {} run 2>{}",
        env!("CARGO_BIN_EXE_tagsweep"),
        log.display()
    );
    // `script` gives it a terminal as its standard input, which is gone when `script` is.
    let mut script = stage
        .program("run")
        .wrapped_in("script", &["--quiet", "--command", &command, "/dev/null"]);
    let mut script = script.spawn().expect("script (of util-linux) can be run");
    let said = async |text: &str| {
        testkit::eventually(PATIENCE, text, async || {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            log.contains(text).then_some(log)
        })
        .await
    };
    said("broker session open").await;
    script.kill().await.unwrap();
    let log = said(r#""message":"ended""#).await;
    let asked = line(&log, "shutdown requested, draining");
    assert_eq!(asked["signal"], "SIGHUP");
    stage.waits_in_the_queue(0).await;
}
