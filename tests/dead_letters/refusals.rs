//! When a command does not work on the queue, and why.

use std::process::Stdio;

use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use testkit::amqp::Outgoing;

use crate::letters::*;
use crate::stage::*;

const LOCK: &str = "tagsweep.dead-letters.lock";

#[tokio::test]
async fn one_command_works_at_a_time_and_stops_in_good_order_at_a_signal() {
    let stage = Stage::with_letters(letters(0..500)).await;
    let redrive = stage.dlq("redrive --all --yes --rate 10").start();
    testkit::eventually(PATIENCE, "the first events are redriven", async || {
        let redriven = stage.vhost.ready(QUEUE).await.ok()?;
        (redriven >= 5).then_some(())
    })
    .await;
    for command in [
        "list",
        "redrive --all --yes",
        "purge --all --yes --no-export",
    ] {
        let second = stage.dlq(command).run().await;
        assert_eq!(second.code, Some(1), "{second:?}");
        let told = format!("another tagsweep command or console is working on {DEAD_LETTERS:?}");
        assert!(second.stderr.contains(&told), "{second:?}");
    }
    redrive.signal("INT").await;
    let (code, said) = redrive.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("stopped by a signal after "), "{said}");
    let redriven = stage.vhost.ready(QUEUE).await.unwrap() as usize;
    assert!(
        said.contains(&format!("after {redriven} of 500 letters")),
        "{redriven}: {said}"
    );
    assert_eq!(stage.order().await, ids(redriven..500));
    assert!(stage.vhost.ready(LOCK).await.is_err(), "the lock stays");
}

#[tokio::test]
async fn a_queue_that_cannot_be_read_is_refused_with_the_remedy() {
    let stage = Stage::new().await;
    let text = |text: &str| AMQPValue::LongString(text.into());
    let queue = |kind: &str, more: &[(&str, AMQPValue)]| {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text(kind));
        for (name, value) in more {
            arguments.insert((*name).into(), value.clone());
        }
        arguments
    };
    let single = ("x-single-active-consumer", AMQPValue::Boolean(true));
    stage
        .amqp
        .declare("stream", queue("stream", &[]))
        .await
        .unwrap();
    stage
        .amqp
        .declare("single", queue("quorum", &[single]))
        .await
        .unwrap();
    let letter = |queue: &str| {
        let mut letter = Letter::new(0).outgoing();
        letter.routing_key = queue.to_owned();
        letter
    };
    stage
        .amqp
        .publish("", [letter("stream"), letter("single")])
        .await
        .unwrap();
    // Whoever may not declare the queue learns nothing of how it was declared.
    let little = stage.vhost.url_with_permissions(r"\.lock$", "^$", ".*");
    let little = little.await.unwrap();
    for url in [stage.vhost.url(), little] {
        for (name, told) in [
            (
                "missing",
                "does not exist: check rabbitmq.dead_letter_queue",
            ),
            ("stream", "is a stream"),
            ("single", "single active consumer"),
        ] {
            if name == "single" && url != stage.vhost.url() {
                continue;
            }
            let list = stage.dlq("list").set("rabbitmq.dead_letter_queue", name);
            let ended = list.set("rabbitmq.url", &url).run().await;
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert!(ended.stderr.contains(told), "{name}: {ended:?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        }
    }
    assert_eq!(stage.vhost.ready("single").await.unwrap(), 1);
}

#[tokio::test]
async fn a_queue_near_its_delivery_limit_is_read_with_force_only_and_loses_nothing() {
    let stage = Stage::new().await;
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(8));
    stage.amqp.declare("foreign", arguments).await.unwrap();
    let letters = letters(0..20).map(|mut letter| {
        letter.routing_key = "foreign".to_owned();
        letter
    });
    stage.amqp.publish("", letters).await.unwrap();
    let list = |arguments: &str| {
        let list = stage.dlq(&format!("list --json {arguments}"));
        list.set("rabbitmq.dead_letter_queue", "foreign")
    };
    let url = stage.vhost.url();
    let mut refused = None;
    for _ in 0..12 {
        let list = list("").run().await;
        if list.code == Some(1) {
            refused = Some(list);
            break;
        }
        assert_eq!(list.json()["total"], 20, "{list:?}");
        // It counts on every version.
        return_once(&url, "foreign").await;
    }
    let refused = refused.unwrap();
    assert!(
        refused.stderr.contains("drops a message after 8 returns"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    let forced = list("--force").run().await;
    assert_eq!(forced.json()["total"], 20, "{forced:?}");
    assert_eq!(stage.vhost.ready("foreign").await.unwrap(), 20);
}

/// A letter that is given back once more than the queue's limit is dropped by the broker before 4.3.
#[tokio::test]
async fn a_queue_with_any_delivery_limit_loses_no_letter_however_often_it_is_read() {
    let stage = Stage::new().await;
    for limit in [0, 1, 3] {
        let queue = format!("limit-{limit}");
        let mut arguments = FieldTable::default();
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("quorum".into()),
        );
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(limit));
        stage.amqp.declare(&queue, arguments).await.unwrap();
        let letters = letters(0..9).map(|letter| Outgoing {
            routing_key: queue.clone(),
            ..letter
        });
        stage.amqp.publish("", letters).await.unwrap();
        let list = async |arguments: &str| {
            let list = stage.dlq(&format!("list --json {arguments}"));
            let list = list.set("rabbitmq.dead_letter_queue", &queue);
            list.run_to_end(Stdio::piped(), false).await
        };
        for round in 0..10 {
            let looked = list("").await;
            assert!(matches!(looked.code, Some(0 | 1)), "{looked:?}");
            let forced = list("--each --force").await.json();
            let found = forced["letters"].as_array().unwrap().iter();
            let found: Vec<_> = found.map(|letter| letter["id"].clone()).collect();
            assert_eq!(found, ids(0..9), "limit {limit}, round {round}");
        }
    }
}

