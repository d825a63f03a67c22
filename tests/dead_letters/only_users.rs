//! The worker does a redriven event for the users that failed, and for no others.

use lapin::types::{AMQPValue, FieldArray, FieldTable};
use serde_json::json;
use testkit::amqp::Outgoing;

use crate::letters::*;
use crate::program::{PATIENCE, Running};
use crate::stage::*;

fn event(users: &[usize]) -> Outgoing {
    let users: Vec<String> = users.iter().map(|number| user(*number)).collect();
    let body = json!({ "type": "user.deleted", "user_ids": users, "id": "evt-1" });
    Outgoing::json("user.deleted", body)
}

fn marked(mut event: Outgoing, only: &[usize]) -> Outgoing {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let users: Vec<_> = only.iter().map(|number| text(&user(*number))).collect();
    let mut headers = FieldTable::default();
    headers.insert(
        "tagsweep-only-users".into(),
        AMQPValue::FieldArray(FieldArray::from(users)),
    );
    headers.insert("tagsweep-routing-key".into(), text("user.deleted"));
    headers.insert("tagsweep-exchange".into(), text(EXCHANGE));
    headers.insert("tagsweep-redriven".into(), AMQPValue::LongLongInt(1));
    event.properties = event.properties.with_headers(headers);
    event
}

async fn cleared(stage: &Stage, number: usize, times: u32) {
    testkit::eventually(PATIENCE, "the user is cleared", async || {
        (stage.simulator.clears(&user(number)).count == times).then_some(())
    })
    .await;
}

async fn stops(worker: Running) {
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn in_one_worker_a_letter_is_put_right_redriven_and_cleared_for_the_failed_user_alone() {
    let stage = Stage::new().await;
    stage.import(0..3);
    stage.simulator.reject_user_in_error_list(user(1), 90001);
    // In a quiet queue a verdict takes ten refusals, apart by the backoff.
    let worker = stage
        .program("run")
        .set("retry.backoff_min", "100ms")
        .set("retry.backoff_max", "500ms")
        .start();
    worker.says("broker session open").await;
    stage.publish([event(&[0, 1, 2])]).await;
    stage.letters_wait(1).await;
    let list = stage.dlq_json("list --each").await;
    assert_eq!(list["letters"][0]["users"], json!([user(1)]));
    assert_eq!(list["letters"][0]["redriven"], 0);
    let before = list["letters"][0].clone();

    // Still wrong: it fails again, and the new letter has the history.
    let redriven = stage
        .dlq_json("redrive --reason rejected-by-api --yes")
        .await;
    assert_eq!(redriven["redriven"], 1);
    stage.letters_wait(1).await;
    let list = stage.dlq_json("list --each").await;
    let letter = &list["letters"][0];
    assert_ne!(letter["id"], before["id"]);
    assert_eq!(letter["redriven"], 1);
    for same in [
        "users",
        "first_seen",
        "exchange",
        "routing_key",
        "reason",
        "code",
        "bytes",
    ] {
        assert_eq!(letter[same], before[same], "{same}");
    }
    let shown = stage
        .dlq_ok(&format!("show {}", letter["id"].as_str().unwrap()))
        .await;
    assert!(
        shown.stdout.contains(before["id"].as_str().unwrap()),
        "{}",
        shown.stdout
    );

    stage.simulator.accept_user(&user(1));
    let redriven = stage.dlq_json("redrive --all --yes").await;
    assert_eq!(redriven["redriven"], 1);
    cleared(&stage, 1, 1).await;
    stage.all_settled().await;
    for number in [0, 2] {
        assert_eq!(
            stage.simulator.clears(&user(number)).count,
            1,
            "user {number}"
        );
    }
    assert_eq!(stage.vhost.ready(DEAD_LETTERS).await.unwrap(), 0);
    stops(worker).await;
}

#[tokio::test]
async fn users_that_the_event_does_not_name_any_more_become_a_letter_and_the_others_are_cleared() {
    let stage = Stage::new().await;
    stage.import(0..3);
    let worker = stage.worker().await;
    stage
        .amqp
        .publish(
            "",
            [Outgoing {
                routing_key: QUEUE.to_owned(),
                ..marked(event(&[0, 1]), &[0, 7])
            }],
        )
        .await
        .unwrap();
    cleared(&stage, 0, 1).await;
    stage.letters_wait(1).await;
    let list = stage.dlq_json("list --each").await;
    let letter = &list["letters"][0];
    assert_eq!(letter["users"], json!([user(7)]));
    assert_eq!(letter["reason"], "malformed-event");
    assert_eq!(
        letter["detail"],
        "the event, as it is read now, does not name these users of the letter"
    );
    assert_eq!(letter["redriven"], 1);
    assert_eq!(stage.simulator.clears(&user(1)).count, 0);
    stops(worker).await;
}

#[tokio::test]
async fn a_producer_cannot_narrow_an_event_through_an_exchange() {
    let stage = Stage::new().await;
    stage.import(0..2);
    let worker = stage.worker().await;
    stage.publish([marked(event(&[0, 1]), &[0])]).await;
    for number in 0..2 {
        cleared(&stage, number, 1).await;
    }
    stops(worker).await;
}

#[tokio::test]
async fn an_event_whose_body_was_left_out_is_cleared_whatever_the_rules_are() {
    let hash = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";
    let letter = Letter::new(1)
        .with_body(b"")
        .text("tagsweep-routing-key", "orders.closed");
    let letter = letter
        .text("tagsweep-body-sha256", hash)
        .number("tagsweep-body-bytes", 99_999);
    let stage = Stage::with_letters([letter.outgoing()]).await;
    stage.import(1..2);
    let worker = stage
        .program("run")
        .set("events.format", "none")
        .set("events.presets", "keycloak")
        .start();
    worker.says("broker session open").await;
    assert_eq!(stage.dlq_json("redrive --all --yes").await["redriven"], 1);
    cleared(&stage, 1, 1).await;
    stops(worker).await;
}
