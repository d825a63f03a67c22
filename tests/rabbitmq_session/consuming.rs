use std::time::{Duration, Instant};

use tagsweep::rabbitmq::{Broker, Event, Settlement};
use tokio::time::timeout;

use crate::harness::*;

/// Longer than a delivery takes that is on its way.
const A_WHILE: Duration = Duration::from_millis(300);

/// Nothing is delivered for a while, though the broker is polled.
async fn nothing_is_delivered(broker: &mut Broker) {
    let delivery = timeout(A_WHILE, delivered(broker)).await;
    assert!(delivery.is_err(), "{delivery:?}");
}

/// Stops consuming, and waits until the broker has answered what it was asked after that. Nothing is delivered
/// until then.
async fn stop(broker: &mut Broker) {
    broker.consume(0);
    let stopped = Instant::now();
    let answered = async {
        loop {
            match broker.next().await {
                Event::InTouch(since) if since > stopped => return,
                Event::Counted(_) | Event::InTouch(_) => {}
                event => panic!("{event:?} before the broker has answered"),
            }
        }
    };
    let answered = timeout(Duration::from_secs(60), answered).await;
    answered.expect("the broker answers");
}

#[tokio::test]
async fn after_consume_0_nothing_is_delivered_and_what_is_in_hand_can_be_settled() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 3).await;
    let deliveries = delivered_many(&mut broker, 3).await;

    stop(&mut broker).await;
    publish_events(&channel, 2).await;
    nothing_is_delivered(&mut broker).await;
    broker.settle(Settlement::UpTo(deliveries[1].tag));
    broker.settle(Settlement::HandBack(deliveries[2].tag));
    until_queue_holds(&mut broker, &vhost, QUEUE, 3).await;
    until_ready(&vhost, QUEUE, 3).await;
    broker.close().await.expect("an orderly close");
}

#[tokio::test]
async fn after_consume_0_another_worker_takes_the_queue_and_gives_it_back() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 1).await;
    let first = delivered(&mut broker).await;

    let mut other = Broker::new(options(vhost.url()));
    opened(&mut other).await;
    stop(&mut broker).await;
    broker.settle(Settlement::HandBack(first.tag));
    let taken = tokio::select! {
        delivery = delivered(&mut other) => delivery,
        event = next(&mut broker) => panic!("{event:?} while the other takes the queue"),
    };
    assert!(taken.redelivered);
    other.settle(Settlement::One(taken.tag));
    other.close().await.expect("an orderly close");

    broker.consume(10);
    publish_events(&channel, 1).await;
    let again = delivered(&mut broker).await;
    broker.settle(Settlement::One(again.tag));
    until_queue_holds(&mut broker, &vhost, QUEUE, 0).await;
}

#[tokio::test]
async fn after_consume_n_at_most_n_are_unacknowledged_beside_the_older_ones() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 2).await;
    let older = delivered_many(&mut broker, 2).await;

    stop(&mut broker).await;
    publish_events(&channel, 9).await;
    broker.consume(3);
    let newer = delivered_many(&mut broker, 3).await;
    nothing_is_delivered(&mut broker).await;
    // Tags go on, so that one acknowledgement can be for deliveries of both consumers.
    assert!(newer[0].tag.tag > older[1].tag.tag);
    broker.settle(Settlement::One(older[0].tag));
    nothing_is_delivered(&mut broker).await;
    broker.settle(Settlement::UpTo(newer[1].tag));
    delivered_many(&mut broker, 2).await;
    nothing_is_delivered(&mut broker).await;
    broker.close().await.expect("an orderly close");
    until_ready(&vhost, QUEUE, 7).await;
}

#[tokio::test]
async fn what_was_on_its_way_is_delivered_before_anything_of_the_next_consumer() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 300).await;
    let mut last = delivered(&mut broker).await.tag.tag;

    for prefetch in [0, 20, 0, 10, 30, 0, 50] {
        broker.consume(prefetch);
        let Some(delivery) = broker.try_next() else {
            continue;
        };
        assert!(delivery.tag.tag > last);
        last = delivery.tag.tag;
    }
    // 100 of the first consumer, and 50 of the last one.
    while last < 150 {
        let delivery = delivered(&mut broker).await;
        assert_eq!(delivery.tag.tag, last + 1);
        last = delivery.tag.tag;
    }
    nothing_is_delivered(&mut broker).await;
}

#[tokio::test]
async fn the_wish_to_consume_nothing_outlives_a_session() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 1).await;
    delivered(&mut broker).await;

    broker.consume(0);
    vhost.close_connections("test").await.expect("closed");
    lost(&mut broker).await;
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 1).await;
    nothing_is_delivered(&mut broker).await;
    until_ready(&vhost, QUEUE, 2).await;

    broker.consume(1);
    let delivery = delivered(&mut broker).await;
    nothing_is_delivered(&mut broker).await;
    broker.settle(Settlement::One(delivery.tag));
    delivered(&mut broker).await;
    let drained = broker.close().await;
    drained.expect("an orderly close");
}

#[tokio::test]
async fn a_drain_in_the_middle_of_a_change_ends_in_order() {
    let vhost = shared_vhost().await;
    for (round, polled) in [0, 1, 2, 5].into_iter().enumerate() {
        let mut broker = Broker::new(options(vhost.url()));
        opened(&mut broker).await;
        broker.consume(0);
        broker.consume(7);
        for _ in 0..polled {
            let moment = Duration::from_millis(1);
            let _ = timeout(moment, broker.next()).await;
        }
        broker.stop_consuming();
        let event = timeout(A_WHILE, next(&mut broker)).await;
        assert!(
            !matches!(event, Ok(Event::Delivered(_) | Event::Lost { .. })),
            "{event:?} in round {round}"
        );
        broker.close().await.expect("an orderly close");
    }
}
