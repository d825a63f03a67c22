//! Letters become events again, each of them, and at most what was on its way twice.

use std::collections::BTreeMap;

use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};
use testkit::amqp::Outgoing;

use crate::letters::*;
use crate::program::PATIENCE;
use crate::stage::*;

/// The events that a command has between publish and confirm.
const IN_FLIGHT: usize = 64;

#[tokio::test]
async fn a_redriven_event_is_the_original_and_says_where_it_was_published_and_for_whom() {
    let letter = Letter::new(1)
        .text("x-tenant", "eu")
        .texts("tagsweep-failed-users", &["pii-1", "pii-2"]);
    let again = Letter::new(2).number("tagsweep-redriven", 1).texts(
        "tagsweep-history",
        &["2026-11-20T10:00:00.000Z rejected-by-api 90001 an-earlier-letter"],
    );
    let stage = Stage::with_letters([letter.clone().outgoing(), again.outgoing()]).await;
    let redriven = stage.dlq_json("redrive --all --yes").await;
    assert_eq!(
        redriven,
        json!({ "matched": 2, "redriven": 2, "skipped": 0, "failed": 0 })
    );
    assert_eq!(stage.vhost.ready(DEAD_LETTERS).await.unwrap(), 0);
    let mut events = stage.taken(QUEUE).await;
    // They may be in another order: many are on their way at a time.
    events.sort_by_key(|event| event.properties.message_id().clone());
    let event = &events[0];
    assert_eq!(event.routing_key, QUEUE);
    assert_eq!(event.body, letter.body);
    assert_eq!(
        event.properties.message_id(),
        letter.properties.message_id()
    );
    assert_eq!(
        event.properties.content_type(),
        letter.properties.content_type()
    );
    assert_eq!(*event.properties.delivery_mode(), Some(2));
    for (header, value) in [
        ("x-tenant", "eu"),
        ("tagsweep-exchange", EXCHANGE),
        ("tagsweep-routing-key", "user.deleted"),
        ("tagsweep-redriven", "1"),
        ("tagsweep-first-seen", "2026-11-22T10:00:00.000Z"),
    ] {
        assert_eq!(event.header(header).as_deref(), Some(value), "{header}");
    }
    assert_eq!(event.texts("tagsweep-only-users"), ["pii-1", "pii-2"]);
    assert_eq!(
        event.texts("tagsweep-history"),
        ["2026-11-22T10:00:09.000Z rejected-by-api 90001 0000000000000001-1"]
    );
    for gone in [
        "tagsweep-reason",
        "tagsweep-failed-users",
        "tagsweep-letter-id",
        "tagsweep-dead-lettered-at",
    ] {
        assert_eq!(event.header(gone), None, "{gone}");
    }
    let event = &events[1];
    assert_eq!(event.header("tagsweep-redriven").as_deref(), Some("2"));
    assert_eq!(event.texts("tagsweep-history").len(), 2);
}

#[tokio::test]
async fn what_the_broker_dead_lettered_is_redriven_as_it_was_published_first() {
    let stage = Stage::with_letters([]).await;
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-dead-letter-exchange".into(),
        AMQPValue::LongString(DEAD_LETTERS.into()),
    );
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(0));
    stage.amqp.declare("expiring", arguments).await.unwrap();
    stage.amqp.bind("expiring", EXCHANGE).await.unwrap();
    stage.delete(1..2).await;
    stage.letters_wait(1).await;
    let before = stage.taken(QUEUE).await;
    let redriven = stage
        .dlq_json("redrive --reason broker:expired --yes")
        .await;
    assert_eq!(redriven["redriven"], 1);
    let events = stage.taken(QUEUE).await;
    let event = &events[0];
    assert_eq!(event.body, before[0].body);
    assert_eq!(
        event.header("tagsweep-routing-key").as_deref(),
        Some("user.deleted")
    );
    assert_eq!(event.header("tagsweep-exchange").as_deref(), Some(EXCHANGE));
    assert_eq!(event.header("x-death"), None);
    assert_eq!(event.header("tagsweep-only-users"), None);
}

#[tokio::test]
async fn letters_that_do_not_match_stay_in_order_behind_none_that_was_redriven() {
    let letters = (0..3_000).map(|number| {
        let letter = Letter::new(number);
        let code = if number % 3 == 0 { 70402 } else { 90001 };
        letter.number("tagsweep-error-code", code).outgoing()
    });
    let stage = Stage::with_letters(letters).await;
    let redriven = stage.dlq_json("redrive --code 70402 --yes").await;
    assert_eq!(redriven["redriven"], 1_000);
    assert_eq!(
        stage.order().await,
        ids((0..3_000).filter(|number| number % 3 != 0))
    );
    assert_eq!(stage.vhost.ready(QUEUE).await.unwrap(), 1_000);
}

