//! What stands around a message's body, as JSON, and where the message was published to at first.

use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};
use serde_json::{Map, Number, Value};

use super::HeaderValue;
use super::message::{Message, header_value};
use crate::letter::{EXCHANGE, LONGEST_NAME, Mark, ROUTING_KEY, Redriven};

/// How many tables may be within each other; what is deeper is left out.
const DEEPEST: usize = 16;

/// Where a message was published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a str,
}

/// Why the broker dead-lettered a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death<'a> {
    /// `rejected`, `expired`, `maxlen` or `delivery_limit`.
    pub reason: &'a str,
    pub queue: &'a str,
    /// Seconds since the Unix epoch.
    pub at: Option<u64>,
}

impl Message {
    /// Where the producer published it to. A redriven letter says that itself; of what the broker dead-lettered, the
    /// broker does.
    pub fn published_to(&self) -> Route<'_> {
        let arrived = Route {
            exchange: self.exchange(),
            routing_key: self.routing_key(),
        };
        if arrived.exchange.is_empty()
            && let Some(route) = self.redriven_from()
        {
            return route;
        }
        let headers = self.properties().headers().as_ref();
        let before = headers.and_then(before_death).unwrap_or(arrived);
        match self.redriven_from() {
            // The broker has dead-lettered a redriven event.
            Some(route) if before.exchange.is_empty() => route,
            _ => before,
        }
    }

    /// What the redriven event says of its letter; none for any other message. It is believed only where a queue
    /// was published to directly: a producer that copies the headers of a letter publishes to an exchange.
    pub fn redriven(&self) -> Option<Redriven> {
        let is_direct = |exchange: &str| exchange.is_empty();
        let headers = self.properties().headers().as_ref();
        let before = headers.and_then(before_death);
        if !is_direct(self.exchange()) && !before.is_some_and(|route| is_direct(route.exchange)) {
            return None;
        }
        Redriven::read(&|name| self.mark(name))
    }

    /// What a redriven event says itself.
    fn redriven_from(&self) -> Option<Route<'_>> {
        let text = |name| match self.header(name) {
            Some(HeaderValue::Text(text)) => Some(text).filter(is_name),
            _ => None,
        };
        Some(Route {
            routing_key: text(ROUTING_KEY)?,
            exchange: text(EXCHANGE).unwrap_or_default(),
        })
    }

    /// A header, if it is of a kind that we write.
    pub fn mark(&self, name: &str) -> Option<Mark> {
        let value = self.properties().headers().as_ref()?.inner().get(name)?;
        Some(match header_value(value) {
            HeaderValue::Text(text) => Mark::Text(text.to_owned()),
            HeaderValue::Integer(number) => Mark::Integer(number),
            _ => {
                let AMQPValue::FieldArray(values) = value else {
                    return None;
                };
                let values = values.as_slice().iter();
                Mark::Texts(
                    values
                        .map(|value| text(value).map(str::to_owned))
                        .collect::<Option<_>>()?,
                )
            }
        })
    }

    /// The latest time that the broker dead-lettered it, if it did.
    pub fn death(&self) -> Option<Death<'_>> {
        let headers = self.properties().headers().as_ref()?;
        let death = first_death(headers)?.inner();
        let at = match death.get("time") {
            Some(AMQPValue::Timestamp(seconds)) => Some(*seconds),
            _ => None,
        };
        Some(Death {
            reason: death.get("reason").and_then(text)?,
            queue: death.get("queue").and_then(text).unwrap_or_default(),
            at,
        })
    }

    /// All headers but the broker's counts of deliveries, which would make each redelivery another message.
    /// Timestamps are seconds since 1970; what JSON has no form for is null.
    pub fn headers_as_json(&self) -> Map<String, Value> {
        let headers = self.properties().headers().as_ref();
        let mut all = headers
            .map(|headers| object(headers, DEEPEST))
            .unwrap_or_default();
        for count in ["x-delivery-count", "x-acquired-count"] {
            all.remove(count);
        }
        all
    }

    /// Those of the named properties that are set.
    pub fn properties_as_json(&self, names: &[&str]) -> Map<String, Value> {
        let set = |name: &&str| Some(((*name).to_owned(), self.property_as_json(name)?));
        names.iter().filter_map(set).collect()
    }

    /// A property by its name in AMQP, with underscores; nothing where it is not set.
    fn property_as_json(&self, name: &str) -> Option<Value> {
        let own = self.properties();
        let text = |text: &Option<ShortString>| Some(text.as_ref()?.as_str().into());
        let number = |number: &Option<u8>| Some((*number.as_ref()?).into());
        match name {
            "content_type" => text(own.content_type()),
            "content_encoding" => text(own.content_encoding()),
            "delivery_mode" => number(own.delivery_mode()),
            "priority" => number(own.priority()),
            "correlation_id" => text(own.correlation_id()),
            "reply_to" => text(own.reply_to()),
            "expiration" => text(own.expiration()),
            "message_id" => self.message_id().map(Value::from),
            "timestamp" => self.timestamp().map(Value::from),
            "type" => text(own.kind()),
            "user_id" => text(own.user_id()),
            "app_id" => text(own.app_id()),
            "cluster_id" => text(own.cluster_id()),
            _ => None,
        }
    }
}

