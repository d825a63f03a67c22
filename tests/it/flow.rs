//! Ordinary days.

use std::time::Duration;

use lapin::BasicProperties;
use serde_json::{Value, json};
use testkit::amqp::Outgoing;

use crate::stage::*;

#[tokio::test]
async fn every_deleted_user_is_cleared_and_every_event_acknowledged() {
    let stage = Stage::new().await;
    stage.import(0..1_000);
    let worker = stage.worker().await;
    stage.delete(0..1_000).await;
    stage.cleared(1_000).await;
    assert_eq!(stage.simulator.clear_counts(), [(1, 1_000)].into());
    let account = stage.finish(worker).await;
    assert_eq!(account.count("events_done"), 1_000);
    assert_eq!(account.count("users_cleared"), 1_000);
}

#[tokio::test]
async fn every_form_of_event_reaches_its_users() {
    let forms: Vec<Outgoing> = vec![
        plain(json!({ "type": "user.deleted", "user_id": user(0) })),
        plain(json!({ "type": "user.reset", "user_ids": [user(1), user(2)] })),
        plain(json!({ "type": "user.deleted", "user_id": user(3), "user_ids": [user(4)] })),
        // The type from the routing key, then from the AMQP property, against the key.
        plain(json!({ "user_id": user(5) })),
        Outgoing {
            routing_key: "user.deleted".to_owned(),
            body: json!({ "user_id": user(6) }).to_string().into_bytes(),
            properties: BasicProperties::default().with_type("user.reset".into()),
        },
        structured(json!({ "data": { "user_id": user(7) } })),
        structured(json!({ "data": { "userId": user(8) } })),
        structured(json!({ "data": { "user_ids": [user(9), user(10)] } })),
        structured(json!({ "subject": user(11) })),
        binary("cloudEvents:", json!({ "user_id": user(12) })),
        binary("cloudEvents_", json!({ "user_ids": [user(13)] })),
    ];
    let stage = Stage::new().await;
    stage.import(0..14);
    let worker = stage.worker().await;
    let events = forms.len() as u64;
    stage.publish(forms).await;
    stage.cleared(14).await;
    assert_eq!(stage.simulator.clear_counts(), [(1, 14)].into());
    let account = stage.finish(worker).await;
    assert_eq!(account.count("events_done"), events);
}

#[tokio::test]
async fn integers_are_users_by_their_decimal_text() {
    let stage = Stage::new().await;
    let users = ["9007199254740993", "-7", "18446744073709551615"];
    for user in users {
        stage.simulator.set_tags(user, &["tag"]);
    }
    let worker = stage.worker().await;
    stage
        .publish([
            plain(json!({ "type": "user.deleted", "user_id": 9_007_199_254_740_993_u64 })),
            plain(json!({ "type": "user.deleted", "user_ids": [-7, u64::MAX] })),
        ])
        .await;
    stage.cleared(3).await;
    for user in users {
        assert_eq!(stage.simulator.tags(user), Some(vec![]), "{user}");
    }
    stage.finish(worker).await;
}

#[tokio::test]
async fn tombstones_and_foreign_types_are_acknowledged_and_counted_without_a_call() {
    let stage = Stage::new().await;
    stage.import(0..2);
    let worker = stage.worker().await;
    let tombstone = |body: &str| Outgoing {
        routing_key: "user.deleted".to_owned(),
        body: body.as_bytes().to_vec(),
        properties: BasicProperties::default(),
    };
    stage
        .publish([
            tombstone(""),
            tombstone(" null\n"),
            plain(json!({ "type": "user.created", "user_id": user(0) })),
            // Whatever shape it has: it is not for us to judge.
            plain(json!({ "type": "order.paid", "user_id": [[1.5]] })),
            structured(json!({ "type": "user.renamed", "subject": user(0) })),
        ])
        .await;
    // The last event tells that those before it are through.
    stage.publish([deleted(&[1])]).await;
    stage.cleared(1).await;
    assert_eq!(stage.simulator.tags(&user(0)), Some(vec!["tag".to_owned()]));
    let account = stage.finish(worker).await;
    assert_eq!(account.count("events_ignored"), 5);
    assert_eq!(account.count("events_done"), 1);
    assert_eq!(account.count("calls"), 1);
}

