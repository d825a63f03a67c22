//! Messages that no sane publisher sends, among good ones: each comes to its end, and the good ones to
//! theirs.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};
use serde_json::json;
use testkit::amqp::{Incoming, Outgoing};

use crate::stage::*;

/// A header by which a dead letter is known again.
const CASE: &str = "x-case";
const DELETED: &str = r#""type":"user.deleted""#;

/// What becomes of a bad message.
enum End {
    /// A dead letter for a message that cannot be read, with this detail.
    Malformed(&'static str),
    /// A dead letter that names these IDs, as they stand in the message.
    InvalidIds(Vec<String>),
    /// Acknowledged and counted; nobody is cleared.
    Ignored,
    /// Not so bad: these users are cleared.
    Cleared(Vec<String>),
}

use End::{Cleared, Ignored, InvalidIds, Malformed};

const NOT_AN_OBJECT: &str = "the body is not a JSON object";
const BROKEN: &str = "the body begins as a JSON object but is not valid JSON";
const REPEATED: &str = "a field of the event appears twice";
const ENCODED: &str = "the body has a content encoding, which is not decoded";
const NOT_TEXT: &str = "a user ID is neither a string nor a 64-bit integer";
const NO_USER: &str = "the event names no user";
const TYPE: &str = "the event type is not a string";

#[tokio::test]
async fn every_bad_message_comes_to_its_end_and_the_good_ones_around_it_are_cleared() {
    let stage = Stage::new().await;
    let cases: Vec<(String, Outgoing, End)> = [bodies(), ids(), properties()]
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(number, (message, end))| (format!("case {number}"), message, end))
        .collect();
    stage.import(0..=cases.len());
    for user in cases.iter().flat_map(|(_, _, end)| cleared(end)) {
        stage.simulator.set_tags(user, &["tag"]);
    }
    let worker = stage.worker().await;
    stage.delete([0]).await;
    for (number, (name, message, _)) in cases.iter().enumerate() {
        stage.publish([marked(message, name)]).await;
        stage.delete([number + 1]).await;
    }

    let users = cases
        .iter()
        .map(|(_, _, end)| cleared(end).len())
        .sum::<usize>();
    stage.cleared((users + cases.len() + 1) as u64).await;
    let is_letter = |end: &End| matches!(end, Malformed(_) | InvalidIds(_));
    let letters = cases.iter().filter(|(_, _, end)| is_letter(end)).count();
    let letters = stage.letters(letters as u32).await;
    let mut letters: BTreeMap<String, Incoming> = letters
        .into_iter()
        .map(|letter| (letter.header(CASE).expect("the original's header"), letter))
        .collect();
    for (name, message, end) in &cases {
        check(letters.remove(name), message, end);
    }
    let account = stage.finish(worker).await;
    let ignored = cases.iter().filter(|(_, _, end)| matches!(end, Ignored));
    assert_eq!(account.count("events_ignored"), ignored.count() as u64);
    let ends = ["events_done", "events_ignored", "events_dead_lettered"];
    let ended: u64 = ends.iter().map(|end| account.count(end)).sum();
    assert_eq!(ended, 2 * cases.len() as u64 + 1);
}

fn check(letter: Option<Incoming>, message: &Outgoing, end: &End) {
    let shown = String::from_utf8_lossy(&message.body[..message.body.len().min(200)]);
    let (reason, detail, users) = match end {
        Malformed(detail) => ("malformed-event", *detail, vec![]),
        InvalidIds(ids) => (
            "invalid-user-id",
            "not 1 to 32 bytes of printable ASCII",
            ids.clone(),
        ),
        Ignored | Cleared(_) => return assert!(letter.is_none(), "a dead letter: {shown}"),
    };
    let letter = letter.unwrap_or_else(|| panic!("no dead letter: {shown}"));
    let header = |name: &str| letter.header(&format!("tagsweep-{name}"));
    assert_eq!(header("reason").as_deref(), Some(reason), "{shown}");
    assert_eq!(header("detail").as_deref(), Some(detail), "{shown}");
    assert_eq!(letter.texts("tagsweep-failed-users"), users, "{shown}");
    assert_eq!(letter.body, message.body, "{shown}");
}