/// A producer can write anything there.
fn is_name(text: &&str) -> bool {
    text.len() <= LONGEST_NAME
}

fn first_death(headers: &FieldTable) -> Option<&FieldTable> {
    let AMQPValue::FieldArray(deaths) = headers.inner().get("x-death")? else {
        return None;
    };
    match deaths.as_slice().first()? {
        AMQPValue::FieldTable(death) => Some(death),
        _ => None,
    }
}

/// By the first entry of `x-death`.
fn before_death(headers: &FieldTable) -> Option<Route<'_>> {
    let death = first_death(headers)?;
    let AMQPValue::FieldArray(keys) = death.inner().get("routing-keys")? else {
        return None;
    };
    Some(Route {
        exchange: death
            .inner()
            .get("exchange")
            .and_then(text)
            .filter(is_name)
            .unwrap_or_default(),
        routing_key: keys.as_slice().first().and_then(text).filter(is_name)?,
    })
}

fn text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

fn object(table: &FieldTable, depth: usize) -> Map<String, Value> {
    let fields = table.inner().iter();
    fields
        .map(|(name, value)| (name.as_str().to_owned(), json(value, depth)))
        .collect()
}

fn list(array: &FieldArray, depth: usize) -> Value {
    array
        .as_slice()
        .iter()
        .map(|value| json(value, depth))
        .collect()
}

