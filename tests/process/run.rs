//! The worker's life: signals, crashes, a broker that comes late, and its logs.

use std::collections::HashSet;
use std::time::Duration;

use im_simulator::{Fault, Rule};
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
fn line(log: &str, message: &str) -> Value {
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut found = lines.filter(|line: &Value| line["message"] == message);
    let found = found.next();
    found.unwrap_or_else(|| panic!("the log does not say {message:?}\n{log}"))
}

#[tokio::test]
async fn the_line_of_a_dead_letter_has_what_its_headers_have_and_users_as_a_list_of_aliases() {
    let stage = Stage::new().await;
    let worker = stage.worker().await;
    stage.import(0..4);
    stage.simulator.reject_user(user(0), 90001);
    stage.delete(0..4).await;
    stage.letters_wait(1).await;
    stage.all_settled().await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
    let letters = stage.letters().await;
    let said = line(&log, "dead-lettering an event");
    for (field, header) in [
        ("letter", "tagsweep-letter-id"),
        ("reason", "tagsweep-reason"),
        ("detail", "tagsweep-detail"),
    ] {
        let header = letters[0].header(header);
        assert_eq!(said[field].as_str(), header.as_deref(), "{said}");
    }
    assert_eq!((&said["code"], &said["users"]), (&json!(90001), &json!(1)));
    let aliases = said["aliases"].as_array().unwrap();
    assert!(
        matches!(&aliases[..], [Value::String(alias)] if alias.starts_with("user-")),
        "{said}"
    );
}

#[tokio::test]
async fn a_reload_of_a_secret_file_that_cannot_be_used_is_warned_of_and_changes_nothing() {
    let stage = Stage::new().await;
    stage.import(0..3);
    let folder = tempfile::tempdir().unwrap();
    let [key, url] = ["key", "url"].map(|name| folder.path().join(name));
    std::fs::write(&key, SECRET_KEY).unwrap();
    std::fs::write(&url, stage.vhost.url()).unwrap();
    let worker = stage
        .program("run")
        .unset("im.secret_key")
        .unset("rabbitmq.url")
        .set("im.secret_key_file", key.display())
        .set("rabbitmq.url_file", url.display())
        .start();
    worker.says("broker session open").await;
    stage.delete(0..1).await;
    stage.cleared(1).await;

    std::fs::write(&key, "").unwrap();
    std::fs::remove_file(&url).unwrap();
    worker.signal("HUP").await;
    worker.says("rabbitmq.url_file").await;
    stage.delete(1..2).await;
    stage.cleared(2).await;
    worker
        .says("using the current UserSig until it expires")
        .await;
    stage.vhost.close_connections("a cut").await.unwrap();
    worker.says("broker session lost").await;
    let amqp = testkit::amqp::Amqp::connect(&stage.vhost.url()).await;
    let stage = Stage {
        amqp: amqp.unwrap(),
        ..stage
    };
    stage.delete(2..3).await;
    stage.cleared(3).await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let warned: Vec<Value> = lines
        .filter(|line: &Value| line["key"].is_string())
        .map(|line| json!([line["level"], line["key"], line["path"]]))
        .collect();
    let expected = [("im.secret_key_file", &key), ("rabbitmq.url_file", &url)];
    assert_eq!(
        warned,
        expected.map(|(key, path)| json!(["WARN", key, path]))
    );
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

#[tokio::test]
async fn an_error_that_ends_the_worker_is_a_line_of_the_log_where_that_is_json() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let program = sound("run").set("admin.listen", taken.local_addr().unwrap());
    let why = "admin.listen: cannot listen on";
    for (settings, is_json) in [
        (("log.format", "json"), true),
        (("log.format", "text"), false),
        // A log that shows nothing must not hide why the worker ended.
        (("log.level", "off"), false),
    ] {
        let (key, value) = settings;
        let ended = program.clone().set(key, value).run().await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        if is_json {
            let error = line(&ended.stderr, "exiting with an error");
            assert_eq!(error["level"], "ERROR");
            assert!(error["reason"].as_str().unwrap().starts_with(why));
        } else {
            let start = format!("tagsweep: {why}");
            assert!(ended.stderr.starts_with(&start), "{ended:?}");
        }
    }
}

