//! Dead letters: the original message, with the reason in headers under `tagsweep-`.

use bytes::Bytes;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString},
};
use sha2::{Digest, Sha256};

use super::Outgoing;
use crate::letter::{self, DROPPED, Mark, Marks, PREFIX};
use crate::rabbitmq::{
    Message,
    headers::{fitting, size},
};

/// A failed delivery to publish to the dead-letter exchange.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Chosen by the caller; comes back in the event that ends the letter.
    pub id: u64,
    /// The session of its delivery. A letter of an older session is dropped unsent: its delivery will be
    /// redelivered.
    pub session: u32,
    pub message: Message,
    /// Headers to add. Names begin with `tagsweep-`.
    pub marks: Marks,
}

/// Why the broker has no copy of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LetterRefusal {
    #[error("no queue is bound to the exchange for its routing key")]
    Returned,
    #[error("the queue rejected it: it is full, or the broker could not store it")]
    Nacked,
    #[error("the target exchange no longer exists")]
    ExchangeGone,
    #[error(
        "the broker's user lacks permissions on the target exchange (for a queue: amq.default), or for this routing key: grant it the write permission"
    )]
    Denied,
    #[error("it is larger than the broker's max_message_size")]
    TooLarge,
    #[error("the broker refuses a property of it (AMQP reply {code})")]
    Unacceptable { code: u16 },
}

const PERSISTENT: u8 = 2;

/// The type and the length of a text in a list.
const TEXT_HEAD: usize = 5;

/// Maximum bytes of names in the list of what was left out.
const DROPPED_ROOM: usize = 1024;
/// The body's name in that list.
const BODY: &str = "body";

/// All properties must fit into one frame. This many bytes are reserved for properties other than headers, and for
/// headers that brokers add later: a delivery count, a dead-letter history.
const BESIDE_HEADERS: usize = 4 * 1024;

impl Letter {
    /// `frame_max` is the largest frame that the connection takes, in bytes; 0 is any.
    pub(crate) fn into_outgoing(self, dead_letter_exchange: &str, frame_max: u32) -> Outgoing {
        Outgoing {
            exchange: dead_letter_exchange.into(),
            // A redriven event keeps the key that it was first published with.
            routing_key: short(self.message.published_to().routing_key)
                .unwrap_or_else(|| self.message.routing_key().into()),
            properties: letter_properties(&self.message, self.marks, room(frame_max)),
            body: self.message.body,
        }
    }
}

/// What headers may take in a frame, in bytes.
pub(crate) fn room(frame_max: u32) -> usize {
    match frame_max {
        0 => usize::MAX,
        frame_max => (frame_max as usize).saturating_sub(BESIDE_HEADERS),
    }
}

fn short(text: &str) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

/// The properties of a message with these headers of ours in place of those that it has.
pub(crate) fn letter_properties(message: &Message, marks: Marks, room: usize) -> BasicProperties {
    let headers = message.properties().headers().as_ref();
    properties_with(message, letter_headers(headers, marks, room))
}

