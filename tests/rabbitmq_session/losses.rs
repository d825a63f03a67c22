use std::time::{Duration, Instant};

use lapin::options::QueueDeleteOptions;
use tagsweep::rabbitmq::{Broker, Cause, Event, Loss, Settlement};
use testkit::rabbitmq::Node;
use tokio::time::timeout;

use crate::harness::*;

#[tokio::test]
async fn a_cut_connection_opens_the_next_session_and_old_tags_are_never_sent() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    assert_eq!(opened(&mut broker).await.session, 1);
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 3).await;
    let old = delivered_many(&mut broker, 3).await;

    vhost.close_connections("test").await.expect("closed");
    let (session, reason) = lost(&mut broker).await;
    assert_eq!(session, 1);
    assert_eq!(reason, Loss::Ended(Cause::ClosedByOperator));
    broker.settle(Settlement::UpTo(old[2].tag));
    assert_eq!(opened(&mut broker).await.session, 2);

    let again = delivered_many(&mut broker, 3).await;
    assert!(
        again
            .iter()
            .all(|delivery| delivery.redelivered && delivery.tag.session == 2)
    );
    // The old tags name the new deliveries too, as far as the broker can see.
    assert_eq!(old[2].tag.tag, again[2].tag.tag);
    broker.settle(Settlement::UpTo(old[2].tag));
    broker.settle(Settlement::One(again[0].tag));
    broker.close().await.expect("an orderly close");
    until_ready(&vhost, QUEUE, 2).await;
}

#[tokio::test]
async fn a_deleted_queue_is_made_again() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    channel
        .queue_delete(QUEUE.into(), QueueDeleteOptions::default())
        .await
        .expect("deleted");

    assert_eq!(lost(&mut broker).await, (1, Loss::Cancelled));
    opened(&mut broker).await;
    publish_events(&channel, 1).await;
    delivered(&mut broker).await;
}

/// RabbitMQ 4 drops a message after 20 such returns, unless the queue has another limit.
#[tokio::test]
async fn a_delivery_outlives_more_lost_sessions_than_the_default_delivery_limit() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    for round in 0..25 {
        let mut broker = Broker::new(options(vhost.url()));
        opened(&mut broker).await;
        if round == 0 {
            publish_events(&channel, 1).await;
        }
        assert_eq!(delivered(&mut broker).await.redelivered, round > 0);
        // Not closed: the connection breaks off, as that of a killed worker does.
        drop(broker);
    }
}

/// Until RabbitMQ 4.2 the channel is closed; since 4.3 the consumer is cancelled.
#[tokio::test]
async fn a_delivery_held_past_the_consumer_timeout_ends_the_session_and_comes_again() {
    let node = Node::builder().consumer_timeout(Duration::from_secs(2));
    let node = node.start().await.expect("a node");
    let mut broker = Broker::new(options(node.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&node.url()).await;
    publish_events(&channel, 1).await;
    delivered(&mut broker).await;

    let (session, reason) = lost(&mut broker).await;
    assert_eq!(session, 1);
    assert!(
        matches!(
            reason,
            Loss::Cancelled | Loss::Ended(Cause::ConsumerTimeout)
        ),
        "{reason}"
    );
    assert_eq!(opened(&mut broker).await.session, 2);
    let again = delivered(&mut broker).await;
    assert!(again.redelivered);
    broker.settle(Settlement::One(again.tag));
    until_queue_holds(&mut broker, &node.default_vhost(), QUEUE, 0).await;
}

#[tokio::test]
async fn a_quiet_session_asks_the_broker_again_and_again_whether_it_is_there() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let mut last = Instant::now();
    for _ in 0..3 {
        let in_touch = async {
            loop {
                match broker.next().await {
                    Event::InTouch(asked) => return asked,
                    Event::Counted(_) => {}
                    other => panic!("{other:?} instead of an answer"),
                }
            }
        };
        let asked = timeout(Duration::from_secs(20), in_touch).await;
        let asked = asked.expect("an answer");
        assert!(asked > last);
        last = asked;
    }
}

#[tokio::test]
async fn a_killed_and_then_a_frozen_broker_are_both_outlived() {
    let mut node = Node::start().await.expect("a node");
    let mut options = options(node.url());
    options.timing.heartbeat = 1;
    options.timing.connect = Duration::from_secs(2);
    options.timing.call = Duration::from_secs(5);
    let mut broker = Broker::new(options);
    opened(&mut broker).await;
    let (client_connection, channel) = client(&node.url()).await;
    publish_events(&channel, 1).await;
    delivered(&mut broker).await;
    drop((client_connection, channel));

    node.kill().expect("killed");
    assert_eq!(lost(&mut broker).await.0, 1);
    not_opened(&mut broker).await;
    node.start_again().await.expect("started again");
    assert_eq!(opened(&mut broker).await.session, 2);
    assert!(delivered(&mut broker).await.redelivered);

    // Its sockets stay open and nothing comes from them any more.
    node.pause().await.expect("paused");
    assert_eq!(lost(&mut broker).await.0, 2);
    let reason = not_opened(&mut broker).await;
    let limit = Duration::from_secs(2);
    assert_eq!(cause(reason), Cause::Mute { limit });
    node.resume().await.expect("resumed");
    assert_eq!(opened(&mut broker).await.session, 3);
    delivered(&mut broker).await;
}

/// RabbitMQ 4 takes such headers by AMQP 1.0 and fails when it is to deliver them by AMQP 0-9-1.
#[tokio::test]
async fn a_message_that_the_broker_cannot_deliver_is_told_and_returns_no_other_event_with_it() {
    let vhost = shared_vhost().await;
    // RabbitMQ 3 has no such messages, and 4.3 delivers them.
    if older_than(&vhost, (4, 0)).await || !older_than(&vhost, (4, 3)).await {
        return;
    }
    let (nan, infinity) = (
        "16#82, 16#7ff8000000000000:64",
        "16#82, 16#7ff0000000000000:64",
    );
    let (char, uuid, decimal) = ("16#73, 97:32", "16#98, 0:128", "16#94, 0:128");
    for header in [nan, infinity, char, uuid, decimal] {
        let vhost = shared_vhost().await;
        let mut broker = Broker::new(options(vhost.url()));
        opened(&mut broker).await;
        broker.consume(0);
        let (_client, channel) = client(&vhost.url()).await;
        publish_events(&channel, 5).await;
        publish_amqp_1_0(&vhost, header).await;
        broker.consume(100);
        let (mut failures, mut settled) = (0, 0);
        while settled < 5 || failures < 3 {
            match next(&mut broker).await {
                Event::Delivered(delivery) if failures > 0 => {
                    assert!(delivery.returned <= 1, "{header}: {delivery:?}");
                    assert!(broker.try_next().is_none(), "{header}: one at a time");
                    broker.settle(Settlement::One(delivery.tag));
                    settled += 1;
                }
                Event::Lost { reason, .. } => {
                    assert_eq!(reason, Loss::Ended(Cause::Internal), "{header}");
                    failures += 1;
                }
                _ => {}
            }
        }
    }
}
