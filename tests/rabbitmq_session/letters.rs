use std::{collections::BTreeMap, time::Duration};

use lapin::{
    BasicProperties, ExchangeKind,
    options::{
        BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldArray, FieldTable, LongString},
};
use tagsweep::letter::Mark;
use tagsweep::rabbitmq::{
    Broker, Delivery, Event, Letter, LetterRefusal, Part, Settlement, Warning,
};
use testkit::rabbitmq::Node;
use tokio::time::timeout;

use crate::harness::*;

fn letter(id: u64, delivery: &Delivery) -> Letter {
    Letter {
        id,
        session: delivery.tag.session,
        message: delivery.message.clone(),
        marks: vec![
            ("tagsweep-reason", Mark::Text("rejected-by-api".to_owned())),
            ("tagsweep-error-code", Mark::Integer(90001)),
            (
                "tagsweep-failed-users",
                Mark::Texts(vec!["a".to_owned(), "b".to_owned()]),
            ),
        ],
    }
}

/// How a letter ended.
async fn ended(broker: &mut Broker, id: u64) -> Result<(), LetterRefusal> {
    until(broker, "end of a letter", |event| match event {
        Event::LetterConfirmed(ended) if ended == id => Some(Ok(())),
        Event::LetterRefused(ended, refusal) if ended == id => Some(Err(refusal)),
        Event::Lost { .. } => panic!("{event:?}"),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_confirmed_letter_is_the_original_with_the_reason_in_headers() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    let mut sent = FieldTable::default();
    sent.insert("x-tenant".into(), AMQPValue::LongString("eu".into()));
    let original = BasicProperties::default()
        .with_headers(sent)
        .with_message_id("evt-1".into())
        .with_user_id("guest".into())
        .with_expiration("3600000".into());
    publish(&channel, "body", original).await;
    let delivery = delivered(&mut broker).await;

    broker.publish_letter(letter(7, &delivery));
    assert_eq!(ended(&mut broker, 7).await, Ok(()));

    let found = channel
        .basic_get(DEAD_LETTERS.into(), BasicGetOptions { no_ack: true })
        .await
        .expect("an answer")
        .expect("a letter")
        .delivery;
    assert_eq!(found.data, b"body");
    assert_eq!(found.routing_key.as_str(), KEY);
    let text = |text: &str| AMQPValue::LongString(LongString::from(text));
    let mut headers = FieldTable::default();
    headers.insert("x-tenant".into(), text("eu"));
    headers.insert("tagsweep-reason".into(), text("rejected-by-api"));
    headers.insert("tagsweep-error-code".into(), AMQPValue::LongLongInt(90001));
    headers.insert(
        "tagsweep-failed-users".into(),
        AMQPValue::FieldArray(FieldArray::from(vec![text("a"), text("b")])),
    );
    assert_eq!(
        without_the_brokers_own(found.properties),
        BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id("evt-1".into())
            .with_headers(headers)
    );
}

/// Each version of RabbitMQ tells something else of how often a message was delivered.
fn without_the_brokers_own(properties: BasicProperties) -> BasicProperties {
    const OWN: [&str; 2] = ["x-delivery-count", "x-acquired-count"];
    let headers = properties.headers().iter().flatten();
    let others = headers.filter(|(name, _)| !OWN.contains(&name.as_str()));
    let others = others.map(|(name, value)| (name.clone(), value.clone()));
    let others: BTreeMap<_, _> = others.collect();
    properties.with_headers(others.into())
}

#[tokio::test]
async fn a_letter_that_no_queue_takes_is_refused_and_the_route_is_mended() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 1).await;
    let delivery = delivered(&mut broker).await;
    channel
        .queue_unbind(
            DEAD_LETTERS.into(),
            DEAD_LETTERS.into(),
            "#".into(),
            FieldTable::default(),
        )
        .await
        .expect("unbound");

    broker.publish_letter(letter(1, &delivery));
    assert_eq!(ended(&mut broker, 1).await, Err(LetterRefusal::Returned));
    let mut id = 1;
    loop {
        id += 1;
        broker.publish_letter(letter(id, &delivery));
        if ended(&mut broker, id).await == Ok(()) {
            break;
        }
    }
    assert_eq!(messages(&vhost, DEAD_LETTERS).await, 1);
}

/// Every letter is told its own outcome, however many are in flight: here, odd ones find a queue.
#[tokio::test]
async fn outcomes_are_never_told_to_another_letter() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(
            DEAD_LETTERS.into(),
            ExchangeKind::Direct,
            durable,
            FieldTable::default(),
        )
        .await
        .expect("declared");
    let mut options = options(vhost.url());
    options.routing_keys = vec!["#".to_owned()];
    let mut broker = Broker::new(options);
    opened(&mut broker).await;
    // The route is bound by the first key, which only means all keys to other kinds of exchange.
    for key in ["#", "elsewhere"] {
        publish_with_key(&channel, key, "1", BasicProperties::default()).await;
    }
    let deliveries = delivered_many(&mut broker, 2).await;

    const COUNT: u64 = 400;
    for id in 1..=COUNT {
        let delivery = &deliveries[usize::from(id % 2 == 0)];
        broker.publish_letter(letter(id, delivery));
    }
    for _ in 0..COUNT {
        let (id, confirmed) = until(&mut broker, "end of a letter", |event| match event {
            Event::LetterConfirmed(id) => Some((id, true)),
            Event::LetterRefused(id, _) => Some((id, false)),
            _ => None,
        })
        .await;
        assert_eq!(confirmed, id % 2 == 1, "letter {id}");
    }
    assert_eq!(messages(&vhost, DEAD_LETTERS).await, COUNT / 2);
}

