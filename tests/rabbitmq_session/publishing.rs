use tagsweep::rabbitmq::{Broker, LetterRefusal, PublishError, Publisher, Publishing, Settlement};

use crate::harness::*;

fn event<'a>(routing_key: &'a str, message_id: &'a str) -> Publishing<'a> {
    Publishing {
        routing_key,
        body: b"{}",
        content_type: "application/json",
        message_id,
        kind: "user.deleted",
    }
}

#[tokio::test]
async fn every_confirmed_event_arrives() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let mut publisher = Publisher::connect(options(vhost.url()))
        .await
        .expect("connected");
    for number in 1..=300 {
        let id = number.to_string();
        publisher.publish(event(KEY, &id)).await.expect("published");
    }
    publisher.flush().await.expect("all confirmed");
    assert_eq!(publisher.confirmed(), 300);
    publisher.close().await.expect("an orderly close");

    let mut ids = Vec::new();
    while ids.len() < 300 {
        let delivery = delivered(&mut broker).await;
        ids.push(delivery.message.message_id().expect("an id").to_owned());
        broker.settle(Settlement::One(delivery.tag));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 300);
}

#[tokio::test]
async fn an_event_that_no_queue_takes_is_an_error_with_its_number() {
    let vhost = shared_vhost().await;
    opened(&mut Broker::new(options(vhost.url()))).await;
    let mut publisher = Publisher::connect(options(vhost.url()))
        .await
        .expect("connected");
    publisher.publish(event(KEY, "1")).await.expect("queued");
    publisher
        .publish(event("nobody.listens", "2"))
        .await
        .expect("queued");
    publisher.publish(event(KEY, "3")).await.expect("queued");
    assert_eq!(
        publisher.flush().await,
        Err(PublishError::Refused {
            number: 2,
            refusal: LetterRefusal::Returned
        })
    );
}

#[tokio::test]
async fn an_id_longer_than_amqp_allows_is_an_error_not_a_panic() {
    let vhost = shared_vhost().await;
    let mut publisher = Publisher::connect(options(vhost.url()))
        .await
        .expect("connected");
    assert_eq!(
        publisher.publish(event(KEY, &"x".repeat(256))).await,
        Err(PublishError::TooLong { number: 1 })
    );
}
