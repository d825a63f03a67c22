//! Reading shows everything and changes nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};
use testkit::amqp::Outgoing;

use crate::letters::*;
use crate::program::Program;
use crate::stage::*;

/// Reading 10,000 letters and giving them back; a debug build on a busy machine takes longer.
const QUICK: Duration = match cfg!(debug_assertions) {
    true => Duration::from_secs(10),
    false => Duration::from_secs(2),
};

#[tokio::test]
async fn ten_thousand_letters_are_listed_in_seconds_and_stay_as_they_are() {
    let stage = Stage::with_letters(letters(0..10_000)).await;
    let mut quickest = Duration::MAX;
    for _ in 0..4 {
        let start = Instant::now();
        let list = stage.dlq_json("list").await;
        quickest = quickest.min(start.elapsed());
        assert_eq!(list["total"], 10_000);
        // At once, and not some time later.
        assert_eq!(stage.vhost.ready(DEAD_LETTERS).await.unwrap(), 10_000);
    }
    assert!(quickest < QUICK, "{quickest:?}");
    let letters = stage.taken(DEAD_LETTERS).await;
    let order = letters
        .iter()
        .map(|letter| letter.header("tagsweep-letter-id").unwrap());
    assert!(order.eq(ids(0..10_000)), "the order is another");
    // As the contract says: only 4.3 does not count what is looked at.
    let version = stage.vhost.node().version().await.unwrap();
    let is_counted = !matches!(version.split('.').take(2).map(|part| part.parse().unwrap()).collect::<Vec<u32>>()[..], [major, minor] if (major, minor) >= (4, 3));
    for letter in [&letters[0], &letters[9_999]] {
        let count = letter.header("x-delivery-count");
        let count = count.unwrap_or_else(|| "0".to_owned());
        assert_eq!(count, if is_counted { "4" } else { "0" }, "on {version}");
    }
}

#[tokio::test]
async fn seventy_thousand_letters_are_read_in_two_ranges_and_stay_in_order() {
    let stage = Stage::with_letters(letters(0..70_000)).await;
    let ended = stage.dlq_ok("list --json --reason rejected-by-api").await;
    assert_eq!(ended.json()["total"], 70_000);
    assert_eq!(ended.json()["matched"], 70_000);
    assert!(
        ended
            .stderr
            .contains("70,000 letters were read in 2 ranges of up to 65,535"),
        "{}",
        ended.stderr
    );
    assert_eq!(stage.vhost.ready(DEAD_LETTERS).await.unwrap(), 70_000);
    assert!(
        stage.order().await == ids(0..70_000),
        "the order is another"
    );
}

#[tokio::test]
async fn the_json_of_a_list_is_that_of_the_contract() {
    let redriven = Letter::new(1).number("tagsweep-redriven", 2);
    let malformed = Letter::new(2)
        .reason("malformed-event")
        .without("tagsweep-error-code")
        .without("tagsweep-failed-users")
        .with_body(b"{");
    let stage = Stage::with_letters([redriven.outgoing(), malformed.outgoing()]).await;
    let list = stage.dlq_json("list").await;
    let at = "2026-11-22T10:00:09.000Z";
    let meaning = |place: usize| list["groups"][place]["meaning"].clone();
    assert_eq!(
        list,
        json!({
            "queue": DEAD_LETTERS, "total": 2, "matched": 2,
            "groups": [
                { "reason": "malformed-event", "code": null, "count": 1, "users": 0,
                  "oldest": at, "newest": at, "meaning": meaning(0) },
                { "reason": "rejected-by-api", "code": 90001, "count": 1, "users": 1,
                  "oldest": at, "newest": at, "meaning": meaning(1) },
            ],
        })
    );
    let each = stage.dlq_json("list --each --code 90001").await;
    assert_eq!(each["total"], 2);
    assert_eq!(each["matched"], 1);
    assert_eq!(
        each["letters"],
        json!([{
            "id": "0000000000000001-1", "reason": "rejected-by-api", "code": 90001,
            "detail": "JSON of the body could not be parsed", "users": [user(1)], "attempts": 5,
            "first_seen": "2026-11-22T10:00:00.000Z", "dead_lettered_at": at, "redriven": 2,
            "exchange": EXCHANGE, "routing_key": "user.deleted", "bytes": 71,
        }])
    );
}

