//! Messages that the broker takes and hands out, and that a client library cannot make: their
//! properties are no UTF-8, or nested so deeply that reading them takes a stack of many megabytes.

use std::net::SocketAddr;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::json;
use testkit::amqp::{Amqp, Outgoing};
use testkit::rabbitmq::{Vhost, shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::*;

/// A text whose middle is to be a byte that is in no UTF-8 text.
const BROKEN: &[u8] = b"a~b";
/// A text with this name is to be a list.
const LIST: &[u8] = b"\x04listS";

#[tokio::test]
async fn properties_that_are_no_utf_8_stop_nobody() {
    let (stage, forger) = stage().await;
    stage.import(0..10);
    let worker = stage.worker().await;
    stage.delete([0]).await;
    let name = || ShortString::from("a~b");
    let basic = BasicProperties::default;
    let mut headers = FieldTable::default();
    headers.insert(name(), AMQPValue::Boolean(true));
    let forged = [
        basic().with_message_id(name()),
        basic().with_type("user.deleted".into()).with_app_id(name()),
        basic().with_content_type(name()),
        basic().with_correlation_id(name()).with_reply_to(name()),
        basic().with_headers(headers),
    ];
    for (number, properties) in (1..).zip(forged) {
        forger
            .publish(EXCHANGE, [event(number, properties)])
            .await
            .expect("the broker takes it");
    }
    stage.delete([6]).await;
    stage.cleared(7).await;
    stage.finish(worker).await;
}

#[tokio::test]
async fn a_type_or_a_routing_key_that_is_no_utf_8_is_nobody_s_type() {
    let (stage, forger) = stage().await;
    stage
        .amqp
        .bind(QUEUE, EXCHANGE)
        .await
        .expect("the queue is bound");
    stage.import(0..4);
    let worker = stage.worker().await;
    let untyped = |number, properties| Outgoing {
        body: json!({ "user_id": user(number) }).to_string().into_bytes(),
        ..event(number, properties)
    };
    let by_property = untyped(0, BasicProperties::default().with_type("a~b".into()));
    let by_routing_key = Outgoing {
        routing_key: "a~b".to_owned(),
        ..untyped(1, BasicProperties::default())
    };
    let by_body = Outgoing {
        routing_key: "a~b".to_owned(),
        ..event(2, BasicProperties::default())
    };
    let messages = [by_property, by_routing_key, by_body];
    forger
        .publish(EXCHANGE, messages)
        .await
        .expect("the broker takes them");
    stage.delete([3]).await;
    stage.cleared(2).await;
    let account = stage.finish(worker).await;
    assert_eq!(account.count("events_ignored"), 2);
}

#[tokio::test]
async fn the_dead_letter_of_a_message_that_was_mended_says_what_could_be_read() {
    let (stage, forger) = stage().await;
    let worker = stage.worker().await;
    let mut headers = FieldTable::default();
    headers.insert("x-a~b".into(), AMQPValue::LongString("kept".into()));
    let message = Outgoing {
        body: b"no JSON".to_vec(),
        properties: BasicProperties::default()
            .with_message_id("a~b".into())
            .with_headers(headers),
        ..event(0, BasicProperties::default())
    };
    forger
        .publish(EXCHANGE, [message])
        .await
        .expect("the broker takes it");
    let letters = stage.letters(1).await;
    assert_eq!(letters[0].body, b"no JSON");
    assert_eq!(letters[0].properties.message_id(), &Some("a?b".into()));
    assert_eq!(letters[0].header("x-a?b").as_deref(), Some("kept"));
    assert_eq!(
        letters[0].header("tagsweep-reason").as_deref(),
        Some("malformed-event")
    );
    stage.finish(worker).await;
}

#[tokio::test]
async fn headers_that_are_nested_thousands_deep_stop_nobody() {
    let (stage, forger) = stage().await;
    stage.import(0..3);
    let worker = stage.worker().await;
    stage.delete([0]).await;
    let mut headers = FieldTable::default();
    headers.insert("list".into(), AMQPValue::LongString(lists(20_000).into()));
    let deep = event(1, BasicProperties::default().with_headers(headers));
    forger
        .publish(EXCHANGE, [deep])
        .await
        .expect("the broker takes it");
    stage.delete([2]).await;
    stage.cleared(3).await;
    stage.finish(worker).await;
}

async fn stage() -> (Stage, Amqp) {
    let vhost = shared().await.vhost().await.expect("a virtual host");
    let forge = forge(&vhost).await;
    let stage = Stage::on(&vhost).await;
    stage.prepare_queues().await;
    let forger = Amqp::connect(&vhost.url_through(forge.port())).await;
    (stage, forger.expect("the broker answers"))
}

fn event(number: usize, properties: BasicProperties) -> Outgoing {
    let body = json!({ "type": "user.deleted", "user_id": user(number) });
    Outgoing {
        routing_key: "user.deleted".to_owned(),
        body: body.to_string().into_bytes(),
        properties,
    }
}

/// What is in a list that holds a list that holds a list, `depth` times.
fn lists(depth: u32) -> Vec<u8> {
    const HEAD: u32 = 5;
    let list = |rest: u32| [&b"A"[..], &(rest * HEAD).to_be_bytes()].concat();
    (0..depth).rev().flat_map(list).collect()
}

/// A way to the broker on which messages become what no client library makes.
async fn forge(vhost: &Vhost<'_>) -> SocketAddr {
    let broker = SocketAddr::from(([127, 0, 0, 1], vhost.node().port()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let (client, _) = listener.accept().await?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_broker, mut to_broker) = TcpStream::connect(broker).await?.into_split();
        let back = async {
            tokio::io::copy(&mut from_broker, &mut to_client)
                .await
                .map(|_| ())
        };
        let forth = async {
            let mut bytes = vec![0; 1 << 20];
            loop {
                let length = from_client.read(&mut bytes).await?;
                if length == 0 {
                    return to_broker.shutdown().await;
                }
                forged(&mut bytes[..length]);
                to_broker.write_all(&bytes[..length]).await?;
            }
        };
        tokio::try_join!(back, forth)
    });
    address
}

fn forged(bytes: &mut [u8]) {
    for place in 0..bytes.len() {
        let rest = &mut bytes[place..];
        if rest.starts_with(BROKEN) {
            rest[1] = 0xff;
        } else if rest.starts_with(LIST) {
            rest[LIST.len() - 1] = b'A';
        }
    }
}