#[tokio::test]
async fn events_of_the_same_user_that_wait_together_share_one_call() {
    let mut stage = Stage::new().await;
    // Only three different users make a window here.
    stage.set("WINDOW__MAX_IDS", 3);
    stage.set("WINDOW__MAX_WAIT", "5m");
    stage.import(0..3);
    let worker = stage.worker().await;
    stage.delete([0, 1, 0, 1, 0, 2]).await;
    stage.cleared(3).await;
    assert_eq!(stage.simulator.clear_counts(), [(1, 3)].into());
    let account = stage.finish(worker).await;
    assert_eq!(account.count("calls"), 1);
    assert_eq!(account.count("events_done"), 6);
}

#[tokio::test]
async fn an_event_that_comes_while_its_user_is_in_a_call_gets_a_call_of_its_own() {
    let stage = Stage::new().await;
    stage.import(0..1);
    stage
        .simulator
        .set_latency(Duration::from_secs(2), Duration::ZERO);
    let worker = stage.worker().await;
    stage.delete([0]).await;
    stage
        .seen("the first call", |stats| stats.in_flight == 1)
        .await;
    // The first call may have come before the tag did.
    stage.import(0..1);
    stage.delete([0]).await;
    stage
        .seen("both calls at once", |stats| stats.in_flight == 2)
        .await;
    assert_eq!(stage.simulator.clear_counts(), [(2, 1)].into());
    let account = stage.finish(worker).await;
    assert_eq!(account.count("calls"), 2);
    assert_eq!(account.count("events_done"), 2);
}

#[tokio::test]
async fn under_a_backlog_every_window_is_full() {
    let mut stage = Stage::new().await;
    stage.set("WINDOW__MAX_WAIT", "2s");
    stage.prepare_queues().await;
    stage.import(0..3_000);
    stage.delete(0..3_000).await;
    let worker = stage.worker().await;
    let stats = stage.cleared(3_000).await;
    // The first one goes out at once, and leaves a rest.
    assert!(stats.calls <= 32, "{stats:?}");
    assert_eq!(stage.simulator.clear_counts(), [(1, 3_000)].into());
    stage.finish(worker).await;
}

#[tokio::test]
async fn an_event_with_thousands_of_users_is_acknowledged_when_all_are_cleared() {
    let stage = Stage::new().await;
    stage.import(0..5_001);
    let worker = stage.worker().await;
    let users: Vec<usize> = (0..5_000).collect();
    stage.publish([deleted(&users), deleted(&[5_000])]).await;
    let stats = stage.cleared(5_001).await;
    assert_eq!(stats.calls, 51);
    let account = stage.finish(worker).await;
    assert_eq!(account.count("events_done"), 2);
}

#[tokio::test]
async fn a_backlog_never_makes_more_calls_in_any_second_than_the_quota() {
    const QUOTA: u32 = 100;
    let mut stage = Stage::new().await;
    stage.set("IM__CALLS_PER_SECOND", QUOTA);
    stage.set("WINDOW__MAX_IDS", 5);
    stage.simulator.set_calls_per_second(Some(QUOTA));
    stage.prepare_queues().await;
    stage.import(0..3_000);
    stage.delete(0..3_000).await;
    let worker = stage.worker().await;
    let stats = stage.cleared(3_000).await;
    // Where the broker is slow for a moment, a window that is not full goes out.
    assert!((600..620).contains(&stats.calls), "{}", stats.calls);
    assert_eq!(stats.refused_with(60007), 0);
    stage.assert_quota(QUOTA as usize);
    stage.finish(worker).await;
}

fn plain(body: Value) -> Outgoing {
    Outgoing::json("user.deleted", body)
}

/// A CloudEvent of which `body` names what matters to the test.
fn structured(body: Value) -> Outgoing {
    let mut event = json!({
        "specversion": "1.0",
        "type": "user.deleted",
        "source": "/accounts",
        "id": format!("{:032x}", fastrand::u128(..)),
    });
    for (name, value) in body.as_object().expect("an object") {
        event[name] = value.clone();
    }
    Outgoing::json("user.deleted", event).with_content_type("application/cloudevents+json")
}

fn binary(prefix: &str, data: Value) -> Outgoing {
    let [version, kind, source, id] =
        ["specversion", "type", "source", "id"].map(|name| format!("{prefix}{name}"));
    Outgoing::json("user.deleted", data).with_headers(&[
        (&version, "1.0"),
        (&kind, "user.deleted"),
        (&source, "/accounts"),
        (&id, "evt-1"),
    ])
}