/// Rejects each message of a queue that was not returned so often already that it could be dropped. Where a message
/// goes that is rejected alone depends on the version.
async fn return_once(url: &str, queue: &str) {
    use lapin::options::{BasicGetOptions, BasicRejectOptions};
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default());
    let connection = connection.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut all = Vec::new();
    while let Some(got) = channel
        .basic_get(queue.into(), BasicGetOptions::default())
        .await
        .unwrap()
    {
        all.push(got);
    }
    for got in all {
        let headers = got.properties.headers().clone().unwrap_or_default();
        let count = match headers.inner().get("x-delivery-count") {
            Some(AMQPValue::LongLongInt(count)) => *count,
            _ => 0,
        };
        if count < 6 {
            let reject = got.acker.reject(BasicRejectOptions { requeue: true });
            reject.await.unwrap();
        }
    }
    connection.close(200, "bye".into()).await.unwrap();
}

#[tokio::test]
async fn what_changes_anything_needs_a_filter_or_all_and_a_yes_without_a_terminal() {
    let stage = Stage::with_letters(letters(0..3)).await;
    for command in ["redrive", "purge"] {
        let ended = stage.dlq(&format!("{command} --yes")).run().await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let ended = stage.dlq(&format!("{command} --all")).run().await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("use --yes"), "{ended:?}");
    }
    assert_eq!(
        stage.dlq_json("redrive --all --dry-run").await,
        json!({ "matched": 3, "redriven": 0, "skipped": 0, "failed": 0 })
    );
    let plan = stage.dlq_ok("redrive --all --dry-run").await.stdout;
    assert!(
        plan.contains("3 events go back to queue \"tagsweep.events\""),
        "{plan}"
    );
    assert_eq!(stage.order().await, ids(0..3));
    assert_eq!(stage.vhost.ready(QUEUE).await.unwrap(), 0);
}

#[tokio::test]
async fn a_rate_that_outlasts_the_hold_limit_is_refused_before_anything_is_done() {
    let stage = Stage::with_letters(letters(0..30)).await;
    let redrive = stage.dlq("redrive --all --yes --rate 1");
    let ended = redrive.set("rabbitmq.hold_limit", "10s").run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("rabbitmq.hold_limit"), "{ended:?}");
    assert_eq!(stage.order().await, ids(0..30));
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_told_of_as_by_every_command() {
    let stage_less = crate::program::Program::new("dead-letters list");
    let ended = stage_less
        .set("rabbitmq.url", "amqp://127.0.0.1:1")
        .run()
        .await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("cannot connect to 127.0.0.1:1: connection refused"),
        "{ended:?}"
    );
}

use crate::program::PATIENCE;
