//! Messages far larger than any event, and what they cost a worker in memory.

use im_simulator::Fault;
use lapin::BasicProperties;
use serde_json::json;
use testkit::amqp::Outgoing;

use crate::program::Running;
use crate::stage::*;

const MIB: usize = 1 << 20;
/// Half of what the chart gives a worker.
const MEMORY: usize = 128 * MIB;

fn large(event: impl Into<Vec<u8>>) -> Outgoing {
    Outgoing {
        routing_key: "user.deleted".to_owned(),
        body: event.into(),
        properties: BasicProperties::default(),
    }
}

/// An event for one user, with a filling.
fn filled(number: usize, bytes: usize) -> Outgoing {
    let filling = "x".repeat(bytes);
    let event = json!({ "type": "user.deleted", "user_id": user(number), "x": filling });
    large(event.to_string())
}

/// The default prefetch is 1,800, but the broker writes all of it to the disk.
fn number_of_events() -> usize {
    let count = std::env::var("TAGSWEEP_TEST_LARGE_EVENTS");
    count.map_or(400, |count| count.parse().unwrap())
}

async fn holds(worker: &Running, deliveries: usize) {
    let held = format!("tagsweep_unsettled_deliveries {deliveries}\n");
    worker.answers("/metrics", &held).await;
}

async fn ends_in_order(worker: Running) -> String {
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
    log
}

#[tokio::test]
async fn a_message_of_100_mib_is_dead_lettered_by_its_hash_and_is_twice_in_memory_at_most() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..1);
    let body = vec![b'x'; 100 * MIB];
    if let Err(refused) = stage.amqp.publish(EXCHANGE, [large(body)]).await {
        // Newer brokers take 16 MiB by default.
        let refused = format!("{refused:#}");
        assert!(refused.contains("PRECONDITION"), "{refused}");
        return;
    }
    stage.delete([0]).await;
    let worker = stage.worker().await;
    stage.letters_wait(1).await;
    stage.cleared(1).await;
    let peak = worker.peak_memory();
    assert!(peak < 2 * 100 * MIB + MEMORY, "{peak}");
    let letters = stage.letters().await;
    let header = |name| letters[0].header(name);
    assert_eq!(letters[0].body.len(), 0);
    assert_eq!(header("tagsweep-body-bytes").as_deref(), Some("104857600"));
    let sha256 = "5b05b298e974f3b9e40f0a1a8188f50984a4f18fb329e050324296632d3d9dfc";
    assert_eq!(header("tagsweep-body-sha256").as_deref(), Some(sha256));
    ends_in_order(worker).await;
}

/// As many as are in hand by default, while the API is down.
#[tokio::test]
async fn large_events_that_wait_for_the_api_fit_into_the_memory_of_the_chart() {
    let events = number_of_events();
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..events);
    let down = stage.simulator.add_fault(Fault::ErrorStatus(502));
    let worker = stage.worker().await;
    for number in 0..events {
        stage.publish([filled(number, MIB)]).await;
    }
    holds(&worker, events).await;
    stage.simulator.remove_fault(down);
    stage.cleared(events as u64).await;
    stage.all_settled().await;
    let peak = worker.peak_memory();
    println!("peak: {} MiB", peak / MIB);
    assert!(peak < MEMORY, "{peak}");
    let log = ends_in_order(worker).await;
    assert!(!log.contains("session lost"), "{log}");
}

/// They arrive as fast as the broker can send them.
#[tokio::test]
async fn a_backlog_of_large_events_is_taken_without_more_memory() {
    let events = number_of_events();
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..events);
    for number in 0..events {
        stage.publish([filled(number, MIB)]).await;
    }
    let down = stage.simulator.add_fault(Fault::ErrorStatus(502));
    let worker = stage.worker().await;
    holds(&worker, events).await;
    let peak = worker.peak_memory();
    stage.simulator.remove_fault(down);
    stage.cleared(events as u64).await;
    stage.all_settled().await;
    println!("peak: {} MiB", peak / MIB);
    assert!(peak < MEMORY, "{peak}");
    ends_in_order(worker).await;
}

/// Nothing can be left out of events that hold nothing but users: fewer are asked for, once.
#[tokio::test]
async fn events_with_very_many_users_lower_the_prefetch_once_and_are_all_done() {
    const EVENTS: usize = 100;
    const USERS: usize = 30_000;
    let stage = Stage::new().await;
    stage.declare().await;
    let users: Vec<String> = (0..USERS)
        .map(|number| format!("pii-{number:028}"))
        .collect();
    let event = json!({ "type": "user.deleted", "user_ids": users }).to_string();
    for _ in 0..EVENTS {
        stage.publish([large(event.clone())]).await;
    }
    let down = stage.simulator.add_fault(Fault::ErrorStatus(502));
    let worker = stage.worker().await;
    worker.says("consuming with a prefetch of").await;
    worker.answers("/readyz", "HTTP status 502").await;
    let peak = worker.peak_memory();
    let log = worker.log();
    assert_eq!(log.matches("session lost").count(), 1, "{log}");
    stage.simulator.remove_fault(down);
    ends_in_order(worker).await;
    println!("peak: {} MiB", peak / MIB);
    assert!(peak < MEMORY, "{peak}");
}

#[tokio::test]
async fn large_bodies_that_cannot_be_read_are_dead_lettered_within_the_memory_of_the_chart() {
    const BODIES: usize = 200;
    let stage = Stage::new().await;
    stage.declare().await;
    for number in 0..BODIES {
        let body = format!("{{{}{number}", "x".repeat(MIB));
        stage.publish([large(body)]).await;
    }
    let worker = stage.worker().await;
    stage.letters_wait(BODIES as u64).await;
    stage.all_settled().await;
    let peak = worker.peak_memory();
    println!("peak: {} MiB", peak / MIB);
    assert!(peak < MEMORY, "{peak}");
    // Nothing else tells whom they are about.
    for letter in stage.letters().await {
        assert!(letter.body.len() > MIB);
    }
    ends_in_order(worker).await;
}

/// What a letter needs of a large event is there, though its body is not.
#[tokio::test]
async fn the_letter_of_a_large_event_names_its_failed_users_and_the_hash_of_its_body() {
    const EVENTS: usize = 30;
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..EVENTS);
    let rejected = EVENTS - 1;
    stage.simulator.reject_user(user(rejected), 90001);
    let down = stage.simulator.add_fault(Fault::ErrorStatus(502));
    let worker = stage.program("run").set("retry.backoff_min", "50ms");
    let worker = worker.set("retry.backoff_max", "100ms").start();
    worker.says("broker session open").await;
    for number in 0..EVENTS {
        stage.publish([filled(number, MIB)]).await;
    }
    holds(&worker, EVENTS).await;
    stage.simulator.remove_fault(down);
    stage.cleared(EVENTS as u64 - 1).await;
    stage.letters_wait(1).await;
    let letters = stage.letters().await;
    let failed = letters[0].texts("tagsweep-failed-users");
    assert_eq!(failed, [user(rejected)]);
    let bytes = filled(rejected, MIB).body.len().to_string();
    assert_eq!(letters[0].header("tagsweep-body-bytes"), Some(bytes));
    ends_in_order(worker).await;
}
