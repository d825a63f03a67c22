use lapin::{
    BasicProperties, ExchangeKind,
    options::{
        BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tagsweep::rabbitmq::{Broker, Loss, Outcome, Part, QueueCount, Warning, inspect};
use testkit::rabbitmq::Vhost;

use crate::harness::*;

/// All that differs is told, in any order. RabbitMQ 3 does not name the type of a classic queue.
fn assert_differs(warning: &Warning, expected: &str) {
    let Warning::Differs { part, name, how } = warning else {
        panic!("{warning:?}");
    };
    assert_eq!((*part, name.as_str()), (Part::Queue, QUEUE));
    let how = how.replace("no x-queue-type", "x-queue-type = classic");
    let sorted = |list: &str| {
        let mut list: Vec<String> = list.split(", ").map(ToOwned::to_owned).collect();
        list.sort();
        list
    };
    assert_eq!(sorted(&how), sorted(expected));
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    }
}

async fn set_default_queue_type(vhost: &Vhost<'_>, kind: &str) {
    let code = format!(
        "ok = rabbit_vhost:put_vhost(<<\"{}\">>, <<>>, <<>>, <<\"{kind}\">>, false, <<\"guest\">>)",
        vhost.name()
    );
    vhost.node().eval(&code).await.expect("another default");
}

/// An empty queue that this many consumers share, and no dead letter.
fn shared_by(share: u32) -> QueueCount {
    QueueCount {
        ready: 0,
        consumers: share,
        share,
        dead_letters: Some(0),
    }
}

#[tokio::test]
async fn a_second_worker_stands_by_and_both_have_the_whole_quota() {
    let vhost = shared_vhost().await;
    let mut first = Broker::new(options(vhost.url()));
    let mut second = Broker::new(options(vhost.url()));
    for broker in [&mut first, &mut second] {
        let opened = opened(broker).await;
        assert_eq!(opened.share, 1);
        assert_eq!(opened.warnings, []);
    }
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 3).await;
    delivered_many(&mut first, 3).await;
    assert!(second.try_next().is_none());

    first.close().await.expect("an orderly close");
    let taken_over = delivered_many(&mut second, 3).await;
    assert!(taken_over.iter().all(|delivery| delivery.redelivered));
}

#[tokio::test]
async fn an_existing_queue_without_single_active_consumer_is_used_and_shared_by_count() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    channel
        .queue_declare(QUEUE.into(), durable(), FieldTable::default())
        .await
        .expect("declared");

    let mut first = Broker::new(options(vhost.url()));
    let alone = opened(&mut first).await;
    assert_eq!(alone.share, 1);
    let shared = Warning::SharedByCount {
        name: QUEUE.to_owned(),
    };
    assert_eq!(alone.warnings[1..], [shared]);
    let how = "no x-dead-letter-exchange, no x-overflow, no x-single-active-consumer, x-queue-type = classic";
    assert_differs(&alone.warnings[0], how);
    let mut second = Broker::new(options(vhost.url()));
    assert_eq!(opened(&mut second).await.share, 2);
    counted(&mut first, shared_by(2)).await;
    second.close().await.expect("an orderly close");
    counted(&mut first, shared_by(1)).await;
}

#[tokio::test]
async fn a_classic_queue_with_single_active_consumer_is_not_shared_by_count() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    channel
        .queue_declare(QUEUE.into(), durable(), arguments)
        .await
        .expect("declared");
    let opened = opened(&mut Broker::new(options(vhost.url()))).await;
    let how = "no x-dead-letter-exchange, no x-overflow, x-queue-type = classic";
    assert_differs(&opened.warnings[0], how);
    assert_eq!(opened.warnings.len(), 1);
}

#[tokio::test]
async fn what_is_declared_does_not_depend_on_the_default_queue_type_of_the_virtual_host() {
    for default in ["classic", "quorum", "stream"] {
        let vhost = shared_vhost().await;
        set_default_queue_type(&vhost, default).await;
        for _ in ["made", "found"] {
            let mut broker = Broker::new(options(vhost.url()));
            assert_eq!(opened(&mut broker).await.warnings, []);
            broker.close().await.expect("an orderly close");
        }
    }
}

#[tokio::test]
async fn a_classic_queue_is_known_where_the_default_queue_type_is_another() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    channel
        .queue_declare(QUEUE.into(), durable(), arguments)
        .await
        .expect("declared");
    set_default_queue_type(&vhost, "quorum").await;
    let opened = opened(&mut Broker::new(options(vhost.url()))).await;
    let how = "no x-dead-letter-exchange, no x-overflow, x-queue-type = classic";
    assert_differs(&opened.warnings[0], how);
    assert_eq!(opened.warnings.len(), 1);
}

