//! A delivery as the rest of the program sees it.

use std::fmt;

use bytes::Bytes;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

/// Names one delivery. Tags start anew with every session, so a tag without its session's number
/// could settle somebody else's delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryTag {
    pub session: u32,
    pub tag: u64,
}

#[derive(Debug)]
pub struct Delivery {
    pub tag: DeliveryTag,
    /// The broker handed this out before, maybe to somebody else.
    pub redelivered: bool,
    pub message: Message,
}

/// What was published. `Debug` shows no content. Clones share the body.
#[derive(Clone, PartialEq)]
pub struct Message {
    pub body: Bytes,
    pub exchange: String,
    pub routing_key: String,
    pub(super) properties: BasicProperties,
}

/// A header's value, as far as anyone here can use it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeaderValue<'a> {
    Text(&'a str),
    Integer(i64),
    Boolean(bool),
    /// Seconds since the Unix epoch.
    Timestamp(u64),
    Other,
}

impl Message {
    pub fn content_type(&self) -> Option<&str> {
        text(self.properties.content_type())
    }

    pub fn content_encoding(&self) -> Option<&str> {
        text(self.properties.content_encoding())
    }

    pub fn message_id(&self) -> Option<&str> {
        text(self.properties.message_id())
    }

    /// The AMQP property `type`.
    pub fn kind(&self) -> Option<&str> {
        text(self.properties.kind())
    }

    pub fn app_id(&self) -> Option<&str> {
        text(self.properties.app_id())
    }

    /// Seconds since the Unix epoch.
    pub fn timestamp(&self) -> Option<u64> {
        *self.properties.timestamp()
    }

    pub fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        let headers = self.properties.headers().as_ref()?;
        headers.inner().get(name).map(header_value)
    }

    pub fn headers(&self) -> impl Iterator<Item = (&str, HeaderValue<'_>)> {
        self.properties
            .headers()
            .iter()
            .flat_map(FieldTable::inner)
            .map(|(name, value)| (name.as_str(), header_value(value)))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("bytes", &self.body.len())
            .field("exchange", &self.exchange)
            .field("routing_key", &self.routing_key)
            .finish_non_exhaustive()
    }
}

fn text(property: &Option<ShortString>) -> Option<&str> {
    property.as_ref().map(ShortString::as_str)
}

fn header_value(value: &AMQPValue) -> HeaderValue<'_> {
    match value {
        AMQPValue::LongString(text) => {
            str::from_utf8(text.as_bytes()).map_or(HeaderValue::Other, HeaderValue::Text)
        }
        AMQPValue::ShortString(text) => HeaderValue::Text(text.as_str()),
        AMQPValue::Boolean(value) => HeaderValue::Boolean(*value),
        AMQPValue::ShortShortInt(value) => HeaderValue::Integer((*value).into()),
        AMQPValue::ShortShortUInt(value) => HeaderValue::Integer((*value).into()),
        AMQPValue::ShortInt(value) => HeaderValue::Integer((*value).into()),
        AMQPValue::ShortUInt(value) => HeaderValue::Integer((*value).into()),
        AMQPValue::LongInt(value) => HeaderValue::Integer((*value).into()),
        AMQPValue::LongUInt(value) => HeaderValue::Integer((*value).into()),
        AMQPValue::LongLongInt(value) => HeaderValue::Integer(*value),
        AMQPValue::Timestamp(seconds) => HeaderValue::Timestamp(*seconds),
        _ => HeaderValue::Other,
    }
}

pub(super) fn delivery(session: u32, delivery: lapin::message::Delivery) -> Delivery {
    Delivery {
        tag: DeliveryTag {
            session,
            tag: delivery.delivery_tag,
        },
        redelivered: delivery.redelivered,
        message: Message {
            body: delivery.data.into(),
            exchange: delivery.exchange.into(),
            routing_key: delivery.routing_key.into(),
            properties: delivery.properties,
        },
    }
}