/// The properties of a letter that is written again as it is.
pub(crate) fn copied_properties(message: &Message) -> BasicProperties {
    let mut headers = FieldTable::default();
    let all = message.properties().headers().iter();
    for (name, value) in all.flat_map(FieldTable::inner) {
        if !is_of_one_delivery(name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    properties_with(message, headers)
}

fn properties_with(message: &Message, headers: FieldTable) -> BasicProperties {
    let shared = message.properties();
    let mut letter = kept_if_taken(shared, kept(shared, headers));
    // Of its own, where it shares the others with the message before it.
    if let Some(id) = message.message_id() {
        letter = letter.with_message_id(id.into());
    }
    if let Some(time) = message.timestamp() {
        letter = letter.with_timestamp(time);
    }
    letter
}

/// `to` with these properties of `from`, as far as it has them.
macro_rules! copy {
    ($from:expr, $to:expr, $($property:ident $with:ident),+) => {{
        let mut to: BasicProperties = $to;
        $(if let Some(value) = $from.$property().clone() {
            to = to.$with(value);
        })+
        to
    }};
}

/// The properties that a letter always keeps. It drops the expiration, since a letter waits for a person, and the
/// user ID, since another user publishes it.
fn kept(from: &BasicProperties, headers: FieldTable) -> BasicProperties {
    let to = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers);
    copy!(
        from,
        to,
        content_type with_content_type,
        content_encoding with_content_encoding,
        kind with_type,
        app_id with_app_id
    )
}

/// The properties that it keeps unless the broker refuses them, such as a reply-to of amq.rabbitmq.reply-to.
fn kept_if_taken(from: &BasicProperties, to: BasicProperties) -> BasicProperties {
    copy!(
        from,
        to,
        priority with_priority,
        correlation_id with_correlation_id,
        reply_to with_reply_to
    )
}

impl Outgoing {
    /// The letter without what the broker may have refused; none when there is nothing to leave out.
    pub(crate) fn with_less(self, why: LetterRefusal, dead_letter_queue: &str) -> Option<Self> {
        match why {
            // It goes to the queue itself.
            LetterRefusal::Denied | LetterRefusal::ExchangeGone => {
                (!self.exchange.as_str().is_empty()).then(|| Self {
                    exchange: "".into(),
                    routing_key: dead_letter_queue.into(),
                    ..self
                })
            }
            LetterRefusal::TooLarge => self.without_body(),
            LetterRefusal::Unacceptable { .. } => self.plainer(),
            LetterRefusal::Returned | LetterRefusal::Nacked => None,
        }
    }

    /// Drops first the properties that a broker may refuse, then the publisher's headers, then the body.
    fn plainer(self) -> Option<Self> {
        let properties = &self.properties;
        let refusable = [
            (properties.priority().is_some(), "priority"),
            (properties.correlation_id().is_some(), "correlation-id"),
            (properties.reply_to().is_some(), "reply-to"),
        ];
        let refusable = refusable.into_iter().filter(|(is_set, _)| *is_set);
        let mut dropped: Vec<_> = refusable.map(|(_, name)| name.to_owned()).collect();
        let mut headers = properties.headers().clone().unwrap_or_default();
        if dropped.is_empty() {
            let all = std::mem::take(&mut headers);
            for (name, value) in all.inner() {
                if name.as_str().starts_with(PREFIX) {
                    headers.insert(name.clone(), value.clone());
                } else {
                    dropped.push(name.as_str().to_owned());
                }
            }
        }
        if dropped.is_empty() {
            return self.without_body();
        }
        note_dropped(&mut headers, dropped, DROPPED_ROOM);
        let properties = copy!(
            properties,
            kept(properties, headers),
            message_id with_message_id,
            timestamp with_timestamp
        );
        Some(Self { properties, ..self })
    }

    fn without_body(self) -> Option<Self> {
        if self.body.is_empty() {
            return None;
        }
        let mut headers = self.properties.headers().clone().unwrap_or_default();
        let digits = |byte: &u8| format!("{byte:02x}");
        let left_out = letter::Digest {
            sha256: Sha256::digest(&self.body).iter().map(digits).collect(),
            bytes: self.body.len() as u64,
        };
        for (name, mark) in left_out.marks() {
            headers.insert(name.into(), mark.into());
        }
        note_dropped(&mut headers, vec![BODY.to_owned()], DROPPED_ROOM);
        let properties = self.properties.with_headers(headers);
        Some(Self {
            body: Bytes::new(),
            properties,
            ..self
        })
    }
}

/// Adds to the list of what was left out as many names as fit.
fn note_dropped(headers: &mut FieldTable, more: Vec<String>, room: usize) {
    if more.is_empty() {
        return;
    }
    let mut names = Vec::new();
    if let Some(AMQPValue::FieldArray(before)) = headers.inner().get(DROPPED) {
        names.extend(before.as_slice().iter().filter_map(|name| match name {
            AMQPValue::LongString(name) => Some(name.to_string()),
            _ => None,
        }));
    }
    names.extend(more);
    let mut names = Mark::Texts(names);
    cut_to(&mut names, room.min(DROPPED_ROOM));
    headers.insert(DROPPED.into(), names.into());
}

/// Our headers, and as many of the publisher's as fit, small ones first: a broker closes the connection on a frame
/// that is too large, and the letter would be retried forever.
fn letter_headers(original: Option<&FieldTable>, marks: Marks, mut room: usize) -> FieldTable {
    let mut headers = FieldTable::default();
    let mut dropped = Vec::new();
    for (name, mut mark) in marks {
        if cut_to(&mut mark, room) {
            dropped.push(name.to_owned());
        }
        let value = mark.into();
        room = room.saturating_sub(size(name, &value));
        headers.insert(name.into(), value);
    }
    let kept = original.into_iter().flat_map(FieldTable::inner);
    let kept = kept.filter(|(name, _)| !is_dropped(name.as_str()));
    let (kept, others) = fitting(kept, room);
    dropped.extend(others);
    for (name, value) in kept.inner() {
        room = room.saturating_sub(size(name.as_str(), value));
        headers.insert(name.clone(), value.clone());
    }
    note_dropped(&mut headers, dropped, room);
    headers
}

/// Drops headers that the broker sets itself, those that would route copies, and our own of an earlier letter,
/// which describe another failure.
fn is_dropped(name: &str) -> bool {
    is_of_one_delivery(name)
        || name == "x-death"
        || ["x-first-death-", "x-last-death-", PREFIX]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

fn is_of_one_delivery(name: &str) -> bool {
    matches!(name, "CC" | "BCC" | "x-delivery-count" | "x-acquired-count")
}

/// A list that is too long for so many bytes ends earlier, and true is returned. Anything else is short.
fn cut_to(mark: &mut Mark, mut room: usize) -> bool {
    let Mark::Texts(values) = mark else {
        return false;
    };
    let mut fits = |text: &String| {
        let rest = room.checked_sub(TEXT_HEAD + text.len());
        room = rest.unwrap_or(0);
        rest.is_some()
    };
    let count = values.iter().take_while(|text| fits(text)).count();
    let is_cut = count < values.len();
    values.truncate(count);
    is_cut
}

impl From<Mark> for AMQPValue {
    fn from(mark: Mark) -> Self {
        let text = |text: String| Self::LongString(LongString::from(text));
        match mark {
            Mark::Text(value) => text(value),
            Mark::Integer(value) => Self::LongLongInt(value),
            Mark::Texts(values) => Self::FieldArray(FieldArray::from(
                values.into_iter().map(text).collect::<Vec<_>>(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(properties: BasicProperties) -> Message {
        let (exchange, routing_key) = ("account.events".into(), "user.deleted".into());
        Message::new(exchange, routing_key, properties, Bytes::new(), &mut None)
    }

    fn text(value: &str) -> AMQPValue {
        AMQPValue::LongString(value.into())
    }

    fn headers(entries: &[(&str, &str)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert(ShortString::from(*name), text(value));
        }
        table
    }

    #[test]
    fn a_letter_keeps_what_the_publisher_set_and_nothing_that_would_end_or_copy_it() {
        let original = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_message_id("evt-1".into())
            .with_type("user.deleted".into())
            .with_app_id("accounts".into())
            .with_timestamp(1_700_000_000)
            .with_expiration("60000".into())
            .with_user_id("somebody".into())
            .with_headers(headers(&[
                ("CC", "elsewhere"),
                ("BCC", "elsewhere"),
                ("x-death", "broker-made"),
                ("x-delivery-count", "broker-made"),
                ("x-first-death-queue", "broker-made"),
                ("x-tenant", "kept"),
                ("tagsweep-failed-users", "of an earlier letter"),
            ]));
        let letter = letter_properties(
            &message(original),
            vec![
                ("tagsweep-reason", Mark::Text("malformed-event".into())),
                ("tagsweep-attempts", Mark::Integer(3)),
            ],
            usize::MAX,
        );
        let mut expected = headers(&[("x-tenant", "kept"), ("tagsweep-reason", "malformed-event")]);
        expected.insert("tagsweep-attempts".into(), AMQPValue::LongLongInt(3));
        assert_eq!(
            letter,
            BasicProperties::default()
                .with_delivery_mode(2)
                .with_content_type("application/json".into())
                .with_message_id("evt-1".into())
                .with_type("user.deleted".into())
                .with_app_id("accounts".into())
                .with_timestamp(1_700_000_000)
                .with_headers(expected)
        );
    }

    #[test]
    fn a_letter_fits_into_a_frame_whatever_the_publisher_filled_it_with() {
        let large = "x".repeat(70_000);
        let original = BasicProperties::default().with_headers(headers(&[
            ("a", &large),
            ("b", "small"),
            ("c", &large),
            ("d", &"x".repeat(30_000)),
        ]));
        let original = message(original);
        let users = vec!["pii-1".to_owned(); 500];
        let marks = vec![("tagsweep-failed-users", Mark::Texts(users.clone()))];
        let letter = letter_properties(&original, marks.clone(), 100_000);
        let headers = letter.headers().clone().expect("headers");
        let names: Vec<_> = headers.inner().keys().map(ShortString::as_str).collect();
        assert_eq!(names, ["b", "d", DROPPED, "tagsweep-failed-users"]);
        let dropped = Mark::Texts(vec!["a".to_owned(), "c".to_owned()]);
        assert_eq!(headers.inner()[DROPPED], dropped.into());

        let tiny = letter_properties(&original, marks, 1_000);
        let headers = tiny.headers().clone().expect("headers");
        let named = &headers.inner()["tagsweep-failed-users"];
        assert_eq!(named, &Mark::Texts(users[..100].to_vec()).into());
    }
}
