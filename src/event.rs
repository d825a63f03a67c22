//! What arrives, and how a delivered body becomes user IDs.
//!
//! This module knows the forms that events come in. It knows nothing of the broker that carries
//! them or of what is done for the users they name.

mod body;
mod cloudevents;
mod foreign;
mod ids;
mod key;
mod plain;
#[cfg(test)]
mod tests;
pub mod user_id;

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

pub use foreign::{ForeignType, TypeSource};
pub use key::EventKey;
pub use user_id::{InvalidUserId, UserId};

use body::{Body, Outline};
use ids::Ids;

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
    pub routing_key: &'a str,
    /// Looks up one header by its exact name and gives its value as text: numbers in decimal,
    /// timestamps in RFC 3339 or in seconds since 1970. It is only asked for CloudEvents attributes.
    pub header: &'a dyn Fn(&str) -> Option<Cow<'a, str>>,
}

/// Which events are acted on, and how they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub format: Format,
    /// Matched whole and case-sensitively. CloudEvents types are often prefixed with a reversed
    /// domain name (`com.example.user.deleted`); such a type must be listed as it is.
    pub types: Vec<String>,
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
}

/// What a message turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    Event(Event),
    /// To be acknowledged and counted, nothing more.
    NotForUs(NotForUs),
    /// To be dead-lettered: it may well name users, but they cannot be read.
    Malformed(Malformed),
}

/// Names the users whose tags must go. It has at least one of `users` and `invalid`.
///
/// `Debug` shows users by their aliases and of the invalid IDs only how many there are.
#[derive(PartialEq, Eq)]
pub struct Event {
    /// The type that matched, as the message gives it.
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
}

/// Reads one message.
///
/// The type is judged before anything else of the event, so that other events on the same queue
/// may have any shape: nothing makes an event malformed whose type is not acted on. A body that is no JSON object has no type of its own: the AMQP property
/// `type`, else the routing key, then tells whether it should have been an event of ours.
pub fn decode(message: &Message<'_>, rules: &Rules) -> Decoded {
    read(message, rules).unwrap_or_else(Decoded::Malformed)
}

fn read(message: &Message<'_>, rules: &Rules) -> Result<Decoded, Malformed> {
    let structured = rules.format != Format::Plain && cloudevents::is_structured(message);
    if rules.format != Format::Plain
        && !structured
        && let Some(attributes) = cloudevents::Attributes::find(message)
    {
        return cloudevents::binary(&attributes, message, rules);
    }

    let text = body::trim(message.body);
    if text.is_empty() || text == b"null" {
        return Ok(Decoded::NotForUs(NotForUs::Tombstone));
    }
    let may_be_plain = rules.format != Format::CloudEvents && !structured;
    if is_encoded(message) {
        // A type inside would be the one that counts, so the routing key decides nothing here.
        return match plain::outer_kind(message) {
            (kind, TypeSource::Property) if may_be_plain && !rules.act_on(kind) => {
                Ok(foreign(kind, TypeSource::Property))
            }
            _ => Err(Malformed::Encoded),
        };
    }
    if !body::is_object(text) {
        return match plain::outer_kind(message) {
            (kind, read_from) if may_be_plain && !rules.act_on(kind) => {
                Ok(foreign(kind, read_from))
            }
            _ => Err(Malformed::NotAnObject),
        };
    }
    let body = match Body::parse(text) {
        Ok(body) => body,
        Err(why) => {
            let outline = Outline::read(text);
            return foreign_outline(&outline, message, rules, may_be_plain).ok_or(why);
        }
    };
    let is_cloud_event = match rules.format {
        Format::Auto => structured || body.specversion.is_present(),
        Format::Plain => false,
        Format::CloudEvents => true,
    };
    if is_cloud_event {
        cloudevents::structured(body, message, rules)
    } else {
        plain::event(body, message, rules)
    }
}

/// What a body that cannot be read is, where it is certainly none of ours.
fn foreign_outline(
    outline: &Outline,
    message: &Message<'_>,
    rules: &Rules,
    may_be_plain: bool,
) -> Option<Decoded> {
    if outline.is_ill_typed || outline.kinds.iter().any(|kind| rules.act_on(kind)) {
        return None;
    }
    let is_plain = may_be_plain && (rules.format == Format::Plain || !outline.has_specversion);
    if let Some(kind) = outline.kinds.first() {
        return Some(match is_plain {
            true => foreign(kind, TypeSource::Body),
            false => foreign(kind, TypeSource::CloudEvents),
        });
    }
    let (kind, read_from) = plain::outer_kind(message);
    (is_plain && outline.is_whole && !rules.act_on(kind)).then(|| foreign(kind, read_from))
}

fn foreign(kind: &str, read_from: TypeSource) -> Decoded {
    Decoded::NotForUs(NotForUs::ForeignType(ForeignType::new(kind, read_from)))
}

/// Some libraries write the character set where the content encoding belongs.
fn is_encoded(message: &Message<'_>) -> bool {
    !message.content_encoding.is_none_or(|encoding| {
        ["", "identity", "utf-8", "utf8"]
            .iter()
            .any(|plain| plain.eq_ignore_ascii_case(encoding))
    })
}

impl Rules {
    fn act_on(&self, kind: &str) -> bool {
        self.types.iter().any(|wanted| wanted == kind)
    }
}

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
