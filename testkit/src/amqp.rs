//! The other ends of the worker's queues: publishes events, and reads dead letters.

use std::time::Duration;

use anyhow::{Context, bail};
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(30);
/// Publishes between two looks at their confirms.
const WINDOW: usize = 1_000;

/// A connection with one channel, for tests and the demo.
pub struct Amqp {
    channel: Channel,
    // Dropping it closes the connection.
    _connection: Connection,
}

/// A message to publish.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    pub routing_key: String,
    pub body: Vec<u8>,
    pub properties: BasicProperties,
}

impl Outgoing {
    pub fn json(routing_key: impl Into<String>, body: impl ToString) -> Outgoing {
        Outgoing {
            routing_key: routing_key.into(),
            body: body.to_string().into_bytes(),
            properties: BasicProperties::default()
                .with_content_type("application/json".into())
                .with_delivery_mode(2),
        }
    }

    pub fn with_headers(mut self, headers: &[(&str, &str)]) -> Outgoing {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), AMQPValue::LongString((*value).into()));
        }
        self.properties = self.properties.with_headers(table);
        self
    }

    pub fn with_content_type(mut self, content_type: &str) -> Outgoing {
        self.properties = self.properties.with_content_type(content_type.into());
        self
    }
}

/// A message that was taken from a queue.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub routing_key: String,
    pub body: Vec<u8>,
    pub properties: BasicProperties,
}

impl Incoming {
    /// A header as text: texts as they are, integers in decimal.
    pub fn header(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            AMQPValue::LongString(text) => {
                Some(String::from_utf8_lossy(text.as_bytes()).into_owned())
            }
            AMQPValue::LongLongInt(number) => Some(number.to_string()),
            AMQPValue::LongInt(number) => Some(number.to_string()),
            other => Some(format!("{other:?}")),
        }
    }

    /// A header that holds an array of texts.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let Some(AMQPValue::FieldArray(array)) = self.value(name) else {
            return Vec::new();
        };
        let text = |value: &AMQPValue| match value {
            AMQPValue::LongString(text) => {
                Some(String::from_utf8_lossy(text.as_bytes()).into_owned())
            }
            _ => None,
        };
        FieldArray::as_slice(array)
            .iter()
            .filter_map(text)
            .collect()
    }

    fn value(&self, name: &str) -> Option<&AMQPValue> {
        self.properties.headers().as_ref()?.inner().get(name)
    }
}

impl Amqp {
    /// Connects to a broker, with confirms.
    ///
    /// # Errors
    /// When it does not answer in time or refuses.
    pub async fn connect(url: &str) -> anyhow::Result<Amqp> {
        let connecting = Connection::connect(url, ConnectionProperties::default());
        let connection = timeout(LIMIT, connecting)
            .await
            .context("connecting to RabbitMQ")??;
        let channel = timeout(LIMIT, connection.create_channel()).await??;
        timeout(
            LIMIT,
            channel.confirm_select(ConfirmSelectOptions::default()),
        )
        .await??;
        Ok(Amqp {
            channel,
            _connection: connection,
        })
    }

    /// Publishes all and waits until the broker has each in a queue.
    ///
    /// # Errors
    /// When one is returned or refused.
    pub async fn publish(
        &self,
        exchange: &str,
        messages: impl IntoIterator<Item = Outgoing>,
    ) -> anyhow::Result<usize> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..Default::default()
        };
        let mut open = Vec::new();
        let mut count = 0;
        for Outgoing {
            routing_key,
            body,
            properties,
        } in messages
        {
            let publish = self.channel.basic_publish(
                exchange.into(),
                routing_key.as_str().into(),
                options,
                &body,
                properties,
            );
            open.push(timeout(LIMIT, publish).await??);
            count += 1;
            if open.len() == WINDOW {
                confirm(open.drain(..)).await?;
            }
        }
        confirm(open.drain(..)).await?;
        Ok(count)
    }

    /// Takes every message that is ready in `queue` now.
    ///
    /// # Errors
    /// When there is no such queue, or the broker does not answer. Nothing is taken then.
    pub async fn take_all(&self, queue: &str) -> anyhow::Result<Vec<Incoming>> {
        let mut taken = Vec::new();
        let mut last = None;
        loop {
            let get = self
                .channel
                .basic_get(queue.into(), BasicGetOptions::default());
            let Some(message) = timeout(LIMIT, get).await?? else {
                break;
            };
            let message = message.delivery;
            last = Some(message.acker);
            taken.push(Incoming {
                routing_key: message.routing_key.to_string(),
                body: message.data,
                properties: message.properties,
            });
        }
        if let Some(last) = last {
            let all = BasicAckOptions { multiple: true };
            timeout(LIMIT, last.ack(all)).await??;
            // An ack has no answer; what comes after it on the channel does.
            self.depth(queue).await?;
        }
        Ok(taken)
    }

    /// Messages ready in `queue`, and its consumers.
    ///
    /// # Errors
    /// When there is no such queue; the connection is of no use then.
    pub async fn depth(&self, queue: &str) -> anyhow::Result<(u32, u32)> {
        let options = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let declare = self
            .channel
            .queue_declare(queue.into(), options, FieldTable::default());
        let queue = timeout(LIMIT, declare).await??;
        Ok((queue.message_count(), queue.consumer_count()))
    }

    /// Declares a durable queue with these arguments.
    ///
    /// # Errors
    /// When it is there already with others; the connection is of no use then.
    pub async fn declare(&self, queue: &str, arguments: FieldTable) -> anyhow::Result<()> {
        let options = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let declare = self.channel.queue_declare(queue.into(), options, arguments);
        timeout(LIMIT, declare).await??;
        Ok(())
    }

    /// Binds `queue` to `exchange` for all routing keys.
    ///
    /// # Errors
    /// When one of them is not there; the connection is of no use then.
    pub async fn bind(&self, queue: &str, exchange: &str) -> anyhow::Result<()> {
        let bind = self.channel.queue_bind(
            queue.into(),
            exchange.into(),
            "#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        timeout(LIMIT, bind).await??;
        Ok(())
    }

    /// Undoes [`bind`](Amqp::bind).
    ///
    /// # Errors
    /// When one of them is not there; the connection is of no use then.
    pub async fn unbind(&self, queue: &str, exchange: &str) -> anyhow::Result<()> {
        let unbind = self.channel.queue_unbind(
            queue.into(),
            exchange.into(),
            "#".into(),
            FieldTable::default(),
        );
        timeout(LIMIT, unbind).await??;
        Ok(())
    }

    /// Removes queues and exchanges, whatever is in them.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn delete(&self, queues: &[&str], exchanges: &[&str]) -> anyhow::Result<()> {
        for queue in queues {
            timeout(
                LIMIT,
                self.channel
                    .queue_delete((*queue).into(), QueueDeleteOptions::default()),
            )
            .await??;
        }
        for exchange in exchanges {
            let options = ExchangeDeleteOptions::default();
            timeout(
                LIMIT,
                self.channel.exchange_delete((*exchange).into(), options),
            )
            .await??;
        }
        Ok(())
    }
}

async fn confirm(open: impl Iterator<Item = lapin::PublisherConfirm>) -> anyhow::Result<()> {
    for publish in open {
        match timeout(LIMIT, publish).await?? {
            Confirmation::Ack(None) => {}
            other => bail!("a message is in no queue: {other:?}"),
        }
    }
    Ok(())
}