#[tokio::test]
async fn an_exchange_with_another_setting_is_used_with_a_warning() {
    let alternate = ("alternate-exchange", AMQPValue::LongString("other".into()));
    for (kind, argument, how) in [
        (ExchangeKind::Direct, None, "type = direct"),
        (
            ExchangeKind::Topic,
            Some(alternate),
            "alternate-exchange = other",
        ),
    ] {
        let vhost = shared_vhost().await;
        let (_client, channel) = client(&vhost.url()).await;
        let mut arguments = FieldTable::default();
        if let Some((name, value)) = argument {
            arguments.insert(name.into(), value);
        }
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare(EXCHANGE.into(), kind, durable, arguments)
            .await
            .expect("declared");
        let mut broker = Broker::new(options(vhost.url()));
        assert_eq!(
            opened(&mut broker).await.warnings,
            [Warning::Differs {
                part: Part::Exchange,
                name: EXCHANGE.to_owned(),
                how: how.to_owned(),
            }]
        );
        publish_events(&channel, 1).await;
        delivered(&mut broker).await;
    }
}

#[tokio::test]
async fn without_declare_what_is_missing_is_named_and_nothing_is_made() {
    let vhost = shared_vhost().await;
    let mut passive = options(vhost.url());
    passive.declare = false;
    let mut broker = Broker::new(passive.clone());
    for _ in 0..2 {
        assert_eq!(
            not_opened(&mut broker).await,
            Loss::Missing {
                part: Part::Queue,
                name: QUEUE.to_owned()
            }
        );
    }
    let findings = inspect(&passive, false).await;
    let failed = findings
        .iter()
        .filter(|finding| finding.outcome == Outcome::Fail);
    assert!(failed.clone().count() == 4, "{findings:?}");
    assert!(failed.clone().any(|finding| finding.detail.contains(QUEUE)));

    // As soon as it is there, the session opens by itself.
    let mut maker = Broker::new(options(vhost.url()));
    opened(&mut maker).await;
    maker.close().await.expect("an orderly close");
    assert_eq!(opened(&mut broker).await.warnings, []);
}

#[tokio::test]
async fn inspecting_a_fresh_broker_makes_and_proves_everything_and_leaves_no_message() {
    let vhost = shared_vhost().await;
    let findings = inspect(&options(vhost.url()), true).await;
    assert_eq!(findings.len(), 7, "{findings:?}");
    assert!(
        findings
            .iter()
            .all(|finding| finding.outcome == Outcome::Ok),
        "{findings:?}"
    );
    let left = async {
        while messages(&vhost, DEAD_LETTERS).await != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), left)
        .await
        .expect("the message that proves the route expires");
}

#[tokio::test]
async fn inspecting_finds_a_dead_letter_route_that_leads_nowhere() {
    let vhost = shared_vhost().await;
    inspect(&options(vhost.url()), true).await;
    let (_client, channel) = client(&vhost.url()).await;
    channel
        .queue_unbind(
            DEAD_LETTERS.into(),
            DEAD_LETTERS.into(),
            "#".into(),
            FieldTable::default(),
        )
        .await
        .expect("unbound");
    let mut passive = options(vhost.url());
    passive.declare = false;
    let findings = inspect(&passive, false).await;
    let failed: Vec<_> = findings
        .iter()
        .filter(|finding| finding.outcome == Outcome::Fail)
        .map(|finding| finding.what)
        .collect();
    assert_eq!(failed, ["dead-letter route"]);

    // AMQP does not tell to which queue a message went: nothing is claimed.
    bind_another_queue(&channel, DEAD_LETTERS).await;
    let findings = inspect(&passive, false).await;
    let route = findings.last().expect("a finding");
    assert_eq!(route.outcome, Outcome::Ok);
    assert!(route.detail.contains("see that queue"), "{}", route.detail);
}

/// Another queue than the dead-letter queue gets what its exchange takes.
async fn bind_another_queue(channel: &lapin::Channel, exchange: &str) {
    let (options, none) = (durable(), FieldTable::default());
    let declared = channel.queue_declare("other".into(), options, none.clone());
    declared.await.expect("declared");
    let bound = channel.queue_bind(
        "other".into(),
        exchange.into(),
        "#".into(),
        lapin::options::QueueBindOptions::default(),
        none,
    );
    bound.await.expect("bound");
}

#[tokio::test]
async fn dead_letters_are_counted_and_a_missing_dead_letter_queue_ends_no_session() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    counted(&mut broker, shared_by(1)).await;
    let letter = channel.basic_publish(
        "".into(),
        DEAD_LETTERS.into(),
        BasicPublishOptions::default(),
        b"{}",
        BasicProperties::default(),
    );
    letter.await.expect("published").await.expect("confirmed");
    let one = QueueCount {
        dead_letters: Some(1),
        ..shared_by(1)
    };
    counted(&mut broker, one).await;
    channel
        .queue_delete(DEAD_LETTERS.into(), QueueDeleteOptions::default())
        .await
        .expect("deleted");
    let unknown = QueueCount {
        dead_letters: None,
        ..shared_by(1)
    };
    counted(&mut broker, unknown).await;
    counted(&mut broker, unknown).await;
    broker.close().await.expect("an orderly close");
}
