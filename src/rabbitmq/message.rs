//! A delivery, independent of lapin.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::headers::size;

/// Identifies a delivery. Tags restart with every session, so a tag without its session number could settle another
/// delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryTag {
    pub session: u32,
    pub tag: u64,
}

#[derive(Debug)]
pub struct Delivery {
    pub tag: DeliveryTag,
    /// The broker delivered this before, maybe to another consumer.
    pub redelivered: bool,
    /// Number of returns to its queue, counted by a quorum queue; 0 on other queues.
    pub returned: u32,
    pub returns: Returns,
    pub message: Message,
}

/// Number of returns after which the broker drops a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    Many,
    /// Returns reserved for what cannot be avoided: a lost connection, a killed worker.
    Few,
    None,
}

impl Returns {
    /// A message that was returned `limit` times is dropped at the next return.
    pub(super) fn left(limit: Option<u32>, returned: u32) -> Self {
        match limit.map(|limit| (limit.saturating_sub(returned), (limit / 4).max(1))) {
            Some((0, _)) if returned > 0 => Self::None,
            Some((left, reserve)) if left <= reserve => Self::Few,
            _ => Self::Many,
        }
    }
}

/// A published message. `Debug` shows no content. Clones share the body.
#[derive(Clone)]
pub struct Message {
    pub body: Bytes,
    message_id: Option<ShortString>,
    timestamp: Option<u64>,
    /// What this message's headers take, where it does not share them with the one before.
    header_bytes: usize,
    envelope: Arc<Envelope>,
}

/// Everything in a message besides body, ID and time. It is mostly the same in all messages, and thousands are held
/// at a time, so consecutive messages share one. The ID and time in its properties are those of the first message.
pub(crate) struct Envelope {
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
}

/// A header's value, reduced to the types that are used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeaderValue<'a> {
    Text(&'a str),
    Integer(i64),
    Boolean(bool),
    /// Seconds since the Unix epoch.
    Timestamp(u64),
    Other,
}

impl Envelope {
    fn header_bytes(&self) -> usize {
        let headers = self.properties.headers().iter().flat_map(FieldTable::inner);
        headers
            .map(|(name, value)| size(name.as_str(), value))
            .sum()
    }

    fn is_like(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.properties, &other.properties);
        self.routing_key == other.routing_key
            && self.exchange == other.exchange
            && ours.kind() == theirs.kind()
            && ours.content_type() == theirs.content_type()
            && ours.content_encoding() == theirs.content_encoding()
            && ours.headers() == theirs.headers()
            && ours.delivery_mode() == theirs.delivery_mode()
            && ours.priority() == theirs.priority()
            && ours.correlation_id() == theirs.correlation_id()
            && ours.reply_to() == theirs.reply_to()
            && ours.expiration() == theirs.expiration()
            && ours.user_id() == theirs.user_id()
            && ours.app_id() == theirs.app_id()
    }
}

impl Message {
    /// `last` is the envelope of the previous message, and is replaced with this one's.
    pub(crate) fn new(
        exchange: ShortString,
        routing_key: ShortString,
        properties: BasicProperties,
        body: Bytes,
        last: &mut Option<Arc<Envelope>>,
    ) -> Self {
        let message_id = properties.message_id().clone();
        let timestamp = *properties.timestamp();
        let envelope = Envelope {
            exchange,
            routing_key,
            properties,
        };
        let (envelope, header_bytes) = match last {
            Some(last) if last.is_like(&envelope) => (last, 0),
            last => {
                let bytes = envelope.header_bytes();
                (last.insert(Arc::new(envelope)), bytes)
            }
        };
        Self {
            body,
            message_id,
            timestamp,
            header_bytes,
            envelope: Arc::clone(envelope),
        }
    }

    /// Approximate size in memory, in bytes.
    pub fn size(&self) -> usize {
        self.body.len() + self.header_bytes
    }

    pub fn exchange(&self) -> &str {
        self.envelope.exchange.as_str()
    }

    pub fn routing_key(&self) -> &str {
        self.envelope.routing_key.as_str()
    }

    /// But for the message's ID and time, which may be another one's.
    pub(crate) fn properties(&self) -> &BasicProperties {
        &self.envelope.properties
    }

    pub fn content_type(&self) -> Option<&str> {
        text(self.envelope.properties.content_type())
    }

    pub fn content_encoding(&self) -> Option<&str> {
        text(self.envelope.properties.content_encoding())
    }

    pub fn message_id(&self) -> Option<&str> {
        text(&self.message_id)
    }

    /// The AMQP property `type`.
    pub fn kind(&self) -> Option<&str> {
        text(self.envelope.properties.kind())
    }

    pub fn app_id(&self) -> Option<&str> {
        text(self.envelope.properties.app_id())
    }

    /// Seconds since the Unix epoch.
    pub fn timestamp(&self) -> Option<u64> {
        self.timestamp
    }

