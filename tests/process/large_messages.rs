//! Messages far larger than any event, and what they cost a worker in memory.

use lapin::BasicProperties;
use serde_json::json;
use testkit::amqp::Outgoing;

use crate::program::PATIENCE;
use crate::stage::*;

const MIB: usize = 1 << 20;
/// What a worker takes beside messages, generously.
const WITHOUT_MESSAGES: usize = 120 * MIB;

#[tokio::test]
async fn a_message_of_100_mib_is_dead_lettered_and_is_twice_in_memory_at_most() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..1);
    let large = Outgoing {
        routing_key: "user.deleted".to_owned(),
        body: vec![b'x'; 100 * MIB],
        properties: BasicProperties::default(),
    };
    if let Err(refused) = stage.amqp.publish(EXCHANGE, [large]).await {
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
    assert!(peak < 2 * 100 * MIB + WITHOUT_MESSAGES, "{peak}");
    let letters = stage.letters().await;
    assert_eq!(letters[0].body.len(), 100 * MIB);
    worker.signal("TERM").await;
    assert_eq!(worker.ended().await.0, Some(0));
}

/// What is not settled is held, since it may become a dead letter: as many messages as the prefetch.
#[tokio::test]
async fn events_that_wait_for_the_api_are_once_in_memory() {
    const EVENTS: usize = 10;
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..EVENTS);
    let down = stage
        .simulator
        .add_fault(im_simulator::Fault::ErrorStatus(503));
    for number in 0..EVENTS {
        let filling = "x".repeat(10 * MIB);
        let event = json!({ "type": "user.deleted", "user_id": user(number), "x": filling });
        stage.publish([Outgoing::json("user.deleted", event)]).await;
    }
    let worker = stage.worker().await;
    testkit::eventually(PATIENCE, "all are in its hands", async || {
        (worker.peak_memory() > EVENTS * 10 * MIB).then_some(())
    })
    .await;
    stage.simulator.remove_fault(down);
    stage.cleared(EVENTS as u64).await;
    let peak = worker.peak_memory();
    assert!(peak < EVENTS * 10 * MIB + WITHOUT_MESSAGES, "{peak}");
    worker.signal("TERM").await;
    assert_eq!(worker.ended().await.0, Some(0));
}