#[tokio::test]
async fn a_letter_without_body_is_redriven_for_its_users_and_skipped_if_it_names_none() {
    let hash = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";
    let left_out = |number| {
        let letter = Letter::new(number).with_body(b"");
        letter
            .text("tagsweep-body-sha256", hash)
            .number("tagsweep-body-bytes", 123_456)
    };
    let nobody = left_out(2)
        .reason("malformed-event")
        .without("tagsweep-failed-users");
    let cut = left_out(3).texts("tagsweep-dropped-headers", &["tagsweep-failed-users"]);
    let stage = Stage::with_letters([left_out(1), nobody, cut].map(Letter::outgoing)).await;
    let each = stage.dlq_json("list --each").await;
    assert_eq!(each["letters"][0]["bytes"], 123_456);
    let redriven = stage.dlq_json("redrive --all --yes").await;
    assert_eq!(
        redriven,
        json!({ "matched": 3, "redriven": 1, "skipped": 2, "failed": 0 })
    );
    assert_eq!(stage.order().await, ids([2, 3]));
    let events = stage.taken(QUEUE).await;
    let body: Value = serde_json::from_slice(&events[0].body).unwrap();
    assert_eq!(
        (&body["type"], &body["user_ids"]),
        (&json!("user.deleted"), &json!([user(1)]))
    );
}

#[tokio::test]
async fn what_the_queue_does_not_take_stays_a_letter() {
    let stage = Stage::with_letters(letters(0..10)).await;
    let mut arguments = FieldTable::default();
    let text = |text: &str| AMQPValue::LongString(text.into());
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(4));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    stage.amqp.declare("small", arguments).await.unwrap();
    let redrive = |queue: &str| {
        let redrive = stage.dlq("redrive --all --yes --json");
        redrive.set("rabbitmq.queue", queue)
    };
    let missing = redrive("nowhere").run().await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert_eq!(
        missing.json(),
        json!({ "matched": 10, "redriven": 0, "skipped": 0, "failed": 10 })
    );
    assert!(
        missing
            .stderr
            .contains("the queue of events does not exist"),
        "{missing:?}"
    );
    let full = redrive("small").run().await;
    assert_eq!(full.code, Some(1), "{full:?}");
    assert!(full.stderr.contains("it is full"), "{full:?}");
    let taken = stage.vhost.ready("small").await.unwrap();
    let counts = full.json();
    assert_eq!(counts["redriven"], taken);
    assert_eq!(counts["failed"], 10 - taken);
    let events = stage.taken("small").await;
    let mut all: Vec<String> = stage.order().await;
    assert_eq!(all.len() as u64, 10 - taken);
    all.extend(
        events
            .iter()
            .map(|event| event.properties.message_id().clone().unwrap().to_string()),
    );
    all.sort();
    assert_eq!(all, ids(0..10));
}

#[tokio::test]
async fn a_queue_that_loses_events_gets_none() {
    let stage = Stage::with_letters(letters(0..5)).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    stage.amqp.declare("lossy", arguments).await.unwrap();
    let redrive = stage.dlq("redrive --all --yes");
    let refused = redrive.set("rabbitmq.queue", "lossy").run().await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("can lose messages"), "{refused:?}");
    assert_eq!(stage.order().await, ids(0..5));
}

#[tokio::test]
async fn what_another_program_put_there_is_redriven_with_a_warning() {
    let stage = Stage::with_letters([Outgoing::json("orders", "hello")]).await;
    let plan = stage.dlq_ok("redrive --all --dry-run").await;
    assert!(
        plan.stdout
            .contains("acknowledged (events.unmatched), and gone"),
        "{plan:?}"
    );
}

/// Counted at the queue of events, over all runs.
#[tokio::test]
async fn ten_thousand_letters_survive_twenty_kills_and_at_most_those_in_flight_come_twice() {
    let stage = Stage::with_letters(letters(0..10_000)).await;
    let mut redriven = 0;
    for kill in 0..20 {
        let redrive = stage.dlq("redrive --all --yes").start();
        let next = redriven + fastrand::u64(1..400);
        testkit::eventually(PATIENCE, "some events are redriven", async || {
            redriven = stage.vhost.ready(QUEUE).await.ok()?;
            (redriven >= next).then_some(())
        })
        .await;
        redrive.kill().await;
        assert!(redriven < 10_000, "nothing is left at kill {kill}");
    }
    let ended = stage.dlq("redrive --all --yes --json").run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(stage.vhost.ready(DEAD_LETTERS).await.unwrap(), 0);
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for event in stage.taken(QUEUE).await {
        let id = event.properties.message_id().clone().unwrap();
        *times.entry(id.to_string()).or_default() += 1;
    }
    assert!(
        times.keys().eq(&ids(0..10_000)),
        "{} of 10000 are there",
        times.len()
    );
    let twice: usize = times.values().map(|times| times - 1).sum();
    assert!(twice <= 20 * IN_FLIGHT, "{twice} came twice");
}

#[tokio::test]
async fn what_comes_while_a_redrive_runs_is_not_part_of_it() {
    let stage = Stage::with_letters(letters(0..40)).await;
    let redrive = stage.dlq("redrive --all --yes --rate 20").start();
    testkit::eventually(PATIENCE, "the first events are redriven", async || {
        (stage.vhost.ready(QUEUE).await.ok()? >= 5).then_some(())
    })
    .await;
    stage
        .dead_letter([Letter::new(99).outgoing(), Outgoing::json("foreign", "x")])
        .await;
    let (code, said) = redrive.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(stage.vhost.ready(QUEUE).await.unwrap(), 40);
    assert_eq!(stage.order().await, ["0000000000000063-1", ""]);
}
