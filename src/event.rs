//! What arrives, and how a delivered body becomes user IDs.
//!
//! This module knows the forms that events come in. It knows nothing of the broker that carries
//! them or of what is done for the users they name.

mod body;
mod cloudevents;
mod fields;
mod foreign;
mod forms;
mod ids;
pub(crate) mod json;
mod key;
pub mod mapping;
mod plain;
#[cfg(test)]
mod tests;
pub mod user_id;
mod written;

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use serde_json::{Map, Value};

pub use foreign::{ForeignType, TypeSource};
pub use key::EventKey;
pub use user_id::{InvalidUserId, UserId};
pub use written::{UnknownLine, Written};

use ids::Ids;
use mapping::{Mapped, Mapping};

/// The properties that AMQP knows, by the names under which rules see them.
pub const PROPERTIES: [&str; 13] = [
    "content_type",
    "content_encoding",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
];

/// What this module needs of one AMQP message, borrowed from it.
pub struct Message<'a> {
    pub body: &'a [u8],
    pub content_type: Option<&'a str>,
    pub content_encoding: Option<&'a str>,
    /// The AMQP property `type`.
    pub kind: Option<&'a str>,
    pub message_id: Option<&'a str>,
    /// The AMQP property `timestamp`, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// Where it was published to, if that is known: with the default exchange, the routing key is a queue's name.
    pub exchange: Option<&'a str>,
    pub routing_key: &'a str,
    /// Looks up one header by its exact name and gives its value as text: numbers in decimal,
    /// timestamps in RFC 3339 or in seconds since 1970. It is asked for CloudEvents attributes, and for types.
    pub header: &'a dyn Fn(&str) -> Option<Cow<'a, str>>,
    /// Everything that stands beside the body. It is only asked for where there are rules of a mapping.
    pub surroundings: &'a dyn Fn() -> Surroundings,
}

/// What a message carries besides its body, as rules see it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub headers: Map<String, Value>,
    /// Those of [`PROPERTIES`] that are set.
    pub properties: Map<String, Value>,
}

/// Which events are acted on, and how they are read.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What decides where no rule of the mapping holds.
    pub format: Format,
    /// Matched whole and case-sensitively. CloudEvents types are often prefixed with a reversed
    /// domain name (`com.example.user.deleted`); such a type must be listed as it is.
    pub types: Vec<String>,
    pub mapping: Mapping,
}

/// The form that bodies are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// CloudEvents where the message says so, by its content type, by its headers or by a
    /// `specversion` in its body; the plain form otherwise.
    #[default]
    Auto,
    Plain,
    CloudEvents,
    /// Only rules decide.
    None,
}

/// A message that was read, and what decided how.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    pub decoded: Decoded,
    /// Nothing where the message says nothing.
    pub form: Option<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    CloudEvents,
    /// The rule of this index in the mapping.
    Rule(usize),
}

/// What a message turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    Event(Event),
    /// To be acknowledged and counted, nothing more.
    NotForUs(NotForUs),
    /// To be dead-lettered: it may well name users, but they cannot be read.
    Malformed(Malformed),
    /// Neither a form nor a type was recognised in it.
    Unrecognised,
}

/// Names the users whose tags must go. It has at least one of `users` and `invalid`.
///
/// `Debug` shows users by their aliases and of the invalid IDs only how many there are.
#[derive(PartialEq, Eq)]
pub struct Event {
    /// The type that matched, as the message gives it; the name of the rule that held.
    pub kind: String,
    /// In the order of the event; one user may appear twice.
    pub users: Vec<UserId>,
    /// IDs that break the API's rule, as the event gives them, of any length.
    pub invalid: Vec<String>,
    /// Absent when nothing in the message tells this event from another like it.
    pub key: Option<EventKey>,
    /// When it happened, as far as the message tells. A time that cannot be read counts as absent.
    pub time: Option<SystemTime>,
}

/// Why a well-formed message asks nothing of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotForUs {
    ForeignType(ForeignType),
    /// An empty body or `null`, as change streams send after a deletion.
    Tombstone,
    /// A rule says so.
    Rule,
}

