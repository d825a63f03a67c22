//! Dead letters: the original message, with the reason in headers under `tagsweep-`.

use std::sync::Arc;

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldArray, FieldTable, LongString},
};

use super::{
    Message,
    lanes::{Body, Outgoing},
};

/// A delivery that cannot be done, on its way to the dead-letter exchange.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Chosen by the caller; comes back in the event that ends the letter.
    pub id: u64,
    /// The session its delivery came from. A letter of an older session is dropped unsent: its
    /// delivery is the broker's again and will come back.
    pub session: u32,
    pub message: Arc<Message>,
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

impl Letter {
    pub(super) fn into_outgoing(self, dead_letter_exchange: &str) -> Outgoing {
        Outgoing {
            exchange: dead_letter_exchange.into(),
            // At most 255 bytes: it came over the same protocol.
            routing_key: self.message.routing_key.as_str().into(),
            properties: letter_properties(&self.message.properties, self.marks),
            body: Body::OfMessage(self.message),
        }
    }
}

/// The original's properties, but for those that would end, copy or refuse the letter:
/// `expiration` (a letter waits for a person), `user_id` (must be the publishing user, which it
/// no longer is), and `delivery_mode`, which is always persistent.
fn letter_properties(
    original: &BasicProperties,
    marks: Vec<(&'static str, Mark)>,
) -> BasicProperties {
    let mut headers = kept_headers(original.headers().as_ref());
    for (name, mark) in marks {
        headers.insert(name.into(), mark.into());
    }
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
    if let Some(value) = original.message_id() {
        letter = letter.with_message_id(value.clone());
    }
    if let Some(value) = original.timestamp() {
        letter = letter.with_timestamp(*value);
    }
    if let Some(value) = original.kind() {
        letter = letter.with_type(value.clone());
    }
    if let Some(value) = original.app_id() {
        letter = letter.with_app_id(value.clone());
    }
    letter
}

/// The user's headers. Dropped are those the broker makes itself, those that would route copies,
/// and our own of an earlier letter, which tell of another failure.
fn kept_headers(original: Option<&FieldTable>) -> FieldTable {
    let mut kept = FieldTable::default();
    for (name, value) in original.into_iter().flat_map(FieldTable::inner) {
        if !is_dropped(name.as_str()) {
            kept.insert(name.clone(), value.clone());
        }
    }
    kept
}

fn is_dropped(name: &str) -> bool {
    matches!(
        name,
        "CC" | "BCC" | "x-death" | "x-delivery-count" | "x-acquired-count"
    ) || ["x-first-death-", "x-last-death-", MARK_PREFIX]
        .iter()
        .any(|prefix| name.starts_with(prefix))
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
    use lapin::types::ShortString;

    use super::*;

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
            &original,
            vec![
                ("tagsweep-reason", Mark::Text("malformed-event".into())),
                ("tagsweep-attempts", Mark::Integer(3)),
            ],
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
}
