//! Letters as a worker writes them, by the contract and not by the code under test.

use std::process::Stdio;

use futures_util::StreamExt;
use lapin::options::BasicConsumeOptions;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::{Value, json};
use testkit::amqp::{Incoming, Outgoing};

use crate::program::{Ended, PATIENCE, Program};
use crate::stage::*;

/// A letter in the making.
#[derive(Clone)]
pub struct Letter {
    pub body: Vec<u8>,
    pub headers: FieldTable,
    pub properties: BasicProperties,
}

impl Letter {
    /// Of one user, whom the API rejected.
    pub fn new(number: usize) -> Letter {
        let id = format!("{number:016x}-1");
        let event = json!({ "type": "user.deleted", "user_id": user(number), "id": id });
        let letter = Letter {
            body: event.to_string().into_bytes(),
            headers: FieldTable::default(),
            properties: BasicProperties::default()
                .with_delivery_mode(2)
                .with_message_id(id.as_str().into())
                .with_content_type("application/json".into()),
        };
        letter
            .text("tagsweep-letter-id", &id)
            .text("tagsweep-reason", "rejected-by-api")
            .text("tagsweep-detail", "JSON of the body could not be parsed")
            .number("tagsweep-error-code", 90001)
            .number("tagsweep-attempts", 5)
            .text("tagsweep-first-seen", "2026-11-22T10:00:00.000Z")
            .text("tagsweep-dead-lettered-at", "2026-11-22T10:00:09.000Z")
            .text("tagsweep-exchange", EXCHANGE)
            .text("tagsweep-routing-key", "user.deleted")
            .text("tagsweep-version", "0.1.0")
            .texts("tagsweep-failed-users", &[&user(number)])
    }

    pub fn text(self, name: &str, text: &str) -> Letter {
        self.header(name, AMQPValue::LongString(text.into()))
    }

    pub fn number(self, name: &str, number: i64) -> Letter {
        self.header(name, AMQPValue::LongLongInt(number))
    }

    pub fn texts(self, name: &str, texts: &[&str]) -> Letter {
        let texts: Vec<_> = texts
            .iter()
            .map(|text| AMQPValue::LongString((*text).into()))
            .collect();
        self.header(name, AMQPValue::FieldArray(FieldArray::from(texts)))
    }

    pub fn header(mut self, name: &str, value: AMQPValue) -> Letter {
        self.headers.insert(name.into(), value);
        self
    }

    pub fn without(mut self, name: &str) -> Letter {
        self.headers = self
            .headers
            .inner()
            .iter()
            .filter(|(header, _)| header.as_str() != name)
            .map(|(header, value)| (header.clone(), value.clone()))
            .collect::<std::collections::BTreeMap<_, _>>()
            .into();
        self
    }

    pub fn reason(self, reason: &str) -> Letter {
        self.text("tagsweep-reason", reason)
    }

    pub fn with_body(mut self, body: &[u8]) -> Letter {
        self.body = body.to_vec();
        self
    }

    pub fn outgoing(self) -> Outgoing {
        Outgoing {
            routing_key: "user.deleted".to_owned(),
            body: self.body,
            properties: self.properties.with_headers(self.headers),
        }
    }
}

pub fn letters(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Outgoing> {
    numbers.map(|number| Letter::new(number).outgoing())
}

impl Stage {
    /// A stage with queues and these letters.
    pub async fn with_letters(letters: impl IntoIterator<Item = Outgoing>) -> Stage {
        let stage = Stage::new().await;
        stage.declare().await;
        stage.dead_letter(letters).await;
        stage
    }

    pub async fn dead_letter(&self, letters: impl IntoIterator<Item = Outgoing>) {
        self.amqp.publish(DEAD_LETTERS, letters).await.unwrap();
    }

    /// All that a queue holds, in order, quickly. It is gone then.
    pub async fn taken(&self, queue: &str) -> Vec<Incoming> {
        let count = self.vhost.ready(queue).await.unwrap() as usize;
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.vhost.url(), properties)
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = BasicConsumeOptions {
            no_ack: true,
            ..Default::default()
        };
        let consume =
            channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let messages = consume.await.unwrap().take(count).map(|message| {
            let message = message.unwrap();
            Incoming {
                routing_key: message.routing_key.to_string(),
                body: message.data,
                properties: message.properties,
            }
        });
        let taken = within(PATIENCE, messages.collect()).await;
        connection.close(200, "bye".into()).await.unwrap();
        taken
    }

    /// A command that needs the broker only.
    pub fn dlq(&self, arguments: &str) -> Program {
        Program::new(&format!("dead-letters {arguments}")).set("rabbitmq.url", self.vhost.url())
    }

    /// Runs such a command, which must succeed.
    pub async fn dlq_ok(&self, arguments: &str) -> Ended {
        let ended = self.dlq(arguments).run_to_end(Stdio::piped(), false).await;
        assert_eq!(ended.code, Some(0), "{arguments}: {ended:?}");
        ended
    }

    pub async fn dlq_json(&self, arguments: &str) -> Value {
        self.dlq_ok(&format!("{arguments} --json")).await.json()
    }

    /// The IDs of the letters in the queue, in order. Takes them out.
    pub async fn order(&self) -> Vec<String> {
        let letters = self.taken(DEAD_LETTERS).await;
        let ids = letters
            .iter()
            .map(|letter| letter.header("tagsweep-letter-id").unwrap_or_default());
        ids.collect()
    }
}

pub fn ids(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|number| format!("{number:016x}-1"))
        .collect()
}
