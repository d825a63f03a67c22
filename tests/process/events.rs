//! `tagsweep events`, and the worker with rules.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::amqp::Outgoing;

use crate::program::{Ended, Program};
use crate::stage::*;

const CONFIGURATION: &str = r#"
[events]
presets = ["clerk", { name = "masstransit", message = "urn:message:Contracts:UserDeleted" }]
unmatched = "dead-letter"

[[events.mapping]]
name = "reset"
when = "@.routing_key == 'accounts' && @.headers.kind == 'reset'"
users = "$.body.accounts[*]"
reset = true

[[events.mapping]]
name = "noise"
when = "@.body.event == 'login'"
ignore = true
"#;

/// A folder with that configuration.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("config.toml", CONFIGURATION);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// The command has no other settings: it needs nothing of the broker and the API.
    fn test(&self, arguments: &str, files: &[&str]) -> Program {
        let program = Program::new("events test").file(&self.path("config.toml"));
        let program = arguments
            .split_whitespace()
            .fold(program, Program::argument);
        files.iter().fold(program, |program, file| {
            program.argument(self.path(file).to_str().unwrap())
        })
    }
}

fn objects(ended: &Ended) -> Vec<Value> {
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn events_test_says_of_each_message_what_becomes_of_it_and_which_rule_decides() {
    let folder = Folder::new();
    folder.write(
        "clerk.json",
        r#"{"object":"event","type":"user.deleted","data":{"object":"user","deleted":true,"id":"u-1"}}"#,
    );
    folder.write(
        "reset.message",
        "routing-key: accounts\nheader kind: reset\n\n{\"accounts\":[\"u-2\",3]}",
    );
    folder.write("plain.json", r#"{"type":"user.deleted","user_id":"u-4"}"#);
    folder.write("foreign.json", r#"{"type":"user.created","user_id":"u-5"}"#);
    folder.write("noise.json", r#"{"event":"login","user_id":"u-6"}"#);
    let files = [
        "clerk.json",
        "reset.message",
        "plain.json",
        "foreign.json",
        "noise.json",
    ];
    let ended = folder.test("--json", &files).run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let found = objects(&ended);
    let keys = ["outcome", "users", "rule", "form", "reset"];
    for (file, object, expected) in [
        (
            "clerk.json",
            &found[0],
            json!(["users", ["u-1"], "clerk", "rule", false]),
        ),
        (
            "reset.message",
            &found[1],
            json!(["users", ["u-2", "3"], "reset", "rule", true]),
        ),
        (
            "plain.json",
            &found[2],
            json!(["users", ["u-4"], null, "plain", false]),
        ),
        (
            "foreign.json",
            &found[3],
            json!(["ignored", [], null, "plain", false]),
        ),
        (
            "noise.json",
            &found[4],
            json!(["ignored", [], "noise", "rule", false]),
        ),
    ] {
        assert_eq!(object["file"], folder.path(file).to_str().unwrap());
        assert!(object["why"].is_string());
        let values: Value = keys.iter().map(|key| object[*key].clone()).collect();
        assert_eq!(values, expected, "{file}");
    }
}

#[tokio::test]
async fn what_would_be_dead_lettered_ends_with_3_and_says_why_each_rule_does_not_hold() {
    let folder = Folder::new();
    folder.write("unknown.json", r#"{"event":"erased","user_id":"u-1"}"#);
    let ended = folder.test("", &["unknown.json"]).run().await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    for expected in [
        "malformed: no rule holds, and neither a form nor a type was recognised",
        "not by rule reset: @.routing_key == 'accounts' (it is \"\")",
        "not by rule noise: @.body.event == 'login' (it is \"erased\")",
        "not by rule clerk: @.body.object == 'event' (it is absent)",
        "not by rule masstransit: @.body.messageType[?@ == 'urn:message:Contracts:UserDeleted']",
    ] {
        assert!(ended.stdout.contains(expected), "{expected}: {ended:?}");
    }
    let ended = folder.test("--color always", &["unknown.json"]).run().await;
    assert!(ended.stdout.contains("\u{1b}[31m"), "{ended:?}");
    let ended = folder
        .test("--json", &["unknown.json"])
        .set("events.unmatched", "ignore")
        .run()
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(objects(&ended)[0]["outcome"], "ignored");
    let ended = folder
        .test("--json --routing-key accounts --header kind=reset -", &[])
        .input(r#"{"accounts":[]}"#)
        .run()
        .await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let found = &objects(&ended)[0];
    assert_eq!(found["rule"], "reset");
    let why = "the rule holds, but its queries for users select nothing";
    assert_eq!(
        (&found["outcome"], &found["why"]),
        (&json!("malformed"), &json!(why))
    );
}

#[tokio::test]
async fn a_wrong_rule_is_refused_by_every_command_that_reads_events() {
    let folder = Folder::new();
    folder.write(
        "config.toml",
        "[[events.mapping]]\nname = 'shop'\nwhen = \"@.body.type = 'x'\"\nusers = '$.body.id'\n",
    );
    for program in [
        folder.test("-", &[]),
        sound("check --offline").file(&folder.path("config.toml")),
    ] {
        let ended = program.run().await;
        assert_eq!(ended.code, Some(78), "{ended:?}");
        let said = ended.stdout + &ended.stderr;
        let expected =
            "rule \"shop\": when at character 13 of \"@.body.type = 'x'\": write == to compare";
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_message_or_not_there_is_named() {
    let folder = Folder::new();
    folder.write("wrong.message", "rooting-key: a\n\n{}");
    for (file, expected) in [
        ("wrong.message", "line 1 is no property and no header"),
        ("none.json", "cannot be read"),
    ] {
        let ended = folder.test("", &[file]).run().await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(expected), "{ended:?}");
        assert!(ended.stderr.contains(file), "{ended:?}");
    }
}

#[tokio::test]
async fn a_thousand_files_take_less_than_a_second_of_a_fast_machine() {
    let folder = Folder::new();
    let names: Vec<String> = (0..1_000).map(|number| format!("{number}.json")).collect();
    for name in &names {
        folder.write(name, r#"{"type":"user.deleted","user_id":"u-1"}"#);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let program = folder.test("--json", &names);
    let begun = Instant::now();
    let ended = program.run().await;
    assert_eq!(objects(&ended).len(), 1_000);
    // Tests run a build without optimisation, several at a time.
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn presets_are_listed_and_shown_as_rules_that_a_configuration_takes() {
    let listed = Program::new("events presets").run().await;
    assert_eq!(listed.code, Some(0));
    assert!(listed.stdout.contains("\nclerk "), "{listed:?}");
    let ended = Program::new("events presets clerk").run().await;
    assert_eq!(ended.code, Some(0));
    let folder = Folder::new();
    folder.write("config.toml", &ended.stdout);
    let ended = folder.test("-", &[]).input("{}").run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = Program::new("events presets clrek").run().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("did you mean clerk?"), "{ended:?}");
}

async fn publish(stage: &Stage, key: &str, body: Value, headers: &[(&str, &str)]) {
    let message = Outgoing::json(key, body).with_headers(headers);
    stage.publish([message]).await;
}

#[tokio::test]
async fn a_worker_clears_by_rules_counts_them_and_dead_letters_what_nothing_recognises() {
    let stage = Stage::new().await;
    stage.import(1..=5);
    let folder = Folder::new();
    let worker = stage
        .program("run")
        .file(&folder.path("config.toml"))
        .set("rabbitmq.routing_keys", "#")
        .start();
    worker.says("broker session open").await;
    let message = |id: usize| {
        let user = user(id);
        json!({ "messageType": ["urn:message:Contracts:UserDeleted"], "message": { "userId": user, "by": "admin" } })
    };
    publish(&stage, "contracts", message(1), &[]).await;
    publish(
        &stage,
        "accounts",
        json!({ "accounts": [user(2), user(3)] }),
        &[("kind", "reset")],
    )
    .await;
    publish(
        &stage,
        "x",
        json!({ "event": "login", "user_id": user(4) }),
        &[],
    )
    .await;
    publish(
        &stage,
        "user.deleted",
        json!({ "event": "user.created", "user_id": user(5) }),
        &[],
    )
    .await;
    publish(
        &stage,
        "contracts",
        json!({ "messageType": ["urn:message:Contracts:UserDeleted"] }),
        &[],
    )
    .await;
    let stats = stage.cleared(3).await;
    assert_eq!(stats.distinct_users_cleared, 3);
    stage.letters_wait(2).await;
    stage.all_settled().await;
    worker
        .answers(
            "/metrics",
            r#"tagsweep_events_matched_total{rule="masstransit"} 2"#,
        )
        .await;
    worker
        .answers(
            "/metrics",
            r#"tagsweep_events_matched_total{rule="reset"} 1"#,
        )
        .await;
    worker
        .answers(
            "/metrics",
            r#"tagsweep_events_matched_total{rule="noise"} 1"#,
        )
        .await;
    worker
        .answers(
            "/metrics",
            r#"tagsweep_events_matched_total{rule="clerk"} 0"#,
        )
        .await;
    worker
        .answers(
            "/metrics",
            r#"tagsweep_dead_letters_total{reason="unrecognised-event"} 1"#,
        )
        .await;
    let mut reasons: Vec<_> = stage
        .letters()
        .await
        .iter()
        .map(|letter| letter.header("tagsweep-reason").unwrap())
        .collect();
    reasons.sort();
    assert_eq!(reasons, ["malformed-event", "unrecognised-event"]);
    worker.signal("TERM").await;
    assert_eq!(worker.ended().await.0, Some(0));
}

#[tokio::test]
async fn what_nothing_recognises_is_acknowledged_with_a_warning_by_default() {
    let stage = Stage::new().await;
    let worker = stage.worker().await;
    let created = json!({ "event_name": "user_create", "user_id": user(1) });
    publish(&stage, "user.deleted", created, &[]).await;
    worker
        .says("no rule matches them, and they have no known form or type")
        .await;
    stage.all_settled().await;
    assert!(stage.letters().await.is_empty());
    assert_eq!(stage.simulator.stats().calls, 0);
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0));
    assert!(log.contains("\"level\":\"WARN\""), "{log}");
}

/// A letter that is published to the queue again is read as it was at first.
#[tokio::test]
async fn a_message_for_the_queue_directly_is_read_with_the_key_that_it_was_published_with() {
    let stage = Stage::new().await;
    stage.import([1]);
    let worker = stage.worker().await;
    let message = Outgoing::json(QUEUE, json!({ "user_id": user(1) }))
        .with_headers(&[("tagsweep-routing-key", "user.deleted")]);
    stage.amqp.publish("", [message]).await.unwrap();
    stage.cleared(1).await;
    worker.signal("TERM").await;
    assert_eq!(worker.ended().await.0, Some(0));
}