#[tokio::test]
async fn each_reason_is_shown_with_its_meaning_and_what_to_do() {
    // The contract's.
    let reasons = [
        "malformed-event",
        "invalid-user-id",
        "rejected-by-api",
        "unknown-account",
        "retries-exhausted",
        "returned-too-often",
        "unrecognised-event",
    ];
    let letter = |(number, reason): (usize, &&str)| {
        let letter = Letter::new(number).reason(reason);
        letter.without("tagsweep-error-code").outgoing()
    };
    let stage = Stage::with_letters(reasons.iter().enumerate().map(letter)).await;
    let list = stage.dlq_json("list").await;
    let text = stage.dlq_ok("list").await.stdout;
    for (number, reason) in reasons.iter().enumerate() {
        let explained = Program::new(&format!("explain --json {reason}"))
            .run()
            .await
            .json();
        let groups = list["groups"].as_array().unwrap();
        let group = groups
            .iter()
            .find(|group| group["reason"] == *reason)
            .unwrap();
        assert_eq!(group["meaning"], explained["meaning"]);
        let shown = stage.dlq_ok(&format!("show {number:016x}-1")).await.stdout;
        for said in [&explained["meaning"], &explained["advice"]] {
            let said = said.as_str().unwrap();
            assert!(text.contains(said), "{said}\n{text}");
            assert!(shown.contains(said), "{said}\n{shown}");
        }
    }
    // The code's own meaning says more than the reason's.
    stage.dead_letter([Letter::new(9).outgoing()]).await;
    let shown = stage.dlq_ok("show 0000000000000009-1").await.stdout;
    let explained = Program::new("explain --json 90001").run().await.json();
    for said in [&explained["meaning"], &explained["advice"]] {
        assert!(shown.contains(said.as_str().unwrap()), "{shown}");
    }
}

#[tokio::test]
async fn what_the_broker_or_another_program_put_there_is_shown_as_such() {
    let stage = Stage::with_letters([Outgoing::json("orders", "hello")]).await;
    let mut arguments = FieldTable::default();
    let text = |text: &str| AMQPValue::LongString(text.into());
    arguments.insert("x-dead-letter-exchange".into(), text(DEAD_LETTERS));
    for (queue, limit) in [("expiring", "x-message-ttl"), ("full", "x-max-length")] {
        let mut arguments = arguments.clone();
        arguments.insert(limit.into(), AMQPValue::LongInt(0));
        stage.amqp.declare(queue, arguments).await.unwrap();
        let event = Outgoing::json(queue, json!({ "type": "user.deleted", "user_id": "pii-1" }));
        stage.amqp.publish("", [event]).await.unwrap();
    }
    stage.letters_wait(3).await;
    let list = stage.dlq_json("list --each").await;
    let letters = list["letters"].as_array().unwrap();
    let letter = |reason: &str| {
        letters
            .iter()
            .find(|letter| letter["reason"] == reason)
            .unwrap()
    };
    for (reason, queue) in [("broker:expired", "expiring"), ("broker:maxlen", "full")] {
        let letter = letter(reason);
        assert_eq!(
            (&letter["exchange"], &letter["routing_key"]),
            (&json!(""), &json!(queue))
        );
        assert!(letter["dead_lettered_at"].is_string(), "{letter}");
        let shown = stage
            .dlq_ok(&format!("show {}", letter["id"].as_str().unwrap()))
            .await;
        assert!(
            shown.stdout.contains("RabbitMQ moved the message here"),
            "{}",
            shown.stdout
        );
    }
    assert_eq!(letter("foreign")["bytes"], 5);
    let explained = Program::new("explain broker:delivery_limit").run().await;
    assert_eq!(explained.code, Some(0), "{explained:?}");
    let filtered = stage.dlq_json("list --reason broker:expired").await;
    assert_eq!(
        (&filtered["total"], &filtered["matched"]),
        (&json!(3), &json!(1))
    );
}

/// As if the worker had written it for one user of three.
#[tokio::test]
async fn copied_headers_narrow_no_event_that_the_broker_dead_lettered() {
    let stage = Stage::with_letters([]).await;
    let mut arguments = FieldTable::default();
    let text = |text: &str| AMQPValue::LongString(text.into());
    arguments.insert("x-dead-letter-exchange".into(), text(DEAD_LETTERS));
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(0));
    stage.amqp.declare("expiring", arguments).await.unwrap();
    let event = json!({ "type": "user.deleted", "user_ids": [user(0), user(1), user(2)] });
    let copied = Letter::new(0).with_body(event.to_string().as_bytes());
    let copied = Outgoing {
        routing_key: "expiring".to_owned(),
        ..copied.outgoing()
    };
    stage.amqp.publish("", [copied]).await.unwrap();
    stage.letters_wait(1).await;
    let list = stage.dlq_json("list --each").await;
    assert_eq!(list["letters"][0]["reason"], "broker:expired", "{list}");
    stage.dlq_ok("redrive --all --yes").await;
    let events = stage.taken(QUEUE).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].header("tagsweep-only-users"), None);
}