#[tokio::test]
async fn a_letter_that_a_full_queue_refuses_is_told() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    arguments.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(DEAD_LETTERS.into(), durable, arguments)
        .await
        .expect("declared");
    let mut broker = Broker::new(options(vhost.url()));
    let warnings = opened(&mut broker).await.warnings;
    let [Warning::Differs { part, how, .. }] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert_eq!(*part, Part::DeadLetterQueue);
    assert!(
        how.contains("x-max-length = 1, x-overflow = reject-publish"),
        "{how}"
    );
    publish_events(&channel, 1).await;
    let delivery = delivered(&mut broker).await;

    broker.publish_letter(letter(1, &delivery));
    assert_eq!(ended(&mut broker, 1).await, Ok(()));
    broker.publish_letter(letter(2, &delivery));
    assert_eq!(ended(&mut broker, 2).await, Err(LetterRefusal::Nacked));
}

#[tokio::test]
async fn a_deleted_dead_letter_exchange_costs_no_session_and_is_made_again() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    let (client, channel) = client(&vhost.url()).await;
    publish_events(&channel, 1).await;
    let delivery = delivered(&mut broker).await;
    channel
        .exchange_delete(DEAD_LETTERS.into(), ExchangeDeleteOptions::default())
        .await
        .expect("deleted");

    broker.publish_letter(letter(1, &delivery));
    assert_eq!(ended(&mut broker, 1).await, Ok(()));
    assert_eq!(messages(&vhost, DEAD_LETTERS).await, 1);
    let declared = async || {
        let channel = client.create_channel().await.expect("a channel");
        let passive = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let (name, kind, none) = (DEAD_LETTERS, ExchangeKind::Fanout, FieldTable::default());
        let declared = channel.exchange_declare(name.into(), kind, passive, none);
        declared.await.ok()
    };
    let exists = testkit::eventually(Duration::from_secs(60), "the exchange exists", declared);
    tokio::select! {
        () = exists => {}
        () = turn(&mut broker) => {}
    }
}

/// The broker's session goes on for as long as this is waited for; nothing is expected to happen.
async fn turn(broker: &mut Broker) {
    loop {
        let event = broker.next().await;
        assert!(!matches!(event, Event::Lost { .. }), "{event:?}");
    }
}

/// The one letter that the dead-letter queue holds: its body and its headers.
async fn only_letter(channel: &lapin::Channel) -> (Vec<u8>, FieldTable, BasicProperties) {
    let got = channel
        .basic_get(DEAD_LETTERS.into(), BasicGetOptions::default())
        .await
        .expect("an answer")
        .expect("a letter");
    let headers = got.properties.headers().clone().expect("headers");
    (got.delivery.data.clone(), headers, got.delivery.properties)
}

fn texts(values: &[&str]) -> AMQPValue {
    let values = values
        .iter()
        .map(|text| AMQPValue::LongString((*text).into()));
    AMQPValue::FieldArray(FieldArray::from(values.collect::<Vec<_>>()))
}

#[tokio::test]
async fn a_letter_that_is_too_large_for_the_broker_goes_out_without_its_body_and_stops_no_other() {
    let node = Node::start().await.expect("a node");
    let mut broker = Broker::new(options(node.url()));
    opened(&mut broker).await;
    let (_client, channel) = client(&node.url()).await;
    publish(&channel, &"x".repeat(5_000), BasicProperties::default()).await;
    publish(&channel, "small", BasicProperties::default()).await;
    let deliveries = delivered_many(&mut broker, 2).await;
    drop(broker);
    // As after an upgrade to RabbitMQ 4, which lowers it from 128 MiB to 16. It holds for new channels.
    node.eval("application:set_env(rabbit, max_message_size, 1000), persistent_term:put(max_message_size, 1000)")
        .await
        .expect("a lower limit");
    drop(deliveries);
    let mut broker = Broker::new(options(node.url()));
    opened(&mut broker).await;
    let deliveries = delivered_many(&mut broker, 2).await;

    broker.publish_letter(letter(1, &deliveries[0]));
    assert_eq!(ended(&mut broker, 1).await, Ok(()));
    let (body, headers, _) = only_letter(&channel).await;
    assert_eq!(body, b"");
    assert_eq!(
        headers.inner()["tagsweep-dropped-headers"],
        texts(&["body"])
    );
    assert_eq!(
        headers.inner()["tagsweep-body-bytes"],
        AMQPValue::LongLongInt(5_000)
    );
    // As `printf 'x%.0s' $(seq 5000) | sha256sum` has it.
    let hash = "c59d3c0480cc2d71d8f646e735e92da65450311eec46e81a5db8c7e6e8a92054";
    assert_eq!(
        headers.inner()["tagsweep-body-sha256"],
        AMQPValue::LongString(hash.into())
    );
    broker.publish_letter(letter(2, &deliveries[1]));
    assert_eq!(ended(&mut broker, 2).await, Ok(()));
    let (body, headers, _) = only_letter(&channel).await;
    assert_eq!(body, b"small");
    assert!(!headers.inner().contains_key("tagsweep-dropped-headers"));
}