    pub fn header(&self, name: &str) -> Option<HeaderValue<'_>> {
        let headers = self.envelope.properties.headers().as_ref()?;
        headers.inner().get(name).map(header_value)
    }

    pub fn headers(&self) -> impl Iterator<Item = (&str, HeaderValue<'_>)> {
        self.envelope
            .properties
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
            .field("exchange", &self.exchange())
            .field("routing_key", &self.routing_key())
            .finish_non_exhaustive()
    }
}

fn text(property: &Option<ShortString>) -> Option<&str> {
    property.as_ref().map(ShortString::as_str)
}

pub(super) fn header_value(value: &AMQPValue) -> HeaderValue<'_> {
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

pub(crate) fn delivery(
    session: u32,
    delivery: lapin::message::Delivery,
    limit: Option<u32>,
    last: &mut Option<Arc<Envelope>>,
) -> Delivery {
    let headers = delivery.properties.headers().as_ref();
    let returned = headers.and_then(|headers| headers.inner().get("x-delivery-count"));
    let returned = match returned.map(header_value) {
        Some(HeaderValue::Integer(count)) if delivery.redelivered => count.try_into().unwrap_or(0),
        _ => 0,
    };
    Delivery {
        returned,
        returns: Returns::left(limit, returned),
        tag: DeliveryTag {
            session,
            tag: delivery.delivery_tag,
        },
        redelivered: delivery.redelivered,
        message: Message::new(
            delivery.exchange,
            delivery.routing_key,
            delivery.properties,
            delivery.data.into(),
            last,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages as they arrive one after the other.
    fn in_a_row(arriving: impl IntoIterator<Item = BasicProperties>) -> Vec<Message> {
        let mut last = None;
        let mut message = |properties| {
            let (exchange, key) = ("account.events".into(), "user.deleted".into());
            Message::new(exchange, key, properties, Bytes::new(), &mut last)
        };
        arriving.into_iter().map(&mut message).collect()
    }

    #[test]
    fn messages_in_a_row_share_an_envelope_and_each_has_its_own_id_and_time() {
        let numbered = |number: u64| {
            let properties = BasicProperties::default().with_type("user.deleted".into());
            let id = format!("evt-{number}");
            properties.with_message_id(id.into()).with_timestamp(number)
        };
        let plain = BasicProperties::default().with_type("user.deleted".into());
        let messages = in_a_row([numbered(1), numbered(2), plain]);
        assert!(Arc::ptr_eq(&messages[0].envelope, &messages[2].envelope));
        let ids: Vec<_> = messages.iter().map(Message::message_id).collect();
        assert_eq!(ids, [Some("evt-1"), Some("evt-2"), None]);
        let times: Vec<_> = messages.iter().map(Message::timestamp).collect();
        assert_eq!(times, [Some(1), Some(2), None]);
    }

    #[test]
    fn a_quarter_of_the_returns_is_kept_for_what_cannot_be_avoided() {
        use Returns::{Few, Many, None as No};
        for (limit, returned, left) in [
            (None, 1_000, Many),
            (Some(1_000), 749, Many),
            (Some(1_000), 750, Few),
            (Some(20), 14, Many),
            (Some(20), 15, Few),
            (Some(20), 19, Few),
            (Some(20), 20, No),
            (Some(20), 21, No),
            (Some(3), 1, Many),
            (Some(3), 2, Few),
            (Some(3), 3, No),
            (Some(1), 0, Few),
            // Nothing can be returned to such a queue, and every delivery is the first one.
            (Some(0), 0, Few),
        ] {
            assert_eq!(
                Returns::left(limit, returned),
                left,
                "{returned} of {limit:?}"
            );
        }
    }

    #[test]
    fn no_message_gets_what_a_publisher_wrote_on_another() {
        let plain = BasicProperties::default;
        let mut headers = FieldTable::default();
        headers.insert("x-tenant".into(), AMQPValue::LongInt(7));
        let all = [
            plain(),
            plain().with_content_type("a".into()),
            plain().with_content_encoding("a".into()),
            plain().with_headers(headers),
            plain().with_delivery_mode(2),
            plain().with_priority(1),
            plain().with_correlation_id("a".into()),
            plain().with_reply_to("a".into()),
            plain().with_expiration("a".into()),
            plain().with_type("a".into()),
            plain().with_user_id("a".into()),
            plain().with_app_id("a".into()),
            plain(),
        ];
        for (message, expected) in in_a_row(all.clone()).iter().zip(&all) {
            assert_eq!(message.properties(), expected);
        }
        let mut last = None;
        let mut sent = |exchange: &str, key: &str| {
            let (exchange, key) = (exchange.into(), key.into());
            Message::new(exchange, key, plain(), Bytes::new(), &mut last)
        };
        let messages = [sent("a", "b"), sent("a", "c"), sent("d", "c")];
        let routes = messages
            .each_ref()
            .map(|message| (message.exchange(), message.routing_key()));
        assert_eq!(routes, [("a", "b"), ("a", "c"), ("d", "c")]);
    }
}
