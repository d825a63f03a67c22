use std::time::Duration;

use tagsweep::rabbitmq::{Broker, Event, HeaderValue, Options, Settlement};

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use crate::harness::*;

#[tokio::test]
async fn what_was_acknowledged_is_gone_and_the_rest_is_not() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    assert_eq!(opened(&mut broker).await.session, 1);
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 10).await;

    let deliveries = delivered_many(&mut broker, 10).await;
    broker.settle(Settlement::One(deliveries[5].tag));
    broker.settle(Settlement::UpTo(deliveries[3].tag));
    broker.settle(Settlement::One(deliveries[9].tag));
    broker.close().await.expect("an orderly close");

    until_ready(&vhost, QUEUE, 4).await;
}

#[tokio::test]
async fn a_delivery_carries_all_that_was_published() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongString("eu".into()));
    headers.insert("attempt".into(), AMQPValue::LongInt(7));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_message_id("evt-1".into())
        .with_type("user.deleted".into())
        .with_timestamp(1_700_000_000)
        .with_headers(headers);
    publish(&channel, "body", properties).await;

    let delivery = delivered(&mut broker).await;
    assert!(!delivery.redelivered);
    let message = delivery.message;
    assert_eq!(message.body, b"body"[..]);
    assert_eq!(message.exchange(), EXCHANGE);
    assert_eq!(message.routing_key(), KEY);
    assert_eq!(message.content_type(), Some("application/json"));
    assert_eq!(message.message_id(), Some("evt-1"));
    assert_eq!(message.kind(), Some("user.deleted"));
    assert_eq!(message.timestamp(), Some(1_700_000_000));
    assert_eq!(message.header("tenant"), Some(HeaderValue::Text("eu")));
    assert_eq!(message.header("attempt"), Some(HeaderValue::Integer(7)));
    assert_eq!(message.headers().count(), 2);
    assert!(!format!("{message:?}").contains("evt-1"));
}

#[tokio::test]
async fn what_has_arrived_can_be_taken_without_waiting() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    assert!(broker.try_next().is_none());
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 50).await;

    let mut bodies = Vec::new();
    while bodies.len() < 50 {
        bodies.push(delivered(&mut broker).await.message.body);
        bodies
            .extend(std::iter::from_fn(|| broker.try_next()).map(|delivery| delivery.message.body));
    }
    let expected: Vec<_> = (1..=50)
        .map(|number| number.to_string().into_bytes())
        .collect();
    assert_eq!(bodies, expected);
}

/// With RabbitMQ 3.10, a delivery limit of -1 would drop it at the first return.
#[tokio::test]
async fn a_delivery_can_be_handed_back_again_and_again() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 1).await;

    for round in 0..30 {
        let delivery = delivered(&mut broker).await;
        assert_eq!(delivery.redelivered, round > 0);
        broker.settle(Settlement::HandBack(delivery.tag));
    }
}

#[tokio::test]
async fn after_stop_consuming_nothing_is_delivered_and_acks_still_count() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 3).await;
    let deliveries = delivered_many(&mut broker, 3).await;

    broker.stop_consuming();
    publish_events(&channel, 4).await;
    broker.settle(Settlement::UpTo(deliveries[1].tag));
    until_queue_holds(&mut broker, &vhost, QUEUE, 5).await;
    broker.settle(Settlement::One(deliveries[2].tag));
    broker.close().await.expect("an orderly close");
    until_ready(&vhost, QUEUE, 4).await;
}

#[tokio::test]
async fn a_loss_while_draining_is_told_and_nothing_is_reconnected() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    broker.stop_consuming();
    vhost.close_connections("test").await.expect("closed");
    let retry_in = until(&mut broker, "loss", |event| match event {
        Event::Lost { retry_in, .. } => Some(retry_in),
        _ => None,
    })
    .await;
    assert_eq!(retry_in, None);
    broker.close().await.expect("nothing was left to settle");
}

#[tokio::test]
async fn a_close_is_orderly_at_whatever_moment_of_a_count_it_comes() {
    let vhost = shared_vhost().await;
    let mut options = options(vhost.url());
    options.timing.count = Duration::from_millis(1);
    for _ in 0..25 {
        let sessions = (0..8).map(async |_| {
            let mut broker = Broker::new(options.clone());
            opened(&mut broker).await;
            let moment = Duration::from_micros(fastrand::u64(..4_000));
            let counts = until(&mut broker, "anything but counts", |_| None::<()>);
            tokio::time::timeout(moment, counts)
                .await
                .expect_err("the queue is counted, and nothing else happens");
            broker.close().await
        });
        for closed in futures_util::future::join_all(sessions).await {
            closed.expect("an orderly close");
        }
    }
}

/// A quorum queue forgets the acknowledgements that wait in a channel for those before them when it closes
/// (rabbitmq-server#10327).
#[tokio::test]
async fn no_acknowledgement_is_lost_however_many_are_sent_just_before_the_end() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(Options {
        prefetch: 2_000,
        ..options(vhost.url())
    });
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 2_000).await;

    let deliveries = delivered_many(&mut broker, 2_000).await;
    for delivery in deliveries.iter().rev() {
        broker.settle(Settlement::One(delivery.tag));
    }
    broker.close().await.expect("an orderly close");

    until_ready(&vhost, QUEUE, 0).await;
}
