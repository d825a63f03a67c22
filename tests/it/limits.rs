//! Queues of somebody else with a delivery limit: RabbitMQ drops what is returned to them too often.

use std::collections::BTreeSet;
use std::time::Duration;

use im_simulator::Fault;
use lapin::types::{AMQPValue, FieldTable};
use testkit::rabbitmq::shared;

use crate::stage::*;

const EVENTS: usize = 50;

#[tokio::test]
async fn a_long_outage_on_a_queue_with_a_delivery_limit_loses_no_event() {
    let mut stage = Stage::new().await;
    somebody_elses_queue(&stage, 3).await;
    stage.set("RABBITMQ__HOLD_LIMIT", "2s");
    outage_until_the_limit(stage).await;
}

/// The default limit since RabbitMQ 4, on a queue that tagsweep did not declare and does not bind.
#[tokio::test]
async fn an_outage_of_twenty_hold_limits_on_a_queue_with_a_limit_of_20_loses_no_event() {
    let mut stage = Stage::new().await;
    stage.prepare_queues().await;
    stage.amqp.delete(&[QUEUE], &[]).await.expect("deleted");
    somebody_elses_queue(&stage, 20).await;
    stage.amqp.bind(QUEUE, EXCHANGE).await.expect("bound");
    stage.set("RABBITMQ__DECLARE", "false");
    stage.set("RABBITMQ__HOLD_LIMIT", "1001ms");
    outage_until_the_limit(stage).await;
}

#[tokio::test]
async fn an_outage_of_thirty_hold_limits_dead_letters_nothing_of_our_own_queue() {
    const HOLD_LIMIT: Duration = Duration::from_secs(2);
    let mut stage = Stage::new().await;
    stage.set("RABBITMQ__HOLD_LIMIT", "2s");
    stage.set("IM__REQUEST_TIMEOUT", "1s");
    stage.set("IM__CONNECT_TIMEOUT", "1s");
    stage.import(0..EVENTS);
    let outage = stage.simulator.add_fault(Fault::Answer(91000));
    let worker = stage.worker().await;
    stage.delete(0..EVENTS).await;
    stage
        .says("paused for longer than rabbitmq.hold_limit", 1)
        .await;
    let end = stage.simulator.now() + 30 * HOLD_LIMIT;
    testkit::eventually(PATIENCE, "thirty hold limits are over", async || {
        (stage.simulator.now() > end).then_some(())
    })
    .await;
    stage.simulator.remove_fault(outage);
    stage.cleared(EVENTS as u64).await;
    let letters = stage.amqp.take_all(DEAD_LETTERS).await;
    assert_eq!(letters.expect("the dead-letter queue").len(), 0);
    stage.finish(worker).await;
}

async fn somebody_elses_queue(stage: &Stage, delivery_limit: i32) {
    let mut arguments = FieldTable::default();
    let quorum = AMQPValue::LongString("quorum".into());
    arguments.insert("x-queue-type".into(), quorum);
    let limit = AMQPValue::LongInt(delivery_limit);
    arguments.insert("x-delivery-limit".into(), limit);
    let declared = stage.amqp.declare(QUEUE, arguments).await;
    declared.expect("a queue of somebody else");
}

/// Where the control user is no measure, some events are held for probes and returned at each hold limit.
async fn outage_until_the_limit(mut stage: Stage) {
    stage.set("IM__CONNECT_TIMEOUT", "1s");
    stage.set("IM__REQUEST_TIMEOUT", "1s");
    let outage = stage.simulator.add_fault(Fault::Answer(91000));
    stage.import(0..EVENTS);
    let worker = stage.worker().await;
    stage.delete(0..EVENTS).await;
    let mut letters = match returns_count().await {
        true => stage.letters(1).await,
        false => {
            let suspended = "paused for longer than rabbitmq.hold_limit";
            stage.says(suspended, 1).await;
            Vec::new()
        }
    };
    stage.simulator.remove_fault(outage);
    testkit::eventually(PATIENCE, "everybody is accounted for", async || {
        letters.extend(stage.amqp.take_all(DEAD_LETTERS).await.ok()?);
        let named = letters.iter();
        let named = named.flat_map(|letter| letter.texts("tagsweep-failed-users"));
        let mut done: BTreeSet<String> = named.collect();
        let cleared = (0..EVENTS).map(user);
        done.extend(cleared.filter(|user| stage.simulator.clears(user).count > 0));
        (done.len() == EVENTS).then_some(())
    })
    .await;
    for letter in &letters {
        let reason = letter.header("tagsweep-reason");
        assert_eq!(reason.as_deref(), Some("returned-too-often"));
    }
    stage.finish(worker).await;
}

/// From RabbitMQ 4.3 on, a delivery that is handed back does not count towards the limit.
async fn returns_count() -> bool {
    let version = shared().await.version().await.expect("a version");
    let mut parts = version.split('.').map_while(|part| part.parse().ok());
    (parts.next(), parts.next()) < (Some(4), Some(3))
}
