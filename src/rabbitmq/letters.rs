//! Dead letters: the original message, with the reason in headers under `tagsweep-`.

use std::sync::Arc;

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString},
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

/// What a frame holds besides headers, in bytes at most: the other properties, most of them texts of
/// up to 255 bytes, and what is around them.
const BESIDE_HEADERS: usize = 2048 + 64;

/// How many of the original's headers are not in the letter for want of room.
const LEFT_OUT: &str = "tagsweep-headers-left-out";

impl Letter {
    /// A message's properties must fit into one frame of `frame_max` bytes.
    pub(super) fn into_outgoing(self, dead_letter_exchange: &str, frame_max: usize) -> Outgoing {
        let room = frame_max.saturating_sub(BESIDE_HEADERS);
        Outgoing {
            exchange: dead_letter_exchange.into(),
            // At most 255 bytes: it came over the same protocol.
            routing_key: self.message.routing_key.as_str().into(),
            properties: letter_properties(&self.message.properties, self.marks, room),
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
    room: usize,
) -> BasicProperties {
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

/// Our marks, and the user's headers as far as there is room in `room` bytes: else a message whose
/// headers fill a frame could not be dead-lettered at all, and would come back for ever. Dropped are
/// headers that the broker makes itself, those that would route copies, and our own of an earlier
/// letter, which tell of another failure.
fn letter_headers(
    original: Option<&FieldTable>,
    marks: Vec<(&'static str, Mark)>,
    room: usize,
) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, mark) in marks {
        headers.insert(name.into(), mark.into());
    }
    let ours = table_size(&headers) + 1 + LEFT_OUT.len() + 9;
    let mut room = room.saturating_sub(ours);
    let mut left_out = 0;
    for (name, value) in original.into_iter().flat_map(FieldTable::inner) {
        let size = entry_size((name, value));
        if is_dropped(name.as_str()) {
            continue;
        } else if size <= room {
            room -= size;
            headers.insert(name.clone(), value.clone());
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        headers.insert(LEFT_OUT.into(), Mark::Integer(left_out).into());
    }
    headers
}

/// On the wire, in bytes.
fn table_size(table: &FieldTable) -> usize {
    4 + table.inner().iter().map(entry_size).sum::<usize>()
}

fn entry_size((name, value): (&ShortString, &AMQPValue)) -> usize {
    1 + name.as_str().len() + value_size(value)
}

/// With the byte that names its type.
fn value_size(value: &AMQPValue) -> usize {
    1 + match value {
        AMQPValue::LongString(text) => 4 + text.as_bytes().len(),
        AMQPValue::ShortString(text) => 1 + text.as_str().len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.len(),
        AMQPValue::FieldArray(list) => 4 + list.as_slice().iter().map(value_size).sum::<usize>(),
        AMQPValue::FieldTable(table) => table_size(table),
        // Numbers and the like.
        _ => 8,
    }
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
    fn headers_that_have_no_room_are_left_out_and_counted() {
        let (large, small) = ("x".repeat(1000), "x".repeat(10));
        let original = headers(&[("a", &large), ("b", &small), ("c", &large), ("d", &small)]);
        let marks = vec![("tagsweep-reason", Mark::Text("malformed-event".into()))];
        for (room, kept) in [(0, 0), (100, 1), (120, 2), (1120, 3), (3000, 4)] {
            let letter = letter_headers(Some(&original), marks.clone(), room);
            let originals = letter
                .inner()
                .keys()
                .filter(|name| name.as_str().len() == 1);
            assert_eq!(originals.count(), kept, "{room}");
            let left_out = letter.inner().get(LEFT_OUT);
            let expected = (kept < 4).then_some(AMQPValue::LongLongInt(4 - kept as i64));
            assert_eq!(left_out, expected.as_ref(), "{room}");
            assert!(room == 0 || table_size(&letter) <= room, "{room}");
        }
    }

    #[test]
    fn sizes_are_those_on_the_wire() {
        let mut table = headers(&[("text", "abc")]);
        table.insert("number".into(), AMQPValue::LongLongInt(1));
        let list = Mark::Texts(vec!["a".into(), "bc".into()]).into();
        table.insert("list".into(), list);
        table.insert(
            "table".into(),
            AMQPValue::FieldTable(headers(&[("k", "v")])),
        );
        let mut wire = [0; 256];
        let write = lapin::types::generation::gen_field_table(&table);
        let written = write(std::io::Cursor::new(&mut wire[..]).into()).unwrap();
        assert_eq!(table_size(&table) as u64, written.position);
    }
}