#[tokio::test]
async fn logs_are_json_lines_without_a_terminal_and_text_where_the_configuration_says_so() {
    let stage = Stage::new().await;
    stage.import(0..1);
    stage.declare().await;
    for (settings, json, calls) in [
        ([("log.format", "auto"), ("log.level", "info")], true, false),
        ([("log.format", "json"), ("log.level", "debug")], true, true),
        (
            [("log.format", "text"), ("log.level", "info")],
            false,
            false,
        ),
        (
            [
                ("log.format", "text"),
                ("log.level", "tagsweep::shell=debug"),
            ],
            false,
            true,
        ),
    ] {
        let mut program = stage.program("run");
        for (key, value) in settings {
            program = program.set(key, value);
        }
        let before = stage.simulator.stats().users_cleared;
        stage.delete(0..1).await;
        let worker = program.start();
        stage
            .seen("a call", |stats| stats.users_cleared > before)
            .await;
        worker.signal("TERM").await;
        let (code, log) = worker.ended().await;
        assert_eq!(code, Some(0), "{log}");
        assert_eq!(log.contains("call done"), calls, "{log}");
        assert!(!log.contains('\x1b'), "{log}");
        assert!(log.lines().count() > 2, "{log}");
        for line in log.lines() {
            let parsed = serde_json::from_str::<Value>(line);
            assert_eq!(parsed.is_ok(), json, "{line}");
            let Ok(fields) = parsed else { continue };
            for field in ["timestamp", "level", "message", "target"] {
                assert!(fields[field].is_string(), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn a_log_level_of_error_is_silent_on_a_good_day() {
    let stage = Stage::new().await;
    stage.import(0..1);
    let worker = stage.program("run").set("log.level", "error").start();
    testkit::eventually(PATIENCE, "the worker consumes", async || {
        let consumers = stage.vhost.consumers(QUEUE).await;
        consumers.is_ok_and(|count| count == 1).then_some(())
    })
    .await;
    stage.delete(0..1).await;
    stage.cleared(1).await;
    worker.signal("TERM").await;
    assert_eq!(worker.ended().await, (Some(0), String::new()));
}

/// What goes wrong is what gets logged, and the most talkative level tells the most.
#[tokio::test]
async fn no_secret_and_no_user_is_in_the_log_at_trace_level_whatever_goes_wrong() {
    let stage = Stage::new().await;
    let (node, vhost) = (stage.vhost.node(), stage.vhost.name());
    let name = testkit::rabbitmq::unique("operator");
    node.ctl(&["add_user", &name, "pa55word"]).await.unwrap();
    node.ctl(&["set_permissions", "-p", vhost, &name, ".*", ".*", ".*"])
        .await
        .unwrap();
    let url = stage
        .vhost
        .url()
        .replace("guest:guest", &format!("{name}:pa55word"));
    stage.import(0..200);
    for (number, fault) in [
        (1, Fault::Reset),
        (2, Fault::ErrorStatus(502)),
        (3, Fault::BrokenJson),
        (4, Fault::Truncated),
        (5, Fault::Answer(91000)),
        (6, Fault::Answer(60007)),
        (7, Fault::Answer(70001)),
        (
            8,
            Fault::Body(format!(r#"{{"ActionStatus":"{}"}}"#, user(8))),
        ),
    ] {
        let rule = Rule::new(fault).only_for_user(user(number)).next_calls(1);
        stage.simulator.add_fault(rule);
    }
    stage.simulator.reject_user(user(9), 90001);
    stage.simulator.reject_user_in_error_list(user(10), 70402);
    let worker = stage
        .program("run")
        .set("rabbitmq.url", url)
        .set("window.max_ids", 5)
        .set("retry.backoff_min", "10ms")
        .set(
            "log.level",
            "trace,lapin=trace,reqwest=trace,hyper_util=trace,rustls=trace",
        )
        .start();
    worker.says("broker session open").await;

    // Dead letters that are returned come back with the user in a header.
    stage.amqp.delete(&[DEAD_LETTERS], &[]).await.unwrap();
    stage.delete(0..100).await;
    stage
        .publish([
            Outgoing::json("user.deleted", format!("{{\"user_id\": {:?}", user(1))),
            Outgoing::json(
                "user.deleted",
                json!({ "user_id": format!("{}ä", user(2)) }),
            ),
        ])
        .await;
    stage.cleared(98).await;
    worker.says("dead letter rejected by the broker").await;
    // The next session declares the queue again.
    assert!(stage.vhost.close_connections(&user(3)).await.unwrap() > 0);
    let stage = Stage {
        amqp: testkit::amqp::Amqp::connect(&stage.vhost.url())
            .await
            .unwrap(),
        ..stage
    };
    // Guilt needs a witness: calls that succeed later.
    stage.delete(100..150).await;
    stage.cleared(148).await;
    stage.letters_wait(4).await;

    stage.simulator.set_secret_key("5ec2e7-another");
    stage.delete(150..180).await;
    worker.says("paused").await;
    stage.simulator.set_secret_key(SECRET_KEY);
    stage.cleared(178).await;

    node.ctl(&["change_password", &name, "pa55word-another"])
        .await
        .unwrap();
    stage.vhost.close_connections("a cut").await.unwrap();
    worker.says("refused user or password").await;
    node.ctl(&["change_password", &name, "pa55word"])
        .await
        .unwrap();
    let amqp = testkit::amqp::Amqp::connect(&stage.vhost.url())
        .await
        .unwrap();
    amqp.publish(EXCHANGE, (180..200).map(deleted))
        .await
        .unwrap();
    stage.cleared(198).await;
    worker.signal("TERM").await;
    // Ends with a search of the whole log.
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0));
    for said in [
        "call failed",
        "call refused",
        "inconsistent answer",
        "dead-lettering",
        "slowing down",
    ] {
        assert!(log.contains(said), "{said:?} is not in the log");
    }
}
