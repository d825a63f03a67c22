//! The settings that a queue was declared with.
//!
//! AMQP shows no arguments. But a broker refuses to redeclare a queue with other settings, and its refusal names
//! one that differs, with its value. So the settings are found out one by one.

use std::collections::BTreeMap;

use lapin::{
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::rabbitmq::{Options, Part};

const DURABLE: &str = "durable";
const AUTO_DELETE: &str = "auto_delete";
const TYPE: &str = "x-queue-type";
const SINGLE_ACTIVE_CONSUMER: &str = "x-single-active-consumer";
const DELIVERY_LIMIT: &str = "x-delivery-limit";
const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";
const DEAD_LETTER_ROUTING_KEY: &str = "x-dead-letter-routing-key";
const OVERFLOW: &str = "x-overflow";
const STREAM_ONLY: &str = "x-max-age";

/// Since RabbitMQ 4 a quorum queue without a delivery limit of its own drops a message that is returned more often.
pub(super) const DEFAULT_DELIVERY_LIMIT: u32 = 20;
/// High enough for long outages, but finite: a message that crashes every worker must not be redelivered forever.
const OUR_DELIVERY_LIMIT: i64 = 1_000;
/// A limit that no message reaches. -1 is the documented way to have none, and makes RabbitMQ 3.10 drop every
/// message at its first redelivery.
const UNREACHED_DELIVERY_LIMIT: i64 = i32::MAX as i64;

/// The settings of a queue that can be declared, by the names that a broker has for them.
#[derive(Clone)]
pub(super) struct Shape(BTreeMap<ShortString, AMQPValue>);

impl Shape {
    /// The settings of a queue that we declare.
    pub(super) fn wanted(part: Part, options: &Options) -> Self {
        match part {
            Part::Queue | Part::Exchange => Self::of_events(&options.dead_letter_exchange),
            Part::DeadLetterQueue | Part::DeadLetterExchange => {
                Self::quorum(UNREACHED_DELIVERY_LIMIT)
            }
        }
    }

    /// The settings of the event queue. What the broker removes from it goes to the dead-letter queue, at least
    /// once; such a queue must reject excess messages instead of dropping them.
    fn of_events(dead_letter_exchange: &str) -> Self {
        let mut shape = Self::quorum(OUR_DELIVERY_LIMIT);
        shape.set(SINGLE_ACTIVE_CONSUMER, AMQPValue::Boolean(true));
        shape.set(DEAD_LETTER_EXCHANGE, text(dead_letter_exchange));
        shape.set("x-dead-letter-strategy", text("at-least-once"));
        shape.set(OVERFLOW, text("reject-publish"));
        shape
    }

    fn quorum(delivery_limit: i64) -> Self {
        let mut shape = Self(BTreeMap::new());
        shape.set(DURABLE, AMQPValue::Boolean(true));
        shape.set(AUTO_DELETE, AMQPValue::Boolean(false));
        // Always said, as a virtual host may have another default.
        shape.set(TYPE, text("quorum"));
        shape.set(DELIVERY_LIMIT, AMQPValue::LongLongInt(delivery_limit));
        shape
    }

    fn set(&mut self, name: &str, value: AMQPValue) {
        self.0.insert(name.into(), value);
    }

    /// What of it is no argument.
    pub(super) fn options(&self) -> QueueDeclareOptions {
        QueueDeclareOptions {
            durable: self.is_set(DURABLE),
            auto_delete: self.is_set(AUTO_DELETE),
            ..QueueDeclareOptions::default()
        }
    }

    pub(super) fn arguments(&self) -> FieldTable {
        let mut arguments = self.0.clone();
        arguments.retain(|name, _| ![DURABLE, AUTO_DELETE].contains(&name.as_str()));
        arguments.into()
    }

    /// Adds an argument that the broker compares only for streams, and refuses when it would create the queue: a
    /// declaration that creates nothing.
    pub(super) fn arguments_of_none(&self) -> FieldTable {
        let mut arguments = self.arguments();
        arguments.insert(STREAM_ONLY.into(), text("1h"));
        arguments
    }

    /// Adopts the setting that a refusal names. False if the refusal cannot be parsed. RabbitMQ 3.10 to 4.3 write:
    /// `inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received '99' but current is '5'`, or `… is
    /// none`, or `… is the value '5' of type 'signedint'`.
    pub(super) fn adopt(&mut self, refusal: &str) -> bool {
        self.adopted(refusal).is_some()
    }

    fn adopted(&mut self, refusal: &str) -> Option<()> {
        let Difference { name, current } = difference(refusal)?;
        let Some((value, kind)) = current else {
            return self.0.remove(name).map(drop);
        };
        // Without a type it is of the one that was sent.
        let kind = kind.or_else(|| match self.0.get(name)? {
            AMQPValue::LongLongInt(_) => Some("signedint"),
            AMQPValue::Boolean(_) => Some("bool"),
            _ => Some("longstr"),
        });
        let value = match kind? {
            "longstr" => text(value),
            "bool" => AMQPValue::Boolean(value.parse().ok()?),
            _ => AMQPValue::LongLongInt(value.parse().ok()?),
        };
        self.set(name, value);
        Some(())
    }

    /// Describes the differences from `wanted`, for people.
    pub(super) fn differences(&self, wanted: &Self) -> Vec<String> {
        let missing = wanted.0.keys().filter(|name| !self.0.contains_key(*name));
        let others = self.0.iter();
        let others = others.filter(|(name, value)| wanted.0.get(*name) != Some(*value));
        let missing = missing.map(|name| format!("no {name}"));
        missing
            .chain(others.map(|(name, value)| format!("{name} = {}", shown(value))))
            .collect()
    }

    /// Each way in which the queue can lose messages.
    pub(super) fn losses(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.is_a("stream") {
            found.push(
                "it is a stream: only messages published while a worker consumes are seen".into(),
            );
        }
        if !self.is_set(DURABLE) {
            found.push("it is not durable: a restart of the broker empties it".into());
        }
        if self.is_set(AUTO_DELETE) {
            found.push("it is auto-delete: deleted when nobody consumes".into());
        }
        let set = |name: &str| Some(format!("{name} = {}", shown(self.0.get(name)?)));
        found.extend(set("x-expires").map(|set| format!("{set}: deleted when nobody consumes")));
        if !self.is_text(OVERFLOW, |overflow| overflow.starts_with("reject-publish")) {
            let limits = ["x-max-length", "x-max-length-bytes"];
            let limits = limits.into_iter().filter_map(set);
            found.extend(limits.map(|set| format!("{set} without x-overflow = reject-publish")));
        }
        if !self.0.contains_key(DEAD_LETTER_EXCHANGE) {
            found.extend(
                set("x-message-ttl")
                    .map(|set| format!("{set} without a {DEAD_LETTER_EXCHANGE} that is there")),
            );
        }
        found
    }

    pub(super) fn has_single_active_consumer(&self) -> bool {
        self.is_set(SINGLE_ACTIVE_CONSUMER)
    }

    fn is_set(&self, name: &str) -> bool {
        self.0.get(name) == Some(&AMQPValue::Boolean(true))
    }

    /// The exchange that gets what the broker removes from the queue.
    pub(super) fn dead_letter_exchange(&self) -> Option<String> {
        self.0.get(DEAD_LETTER_EXCHANGE).map(shown)
    }

    pub(super) fn dead_letter_routing_key(&self) -> Option<String> {
        self.0.get(DEAD_LETTER_ROUTING_KEY).map(shown)
    }

    /// What the broker removes from the queue is lost.
    pub(super) fn leads_nowhere(&mut self) {
        self.0.remove(DEAD_LETTER_EXCHANGE);
    }

    /// Number of returns after which a broker of this version drops a message. None: no limit.
    pub(super) fn delivery_limit(&self, version: Option<(u32, u32)>) -> Option<u32> {
        if !self.is_a("quorum") {
            return None;
        }
        match self.0.get(DELIVERY_LIMIT) {
            // Meant as "none". An old broker drops every message that is returned.
            Some(AMQPValue::LongLongInt(limit)) if *limit < 0 => {
                version.is_none_or(|version| version < (4, 0)).then_some(0)
            }
            Some(AMQPValue::LongLongInt(limit)) => u32::try_from(*limit).ok(),
            _ => Some(DEFAULT_DELIVERY_LIMIT),
        }
    }

    pub(super) fn is_a(&self, kind: &str) -> bool {
        self.is_text(TYPE, |of| of == kind)
    }

    fn is_text(&self, name: &str, is: impl Fn(&str) -> bool) -> bool {
        match self.0.get(name) {
            Some(value @ AMQPValue::LongString(_)) => is(&shown(value)),
            _ => false,
        }
    }
}

/// The setting that a refusal names.
pub(super) struct Difference<'a> {
    pub(super) name: &'a str,
    /// Its value on the broker, as text, and the type of that where it is told. None: it is not set there.
    pub(super) current: Option<(&'a str, Option<&'a str>)>,
}

pub(super) fn difference(refusal: &str) -> Option<Difference<'_>> {
    let (_, rest) = refusal.split_once("inequivalent arg '")?;
    let (name, rest) = rest.split_once('\'')?;
    let (_, current) = rest.rsplit_once("but current is ")?;
    if current == "none" {
        return Some(Difference {
            name,
            current: None,
        });
    }
    let quoted = current.strip_suffix('\'')?;
    let current = match quoted.strip_prefix("the value '") {
        Some(typed) => {
            let (value, kind) = typed.rsplit_once("' of type '")?;
            (value, Some(kind))
        }
        None => (quoted.strip_prefix('\'')?, None),
    };
    let current = Some(current);
    Some(Difference { name, current })
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn shown(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Boolean(value) => value.to_string(),
        // Nothing else is sent or adopted.
        _ => String::new(),
    }
}