#[tokio::test]
async fn of_equal_messages_each_has_an_id_of_its_own() {
    let stage = Stage::with_letters((0..3).map(|_| Outgoing::json("orders", "hello"))).await;
    let list = stage.dlq_json("list --each").await;
    let letters = list["letters"].as_array().unwrap();
    let ids: BTreeSet<_> = letters
        .iter()
        .map(|letter| letter["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 3, "{list}");
    let one = ids.last().unwrap();
    let purged = stage
        .dlq_json(&format!("purge --id {one} --yes --no-export"))
        .await;
    assert_eq!(purged["purged"], 1);
    assert_eq!(stage.dlq_json("list").await["total"], 2);
}

#[tokio::test]
async fn filters_of_one_kind_are_alternatives_and_different_ones_narrow() {
    let letters = [
        Letter::new(0),
        Letter::new(1).number("tagsweep-error-code", 70402),
        Letter::new(2)
            .reason("retries-exhausted")
            .number("tagsweep-error-code", 91000)
            .text("tagsweep-dead-lettered-at", "2026-11-23T10:00:00.000Z"),
        Letter::new(3)
            .reason("malformed-event")
            .without("tagsweep-error-code")
            .without("tagsweep-failed-users")
            .text("tagsweep-dead-lettered-at", "2026-11-24T10:00:00.000Z"),
    ];
    let stage = Stage::with_letters(letters.map(Letter::outgoing)).await;
    for (filter, expected) in [
        ("", &[0usize, 1, 2, 3] as &[usize]),
        ("--reason rejected-by-api", &[0, 1]),
        (
            "--reason malformed-event --reason retries-exhausted",
            &[2, 3],
        ),
        ("--code 70402 --code 91000", &[1, 2]),
        ("--reason rejected-by-api --code 70402", &[1]),
        ("--reason malformed-event --code 70402", &[]),
        ("--user pii-00000 --user pii-00002", &[0, 2]),
        ("--user pii-0000", &[]),
        ("--since 2026-11-23T10:00:00Z", &[2, 3]),
        ("--until 2026-11-23T11:00:00+01:00", &[0, 1, 2]),
        (
            "--since 2026-11-23T00:00:00Z --until 2026-11-24T00:00:00Z",
            &[2],
        ),
        ("--since 1s", &[]),
        ("--until 1s", &[0, 1, 2, 3]),
        ("--id 0000000000000003-1 --id 0000000000000000-1", &[0, 3]),
    ] {
        let list = stage.dlq_json(&format!("list --each {filter}")).await;
        let found = list["letters"].as_array().unwrap().iter();
        let found: Vec<&str> = found.map(|letter| letter["id"].as_str().unwrap()).collect();
        assert_eq!(found, ids(expected.iter().copied()), "{filter}");
        assert_eq!(list["total"], 4);
    }
    let none = stage.dlq_ok("list --reason malformd-event").await.stdout;
    assert!(
        none.contains("none of 4 letters matches; there are 1 malformed-event"),
        "{none}"
    );
}

#[tokio::test]
async fn an_export_holds_whole_letters_one_a_line() {
    let binary = Letter::new(1).with_body(&[0xff, 0]).text("x-tenant", "eu");
    let stage = Stage::with_letters([Letter::new(0).outgoing(), binary.outgoing()]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letters.ndjson");
    let exported = stage
        .dlq("export --out")
        .argument(file.to_str().unwrap())
        .run()
        .await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, stage.dlq_ok("export").await.stdout);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["id"], "0000000000000000-1");
    let body: Value = serde_json::from_str(lines[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["user_id"], user(0));
    assert_eq!(lines[0].get("body_encoding"), None);
    assert_eq!(
        (&lines[1]["body"], &lines[1]["body_encoding"]),
        (&json!("/wA="), &json!("base64"))
    );
    assert_eq!(lines[1]["headers"]["x-tenant"], "eu");
    assert_eq!(lines[1]["properties"]["content_type"], "application/json");
    assert_eq!(stage.order().await, ids(0..2));
}

#[tokio::test]
async fn the_probe_of_check_is_no_letter() {
    let probe = Outgoing::json("user.deleted", "");
    let mut headers = FieldTable::default();
    headers.insert("tagsweep-check".into(), AMQPValue::Boolean(true));
    let probe = Outgoing {
        properties: probe.properties.with_headers(headers),
        ..probe
    };
    let stage = Stage::with_letters([Letter::new(0).outgoing(), probe]).await;
    assert_eq!(stage.dlq_json("list").await["total"], 1);
    let purged = stage.dlq_json("purge --all --yes --no-export").await;
    assert_eq!(
        purged,
        json!({ "matched": 1, "purged": 1, "exported_to": null })
    );
    assert_eq!(stage.order().await, [""]);
}

#[tokio::test]
async fn a_letter_cannot_control_the_terminal() {
    let evil = Letter::new(0)
        .text("tagsweep-detail", "\x1b[2Jgone\u{202e}")
        .text("x-\x1b]0;title\x07", "\u{9b}31m")
        .with_body(b"{\"a\":\"\x1b[1m\"");
    let stage = Stage::with_letters([evil.outgoing()]).await;
    for command in ["list", "list --each", "show 0000000000000000-1"] {
        let text = stage.dlq_ok(command).await.stdout;
        let shown = |character: char| character.is_control() && character != '\n';
        assert!(
            !text.contains(shown) && !text.contains('\u{202e}'),
            "{text:?}"
        );
    }
}