fn cleared(end: &End) -> &[String] {
    match end {
        Cleared(users) => users,
        _ => &[],
    }
}

fn bodies() -> Vec<(Outgoing, End)> {
    let deep = "[".repeat(100_000);
    let object = format!("{{{DELETED},");
    let good = |name: &str| format!(r#"{object}"user_id":"pii-{name}"}}"#);
    vec![
        (raw("  \r\n\t "), Ignored),
        (raw("\u{feff}"), Ignored),
        (raw("\u{feff}\n null "), Ignored),
        (raw("\u{0}"), Malformed(NOT_AN_OBJECT)),
        (raw("{}"), Malformed(NO_USER)),
        (raw("["), Malformed(NOT_AN_OBJECT)),
        (raw("[{}]"), Malformed(NOT_AN_OBJECT)),
        (raw("<user>pii-1</user>"), Malformed(NOT_AN_OBJECT)),
        (
            raw(format!("\u{feff}{}", good("bom"))),
            Cleared(vec!["pii-bom".to_owned()]),
        ),
        (raw(b"\xff\xfe{\0}\0".as_slice()), Malformed(NOT_AN_OBJECT)),
        (
            raw([object.as_bytes(), b"\"user_id\":\"pii-\xff\"}"].concat()),
            Malformed(BROKEN),
        ),
        (raw(&good("cut")[..20]), Malformed(BROKEN)),
        (raw(format!("{}{{}}", good("two"))), Malformed(BROKEN)),
        (
            raw(format!(r#"{object}"user_ids":{deep}"#)),
            Malformed(BROKEN),
        ),
        (
            raw(format!(
                r#"{object}"x":{deep}{},"user_id":"pii-deep"}}"#,
                "]".repeat(100_000)
            )),
            Cleared(vec!["pii-deep".to_owned()]),
        ),
        (
            raw(format!(r#"{object}"user_id":"pii-a","user_id":"pii-b"}}"#)),
            Malformed(REPEATED),
        ),
        (
            raw(format!(
                r#"{object}"type":"user.deleted","user_id":"pii-a"}}"#
            )),
            Malformed(REPEATED),
        ),
        // A field that nobody reads may well stand twice.
        (
            raw(format!(r#"{object}"x":1,"x":2,"user_id":"pii-twice"}}"#)),
            Cleared(vec!["pii-twice".to_owned()]),
        ),
        (raw(r#"{"type":7,"user_id":"pii-a"}"#), Malformed(TYPE)),
        (
            raw(r#"{"type":["user.deleted"],"user_id":"pii-a"}"#),
            Malformed(TYPE),
        ),
        (raw(r#"{"type":"","user_id":"pii-a"}"#), Ignored),
        (
            raw(r#"{"type":"user.deleted\u0000","user_id":"pii-a"}"#),
            Ignored,
        ),
    ]
}

fn ids() -> Vec<(Outgoing, End)> {
    let ids = |ids: &str| raw(format!(r#"{{{DELETED},"user_ids":{ids}}}"#));
    let id = |id: &str| raw(format!(r#"{{{DELETED},"user_id":{id}}}"#));
    let long = format!("pii-{}", "x".repeat(29));
    let very_long = format!("pii-{}", "x".repeat(100_000));
    let crowd: Vec<String> = (0..10_000)
        .map(|number| format!("pii-crowd-{number}"))
        .collect();
    let bad_crowd: Vec<String> = (0..1_000)
        .map(|number| format!("pii-\u{e9}-{number}"))
        .collect();
    vec![
        (ids("[]"), Malformed(NO_USER)),
        (id("null"), Malformed(NO_USER)),
        (id("\"\""), InvalidIds(vec![String::new()])),
        (id(&json!(long).to_string()), InvalidIds(vec![long])),
        (
            id(&json!(very_long).to_string()),
            InvalidIds(vec![very_long[..200].to_owned()]),
        ),
        (id(r#""pii-\u0000""#), InvalidIds(vec!["pii-\0".to_owned()])),
        (
            id(r#""pii-\u001b[31m""#),
            InvalidIds(vec!["pii-\u{1b}[31m".to_owned()]),
        ),
        (
            id(r#""pii-\u00e9""#),
            InvalidIds(vec!["pii-\u{e9}".to_owned()]),
        ),
        (
            ids(&json!(bad_crowd).to_string()),
            InvalidIds(bad_crowd[..100].to_vec()),
        ),
        (ids("[null]"), Malformed(NOT_TEXT)),
        (ids("[\"pii-a\",[\"pii-b\"]]"), Malformed(NOT_TEXT)),
        (id("{}"), Malformed(NOT_TEXT)),
        (id("true"), Malformed(NOT_TEXT)),
        (id("1.0"), Malformed(NOT_TEXT)),
        (id("1e3"), Malformed(NOT_TEXT)),
        (id("-0"), Malformed(NOT_TEXT)),
        (id("18446744073709551616"), Malformed(NOT_TEXT)),
        (id("-9223372036854775809"), Malformed(NOT_TEXT)),
        (id("1e999"), Malformed(BROKEN)),
        (
            id("18446744073709551615"),
            Cleared(vec!["18446744073709551615".to_owned()]),
        ),
        (
            id("-9223372036854775808"),
            Cleared(vec!["-9223372036854775808".to_owned()]),
        ),
        (ids(&json!(crowd).to_string()), Cleared(crowd)),
    ]
}

fn properties() -> Vec<(Outgoing, End)> {
    let body = |name: &str| format!(r#"{{{DELETED},"user_id":"pii-{name}"}}"#);
    let with = |body: String, properties: BasicProperties| Outgoing {
        properties,
        ..raw(body)
    };
    let basic = BasicProperties::default;
    let cloud_event = |entries: &[(&str, &str)]| {
        let text = |value: &str| AMQPValue::LongString(value.into());
        let named = |(name, value): &(&str, &str)| (format!("cloudEvents:{name}"), text(value));
        basic().with_headers(table(entries.iter().map(named)))
    };
    vec![
        (
            with(body("gzip"), basic().with_content_encoding("gzip".into())),
            Malformed(ENCODED),
        ),
        (
            with(
                "\u{1f}\u{8b}".to_owned(),
                basic().with_content_encoding("gzip".into()),
            ),
            Malformed(ENCODED),
        ),
        (
            with(
                body("charset"),
                basic().with_content_encoding("UTF-8".into()),
            ),
            Cleared(vec!["pii-charset".to_owned()]),
        ),
        (
            with(body("xml"), basic().with_content_type("text/xml".into())),
            Cleared(vec!["pii-xml".to_owned()]),
        ),
        (
            with(
                body("avro"),
                basic().with_content_type("application/cloudevents+avro".into()),
            ),
            Malformed("the CloudEvent is not of version 1.x"),
        ),
        (
            with(body("odd"), basic().with_headers(odd_headers())),
            Cleared(vec!["pii-odd".to_owned()]),
        ),
        (
            with("no JSON".to_owned(), basic().with_headers(odd_headers())),
            Malformed(NOT_AN_OBJECT),
        ),
        // The body says one thing, and what is around it another: the innermost type counts.
        (
            with(body("inner"), basic().with_type("user.created".into())),
            Cleared(vec!["pii-inner".to_owned()]),
        ),
        (
            with(
                r#"{"type":"user.created","user_id":"pii-a"}"#.to_owned(),
                basic().with_type("user.deleted".into()),
            ),
            Ignored,
        ),
        // The headers of a binary CloudEvent are the event, and its body is data.
        (
            with(
                body("data"),
                cloud_event(&[("specversion", "1.0"), ("type", "user.created")]),
            ),
            Ignored,
        ),
        (
            with(
                r#"{"type":"user.created","user_id":"pii-binary"}"#.to_owned(),
                cloud_event(&[("specversion", "1.0"), ("type", "user.deleted")]),
            ),
            Cleared(vec!["pii-binary".to_owned()]),
        ),
        (
            with(body("half"), cloud_event(&[("specversion", "1.0")])),
            Malformed("the CloudEvent has no type"),
        ),
        (
            with(
                body("old"),
                cloud_event(&[("specversion", "0.3"), ("type", "user.deleted")]),
            ),
            Malformed("the CloudEvent is not of version 1.x"),
        ),
    ]
}

/// One header of every type that AMQP has.
fn odd_headers() -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let decimal = DecimalValue { scale: 2, value: 7 };
    let array = FieldArray::from(vec![AMQPValue::Void, AMQPValue::Boolean(true), text("x")]);
    let inner = table([("array".to_owned(), AMQPValue::FieldArray(array.clone()))]);
    let entries = [
        ("void", AMQPValue::Void),
        ("boolean", AMQPValue::Boolean(true)),
        ("byte", AMQPValue::ShortShortInt(-1)),
        ("unsigned byte", AMQPValue::ShortShortUInt(255)),
        ("short", AMQPValue::ShortInt(-1)),
        ("unsigned", AMQPValue::LongUInt(u32::MAX)),
        ("long", AMQPValue::LongLongInt(i64::MIN)),
        ("float", AMQPValue::Float(1.5)),
        ("double", AMQPValue::Double(f64::MIN)),
        ("decimal", AMQPValue::DecimalValue(decimal)),
        ("timestamp", AMQPValue::Timestamp(u64::MAX)),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
        ("no UTF-8", AMQPValue::LongString(vec![255, 254].into())),
        ("array", AMQPValue::FieldArray(array)),
        ("table", AMQPValue::FieldTable(inner)),
        // Looked for, and of no use there.
        ("cloudEvents:specversion", AMQPValue::Boolean(true)),
        ("cloudEvents_type", AMQPValue::Void),
        ("", text("no name")),
    ];
    table(entries.map(|(name, value)| (name.to_owned(), value)))
}

fn table(entries: impl IntoIterator<Item = (String, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn raw(body: impl AsRef<[u8]>) -> Outgoing {
    Outgoing {
        routing_key: "user.deleted".to_owned(),
        body: body.as_ref().to_vec(),
        properties: BasicProperties::default(),
    }
}

fn marked(message: &Outgoing, case: &str) -> Outgoing {
    let mut headers = message.properties.headers().clone().unwrap_or_default();
    headers.insert(CASE.into(), AMQPValue::LongString(case.into()));
    let properties = message.properties.clone().with_headers(headers);
    Outgoing {
        properties,
        ..message.clone()
    }
}

/// The largest header that fits into a frame of 128 KiB, beside nothing else.
const FRAME_FILLING: usize = 128 * 1024 - 38;

#[tokio::test]
async fn headers_that_fill_a_whole_frame_stop_nobody_even_when_they_are_redelivered() {
    let mut stage = Stage::new().await;
    stage.set("WINDOW__MAX_WAIT", "5m");
    stage.import(0..2);
    let full = |body: String| {
        let filling = AMQPValue::LongString(vec![b'x'; FRAME_FILLING].into());
        let headers = table([("x-fill".to_owned(), filling)]);
        let properties = BasicProperties::default().with_headers(headers);
        Outgoing {
            properties,
            ..raw(body)
        }
    };
    stage.prepare_queues().await;
    stage
        .publish([full(format!(r#"{{{DELETED},"user_id":"{}"}}"#, user(0)))])
        .await;
    let worker = stage.worker().await;
    // The event waits in its hands for a window that is not full, and comes again.
    testkit::eventually(PATIENCE, "the event is delivered", async || {
        (stage.ready(QUEUE).await == 0).then_some(())
    })
    .await;
    worker.crash().await;
    stage.set("WINDOW__MAX_WAIT", "50ms");
    let worker = stage.worker().await;
    stage.publish([full("no JSON".to_owned())]).await;
    stage.delete([1]).await;
    stage.cleared(2).await;
    let letters = stage.letters(1).await;
    assert_eq!(
        letters[0].header("tagsweep-reason").as_deref(),
        Some("malformed-event")
    );
    assert_eq!(letters[0].body, b"no JSON");
    stage.finish(worker).await;
}