fn json(value: &AMQPValue, depth: usize) -> Value {
    let float = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    match value {
        AMQPValue::Boolean(yes) => (*yes).into(),
        AMQPValue::ShortShortInt(number) => (*number).into(),
        AMQPValue::ShortShortUInt(number) => (*number).into(),
        AMQPValue::ShortInt(number) => (*number).into(),
        AMQPValue::ShortUInt(number) => (*number).into(),
        AMQPValue::LongInt(number) => (*number).into(),
        AMQPValue::LongUInt(number) => (*number).into(),
        AMQPValue::LongLongInt(number) => (*number).into(),
        AMQPValue::Timestamp(seconds) => (*seconds).into(),
        AMQPValue::Float(number) => float((*number).into()),
        AMQPValue::Double(number) => float(*number),
        AMQPValue::LongString(_) | AMQPValue::ShortString(_) => text(value).into(),
        AMQPValue::FieldTable(table) if depth > 0 => object(table, depth - 1).into(),
        AMQPValue::FieldArray(array) if depth > 0 => list(array, depth - 1),
        AMQPValue::FieldTable(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lapin::BasicProperties;
    use serde_json::json;

    use super::*;

    fn message(exchange: &str, key: &str, headers: &[(&str, AMQPValue)]) -> Message {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        let properties = BasicProperties::default()
            .with_headers(table)
            .with_type("user.deleted".into())
            .with_priority(3)
            .with_timestamp(1_795_341_600);
        Message::new(
            exchange.into(),
            key.into(),
            properties,
            Bytes::new(),
            &mut None,
        )
    }

    fn texts(items: &[&str]) -> AMQPValue {
        let items: Vec<_> = items.iter().map(|item| long(item)).collect();
        AMQPValue::FieldArray(items.into())
    }

    fn long(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn death(exchange: &str, keys: &[&str]) -> AMQPValue {
        let mut entry = FieldTable::default();
        entry.insert("exchange".into(), long(exchange));
        entry.insert("routing-keys".into(), texts(keys));
        AMQPValue::FieldTable(entry)
    }

    #[test]
    fn a_redriven_letter_and_what_the_broker_dead_lettered_keep_their_first_route() {
        let own = [
            ("tagsweep-routing-key", long("a.b")),
            ("tagsweep-exchange", long("events")),
        ];
        let deaths =
            AMQPValue::FieldArray(vec![death("second", &["s", "cc"]), death("f", &["f"])].into());
        for (message, exchange, routing_key) in [
            (message("", "queue", &own), "events", "a.b"),
            (message("", "queue", &own[..1]), "", "a.b"),
            // Another program may copy headers.
            (message("events", "key", &own), "events", "key"),
            (
                message("retry", "key", &[("x-death", deaths.clone())]),
                "second",
                "s",
            ),
            (
                message("retry", "key", &[("x-death", texts(&[]))]),
                "retry",
                "key",
            ),
            (
                message("retry", "key", &[("x-death", long("x"))]),
                "retry",
                "key",
            ),
            (message("", "queue", &[]), "", "queue"),
        ] {
            let route = Route {
                exchange,
                routing_key,
            };
            assert_eq!(message.published_to(), route);
        }
    }

    #[test]
    fn a_redelivery_has_the_headers_of_the_first_delivery() {
        let own = ("x-delivery", long("the publisher's"));
        let first = message("events", "key", std::slice::from_ref(&own));
        let count = |count| AMQPValue::LongLongInt(count);
        let again = [
            own,
            ("x-delivery-count", count(1)),
            ("x-acquired-count", count(2)),
        ];
        let again = message("events", "key", &again);
        assert_eq!(first.headers_as_json().len(), 1);
        assert_eq!(again.headers_as_json(), first.headers_as_json());
    }

    #[test]
    fn every_property_that_a_rule_may_name_is_given_to_it() {
        let properties = BasicProperties::default()
            .with_content_type("t".into())
            .with_content_encoding("t".into())
            .with_delivery_mode(1)
            .with_priority(1)
            .with_correlation_id("t".into())
            .with_reply_to("t".into())
            .with_expiration("1".into())
            .with_message_id("t".into())
            .with_timestamp(1)
            .with_type("t".into())
            .with_user_id("t".into())
            .with_app_id("t".into())
            .with_cluster_id("t".into());
        let message = Message::new("".into(), "".into(), properties, Bytes::new(), &mut None);
        for name in crate::event::PROPERTIES {
            assert!(message.property_as_json(name).is_some(), "{name}");
        }
    }

    #[test]
    fn headers_and_properties_are_json_whatever_their_type() {
        let message = message(
            "events",
            "key",
            &[
                ("text", long("x")),
                ("number", AMQPValue::ShortShortInt(-7)),
                ("yes", AMQPValue::Boolean(true)),
                ("float", AMQPValue::Double(0.5)),
                ("nan", AMQPValue::Double(f64::NAN)),
                ("void", AMQPValue::Void),
                ("at", AMQPValue::Timestamp(5)),
                (
                    "list",
                    AMQPValue::FieldArray(vec![death("e", &["k"])].into()),
                ),
            ],
        );
        let headers = json!({
            "text": "x", "number": -7, "yes": true, "float": 0.5, "nan": null, "void": null, "at": 5,
            "list": [{ "exchange": "e", "routing-keys": ["k"] }],
        });
        assert_eq!(Value::Object(message.headers_as_json()), headers);
        for (name, value) in [
            ("type", Some(json!("user.deleted"))),
            ("priority", Some(json!(3))),
            ("timestamp", Some(json!(1_795_341_600))),
            ("app_id", None),
        ] {
            assert_eq!(message.property_as_json(name), value);
        }
    }
}
