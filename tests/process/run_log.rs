//! What `tagsweep run` logs, and what it never does.

use im_simulator::{Fault, Rule};
use serde_json::{Value, json};
use testkit::amqp::Outgoing;

use crate::program::PATIENCE;
use crate::run::line;
use crate::stage::*;

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
