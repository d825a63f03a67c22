//! The broker's limit to how often it takes a message back.

use lapin::types::FieldTable;
use tagsweep::rabbitmq::{Broker, Delivery, Options, Returns, Settlement, Warning};
use testkit::rabbitmq::Vhost;

use crate::{harness::*, lossy::declare};

/// What `rabbitmqctl set_policy` does.
async fn set_policy(vhost: &Vhost<'_>, definition: &str) {
    let code = format!(
        "ok = rabbit_policy:set(<<\"{}\">>, <<\"tagsweep\">>, <<\"^tagsweep.events$\">>, {definition}, 0, \
         <<\"queues\">>, <<\"guest\">>)",
        vhost.name()
    );
    vhost.node().eval(&code).await.expect("a policy");
}

/// From RabbitMQ 4.3 on, a delivery that is handed back does not count towards the limit.
async fn returns_count(vhost: &Vhost<'_>) -> bool {
    older_than(vhost, (4, 3)).await
}

/// The next delivery, handed back.
async fn hand_back(broker: &mut Broker) -> Delivery {
    let delivery = delivered(broker).await;
    broker.settle(Settlement::HandBack(delivery.tag));
    delivery
}

/// It is meant to be no limit, and an old broker drops every message that is returned.
#[tokio::test]
async fn a_limit_of_minus_one_is_what_it_is_for_the_version_of_the_broker() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    declare(
        &channel,
        &[("x-queue-type", "quorum"), ("x-delivery-limit", "-1")],
    )
    .await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    publish_events(&channel, 1).await;
    let expected = match older_than(&vhost, (4, 0)).await {
        true => Returns::Few,
        false => Returns::Many,
    };
    assert_eq!(delivered(&mut broker).await.returns, expected);
}

#[tokio::test]
async fn what_the_broker_takes_out_of_our_queue_lands_in_the_dead_letter_queue() {
    let vhost = shared_vhost().await;
    if !returns_count(&vhost).await {
        return;
    }
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    set_policy(&vhost, "[{<<\"delivery-limit\">>, 2}]").await;
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 10).await;
    for _ in 0..30 {
        hand_back(&mut broker).await;
    }
    until_queue_holds(&mut broker, &vhost, DEAD_LETTERS, 10).await;
    until_queue_holds(&mut broker, &vhost, QUEUE, 0).await;
}

/// As earlier versions of tagsweep declared it: with a delivery limit only.
const OLDER: &[(&str, &str)] = &[
    ("x-queue-type", "quorum"),
    ("x-single-active-consumer", "true"),
    ("x-delivery-limit", "2147483647"),
];

#[tokio::test]
async fn an_older_queue_is_used_with_a_warning_and_the_policy_that_it_names_saves_what_is_dropped()
{
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    declare(&channel, OLDER).await;
    let mut broker = Broker::new(options(vhost.url()));
    let opened = opened(&mut broker).await;
    assert_eq!(opened.share, 1);
    let told = opened.warnings.iter().find_map(|warning| match warning {
        Warning::Drops { .. } => Some(warning.to_string()),
        _ => None,
    });
    let told = told.expect("it is told");
    let net = r#"{"dead-letter-exchange":"tagsweep.dead-letters","dead-letter-strategy":"at-least-once","overflow":"reject-publish"}"#;
    assert!(told.contains(net), "{told}");
    if !returns_count(&vhost).await {
        return;
    }

    let net = net.replace(['{', '}'], "").replace('"', "\\\"");
    let pairs = net.split(',').map(|pair| {
        let (key, value) = pair.split_once(':').expect("a pair");
        let binary = |text: &str| format!("<<\"{}\">>", text.replace("\\\"", ""));
        format!("{{{}, {}}}", binary(key), binary(value))
    });
    let pairs: Vec<_> = pairs.collect();
    let limit = "{<<\"delivery-limit\">>, 1}";
    set_policy(&vhost, &format!("[{limit}, {}]", pairs.join(", "))).await;
    publish_events(&channel, 5).await;
    for _ in 0..10 {
        hand_back(&mut broker).await;
    }
    until_queue_holds(&mut broker, &vhost, DEAD_LETTERS, 5).await;
}

/// The way that docs/OPERATIONS.md describes.
#[tokio::test]
async fn moving_to_a_new_queue_loses_no_event() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    declare(&channel, OLDER).await;
    let older = options(vhost.url());
    let mut before = Broker::new(older.clone());
    opened(&mut before).await;
    publish_events(&channel, 3).await;

    let newer = Options {
        queue: "tagsweep.events-2".to_owned(),
        ..older
    };
    let mut after = Broker::new(newer);
    assert_eq!(opened(&mut after).await.warnings, []);
    // From now on both have a copy: clearing tags twice does no harm.
    publish_events(&channel, 3).await;
    channel
        .queue_unbind(
            QUEUE.into(),
            EXCHANGE.into(),
            KEY.into(),
            FieldTable::default(),
        )
        .await
        .expect("unbound");
    publish_events(&channel, 3).await;
    assert_eq!(delivered_many(&mut after, 6).await.len(), 6);
    let left = delivered_many(&mut before, 6).await;
    broker_settles_all(&mut before, &vhost, &left).await;
}

async fn broker_settles_all(broker: &mut Broker, vhost: &Vhost<'_>, deliveries: &[Delivery]) {
    let last = deliveries.last().expect("some");
    broker.settle(Settlement::UpTo(last.tag));
    until_queue_holds(broker, vhost, QUEUE, 0).await;
}

/// With what a queue was declared, with what was configured, and how many returns that leaves room for.
#[tokio::test]
async fn a_delivery_tells_how_often_it_was_returned_and_when_the_next_return_may_drop_it() {
    const NONE: &[(&str, &str)] = &[("x-queue-type", "quorum")];
    const THREE: &[(&str, &str)] = &[("x-queue-type", "quorum"), ("x-delivery-limit", "3")];
    const FORTY: &[(&str, &str)] = &[("x-queue-type", "quorum"), ("x-delivery-limit", "40")];
    for (settings, configured, first_of_few) in [
        (THREE, None, 2),
        (NONE, None, 15),
        (FORTY, None, 30),
        (FORTY, Some(8), 6),
    ] {
        for declares in [true, false] {
            let vhost = shared_vhost().await;
            if !returns_count(&vhost).await {
                return;
            }
            let (_client, channel) = client(&vhost.url()).await;
            opened(&mut Broker::new(Options {
                queue: "another".to_owned(),
                ..options(vhost.url())
            }))
            .await;
            declare(&channel, settings).await;
            let mut broker = Broker::new(Options {
                declare: declares,
                delivery_limit: configured,
                ..options(vhost.url())
            });
            opened(&mut broker).await;
            publish_to_queue(&channel).await;
            for returned in 0..first_of_few {
                let delivery = hand_back(&mut broker).await;
                assert_eq!(
                    (delivery.returned, delivery.returns),
                    (returned, Returns::Many)
                );
            }
            let delivery = delivered(&mut broker).await;
            assert_eq!(
                (delivery.returned, delivery.returns),
                (first_of_few, Returns::Few)
            );
        }
    }
}

async fn publish_to_queue(channel: &lapin::Channel) {
    let options = lapin::options::BasicPublishOptions::default();
    let properties = lapin::BasicProperties::default();
    let published = channel.basic_publish("".into(), QUEUE.into(), options, b"1", properties);
    published
        .await
        .expect("published")
        .await
        .expect("confirmed");
}
