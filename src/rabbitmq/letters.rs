//! Dead letters: the original message, with the reason in headers under `tagsweep-`.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldArray, FieldTable, LongString},
};

use super::{
    Message,
    headers::{fitting, size},
    lanes::Outgoing,
};

/// A delivery that cannot be done, on its way to the dead-letter exchange.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Chosen by the caller; comes back in the event that ends the letter.
    pub id: u64,
    /// The session its delivery came from. A letter of an older session is dropped unsent: its
    /// delivery is the broker's again and will come back.
    pub session: u32,
    pub message: Message,
    /// Headers to add. Names begin with `tagsweep-`.
    pub marks: Vec<(&'static str, Mark)>,
}

/// The value of a header of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    Text(String),
    Integer(i64),
    Texts(Vec<String>),
}

/// Why the broker has no copy of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LetterRefusal {
    #[error("no queue is bound to the exchange for it")]
    Returned,
    #[error("the queue took it not: it is full, or the broker could not store it")]
    Nacked,
}

pub(super) const MARK_PREFIX: &str = "tagsweep-";

const PERSISTENT: u8 = 2;

/// The type and the length of a text in a list.
const TEXT_HEAD: usize = 5;

/// How many headers of the original had no room beside ours.
const DROPPED: &str = "tagsweep-dropped-headers";

/// All properties go in one frame. This much of it is for those that are no headers, and for what brokers
/// add to the headers on the letter's further way: a count of deliveries, a history of queues.
const BESIDE_HEADERS: usize = 4 * 1024;

impl Letter {
    /// `frame_max` is the largest frame that the connection takes, in bytes; 0 is any.
    pub(super) fn into_outgoing(self, dead_letter_exchange: &str, frame_max: u32) -> Outgoing {
        let room = match frame_max {
            0 => usize::MAX,
            frame_max => (frame_max as usize).saturating_sub(BESIDE_HEADERS),
        };
        Outgoing {
            exchange: dead_letter_exchange.into(),
            // At most 255 bytes: it came over the same protocol.
            routing_key: self.message.routing_key().into(),
            properties: letter_properties(&self.message, self.marks, room),
            body: self.message.body,
        }
    }
}

/// The original's properties, but for those that would end, copy or refuse the letter:
/// `expiration` (a letter waits for a person), `user_id` (must be the publishing user, which it
/// no longer is), and `delivery_mode`, which is always persistent.
fn letter_properties(
    message: &Message,
    marks: Vec<(&'static str, Mark)>,
    room: usize,
) -> BasicProperties {
    let original = message.properties();
    let headers = letter_headers(original.headers().as_ref(), marks, room);
    let mut letter = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers);
    if let Some(value) = original.content_type() {
        letter = letter.with_content_type(value.clone());
    }
    if let Some(value) = original.content_encoding() {
        letter = letter.with_content_encoding(value.clone());
    }
    if let Some(value) = original.priority() {
        letter = letter.with_priority(*value);
    }
    if let Some(value) = original.correlation_id() {
        letter = letter.with_correlation_id(value.clone());
    }
    if let Some(value) = original.reply_to() {
        letter = letter.with_reply_to(value.clone());
    }
    if let Some(value) = message.message_id() {
        letter = letter.with_message_id(value.into());
    }
    if let Some(value) = message.timestamp() {
        letter = letter.with_timestamp(value);
    }
    if let Some(value) = original.kind() {
        letter = letter.with_type(value.clone());
    }
    if let Some(value) = original.app_id() {
        letter = letter.with_app_id(value.clone());
    }
    letter
}

/// Ours, and as many of the publisher's as there is room for, the small ones first: a broker answers a
/// frame that is too large by closing the connection, and the letter would be sent again for ever.
fn letter_headers(
    original: Option<&FieldTable>,
    marks: Vec<(&'static str, Mark)>,
    mut room: usize,
) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, mark) in marks {
        let value = mark.cut_to(room).into();
        room = room.saturating_sub(size(name, &value));
        headers.insert(name.into(), value);
    }
    let kept = original.into_iter().flat_map(FieldTable::inner);
    let kept = kept.filter(|(name, _)| !is_dropped(name.as_str()));
    let (kept, dropped) = fitting(kept, room);
    for (name, value) in kept.inner() {
        headers.insert(name.clone(), value.clone());
    }
    if dropped > 0 {
        headers.insert(DROPPED.into(), AMQPValue::LongLongInt(dropped.into()));
    }
    headers
}

/// Dropped are the headers the broker makes itself, those that would route copies, and our own of an
/// earlier letter, which tell of another failure.
fn is_dropped(name: &str) -> bool {
    matches!(
        name,
        "CC" | "BCC" | "x-death" | "x-delivery-count" | "x-acquired-count"
    ) || ["x-first-death-", "x-last-death-", MARK_PREFIX]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

impl Mark {
    /// A list that is too long for so many bytes ends earlier. Anything else is short.
    fn cut_to(mut self, mut room: usize) -> Self {
        if let Self::Texts(values) = &mut self {
            let mut fits = |text: &String| {
                let rest = room.checked_sub(TEXT_HEAD + text.len());
                room = rest.unwrap_or(0);
                rest.is_some()
            };
            values.truncate(values.iter().take_while(|text| fits(text)).count());
        }
        self
    }
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
    use bytes::Bytes;
    use lapin::types::ShortString;

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
        assert_eq!(headers.inner()[DROPPED], AMQPValue::LongLongInt(2));

        let tiny = letter_properties(&original, marks, 1_000);
        let headers = tiny.headers().clone().expect("headers");
        let named = &headers.inner()["tagsweep-failed-users"];
        assert_eq!(named, &Mark::Texts(users[..100].to_vec()).into());
    }
}