#[tokio::test]
async fn a_property_that_the_broker_refuses_is_left_out_of_the_letter_and_named() {
    let vhost = shared_vhost().await;
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    // Only a publisher that speaks AMQP 1.0 can send this; the broker's own shell does the same.
    let publish = format!(
        "Exchange = rabbit_misc:r(<<\"{}\">>, exchange, <<\"{EXCHANGE}\">>), \
         Properties = {{'P_basic', undefined, undefined, undefined, 2, undefined, <<\"c-1\">>, \
         <<\"amq.rabbitmq.reply-to\">>, undefined, <<\"evt-1\">>, undefined, undefined, undefined, undefined, \
         undefined}}, \
         case code:ensure_loaded(mc_amqpl) of \
         {{module, _}} -> \
         Content = rabbit_basic_common:build_content(Properties, <<\"body\">>), \
         {{ok, Message}} = mc_amqpl:message(Exchange, <<\"{KEY}\">>, Content), \
         ok = rabbit_queue_type:publish_at_most_once(Exchange, Message); \
         _ -> rabbit_basic:publish(Exchange, <<\"{KEY}\">>, Properties, <<\"body\">>) end",
        vhost.name()
    );
    vhost.node().eval(&publish).await.expect("published");
    let delivery = delivered(&mut broker).await;

    broker.publish_letter(letter(1, &delivery));
    assert_eq!(ended(&mut broker, 1).await, Ok(()));
    let (_client, channel) = client(&vhost.url()).await;
    let (body, headers, properties) = only_letter(&channel).await;
    assert_eq!(body, b"body");
    assert_eq!(properties.reply_to(), &None);
    assert_eq!(
        properties
            .message_id()
            .as_ref()
            .map(lapin::types::ShortString::as_str),
        Some("evt-1")
    );
    assert_eq!(
        headers.inner()["tagsweep-dropped-headers"],
        texts(&["correlation-id", "reply-to"])
    );
}

#[tokio::test]
async fn a_letter_whose_exchange_takes_nothing_from_us_goes_to_the_queue_itself() {
    let vhost = shared_vhost().await;
    let (_client, channel) = client(&vhost.url()).await;
    let internal = ExchangeDeclareOptions {
        durable: true,
        internal: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(
            DEAD_LETTERS.into(),
            ExchangeKind::Fanout,
            internal,
            FieldTable::default(),
        )
        .await
        .expect("an internal exchange");
    let mut broker = Broker::new(options(vhost.url()));
    opened(&mut broker).await;
    publish_events(&channel, 1).await;
    let delivery = delivered(&mut broker).await;

    broker.publish_letter(letter(1, &delivery));
    assert_eq!(ended(&mut broker, 1).await, Ok(()));
    assert_eq!(messages(&vhost, DEAD_LETTERS).await, 1);
}

#[tokio::test]
async fn a_broker_that_blocks_publishers_stalls_letters_but_neither_acks_nor_the_session() {
    let mut node = Node::start().await.expect("a node");
    let mut options = options(node.url());
    options.timing.confirm = Duration::from_secs(1);
    let mut broker = Broker::new(options);
    opened(&mut broker).await;
    let (_client, channel) = client(&node.url()).await;
    publish_events(&channel, 2).await;
    let deliveries = delivered_many(&mut broker, 2).await;
    node.raise_memory_alarm().await.expect("an alarm");

    // The broker tells a connection at its next publish, once the alarm has reached it.
    let mut id = 0;
    loop {
        id += 1;
        broker.publish_letter(letter(id, &deliveries[0]));
        let blocked = until(&mut broker, "block", |event| match event {
            Event::Blocked => Some(true),
            Event::LetterConfirmed(_) => Some(false),
            other => panic!("{other:?} instead of a block"),
        });
        if blocked.await {
            break;
        }
    }
    id += 1;
    broker.publish_letter(letter(id, &deliveries[0]));
    broker.settle(Settlement::One(deliveries[1].tag));
    until_queue_holds(&mut broker, &node.default_vhost(), QUEUE, 1).await;
    // Longer than a confirm may take while the broker does not block.
    let quiet = timeout(Duration::from_millis(2500), next(&mut broker)).await;
    assert!(quiet.is_err(), "{quiet:?}");

    node.clear_memory_alarm().await.expect("no alarm");
    assert_eq!(ended(&mut broker, id).await, Ok(()));
}