/// Why a message cannot be read. The texts are fixed; none holds any of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the body has a content encoding, which is not decoded")]
    Encoded,
    #[error("the body is not a JSON object")]
    NotAnObject,
    #[error("the body begins as a JSON object but is not valid JSON")]
    BrokenJson,
    #[error("a field of the event appears twice")]
    RepeatedField,
    #[error("the event type is not a string")]
    TypeNotText,
    #[error("the CloudEvent has no type")]
    NoType,
    #[error("the CloudEvent is not of version 1.x")]
    SpecVersion,
    #[error("data_base64 is not Base64")]
    Base64,
    #[error("a user ID is neither a string nor a 64-bit integer")]
    UserNotText,
    #[error("the event names no user")]
    NoUser,
    #[error("the event names an actor and a target: write a mapping")]
    ActorAndTarget,
    #[error("the CloudEvent has both data and data_base64")]
    DataTwice,
    #[error("the body is not JSON, and no rule holds")]
    NotJson,
    #[error("the body has more values than rules can look into")]
    TooLarge,
    #[error("the rule holds, but its queries for users select nothing")]
    SelectsNothing,
    #[error("the rule selects a user ID that is neither a string nor a 64-bit integer")]
    SelectsNoText,
    #[error("the rule selects more users than one event may name")]
    SelectsTooMany,
    #[error("a user ID does not match what the rule takes of it")]
    TakesNothing,
}

/// Reads one message.
///
/// The first rule of the mapping that holds decides; where none does, the format.
///
/// In those forms the type is judged before anything else of the event, so that other events on the same queue
/// may have any shape: nothing makes an event malformed whose type is not acted on. A body that is no JSON object
/// has no type of its own: the AMQP property `type`, else the routing key, then tells whether it should have been
/// an event of ours.
pub fn read(message: &Message<'_>, rules: &Rules) -> Read {
    let mapped = rules.mapping.read(message);
    match mapped {
        Mapped::Held { rule, decoded } => {
            let form = Some(Form::Rule(rule));
            return Read { decoded, form };
        }
        // A rule may hold that says otherwise than the forms.
        Mapped::TooLarge => {
            return Read {
                decoded: Decoded::Malformed(Malformed::TooLarge),
                form: None,
            };
        }
        Mapped::Open | Mapped::NotJson => {}
    }
    let (form, decoded) = forms::read(message, rules);
    let decoded = decoded.unwrap_or_else(Decoded::Malformed);
    let is_read_by_form = form == Some(Form::CloudEvents) || decoded == TOMBSTONE;
    let decoded = match decoded {
        Decoded::Malformed(why) => Decoded::Malformed(why),
        _ if matches!(mapped, Mapped::NotJson) && !is_read_by_form => {
            Decoded::Malformed(Malformed::NotJson)
        }
        decoded => decoded,
    };
    Read { decoded, form }
}

/// What one message is, whatever decided it.
pub fn decode(message: &Message<'_>, rules: &Rules) -> Decoded {
    read(message, rules).decoded
}

const TOMBSTONE: Decoded = Decoded::NotForUs(NotForUs::Tombstone);

/// What a form's own fields tell of an event.
struct Found<'a> {
    kind: &'a str,
    source: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    time: Option<SystemTime>,
    ids: Ids,
}

impl Found<'_> {
    /// Fills in from the message's properties what its fields leave open.
    fn complete(self, message: &Message<'_>) -> Result<Event, Malformed> {
        if self.ids.is_ill_typed() {
            return Err(Malformed::UserNotText);
        }
        if self.ids.is_empty() {
            return Err(Malformed::NoUser);
        }
        let source = self.source.as_deref().unwrap_or_default();
        let id = self.id.as_deref().or(message.message_id);
        let time = self.time.or_else(|| {
            let seconds = i64::try_from(message.timestamp?).ok()?;
            body::since_1970(seconds)
        });
        Ok(Event {
            kind: self.kind.to_owned(),
            key: id
                .filter(|id| !id.is_empty())
                .map(|id| EventKey::of(source, id, self.kind, time, &self.ids)),
            users: self.ids.users,
            invalid: self.ids.invalid,
            time,
        })
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("kind", &self.kind)
            .field("users", &self.users)
            .field("invalid", &self.invalid.len())
            .field("key", &self.key)
            .field("time", &self.time)
            .finish()
    }
}
