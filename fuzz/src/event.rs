//! Whatever arrives is read without harm, and nobody is read out of it who does not stand there.

use serde_json::{Value, json};
use tagsweep::event::mapping::Mapping;
use tagsweep::event::user_id::MAX_BYTES;
use tagsweep::event::{self, Decoded, Event, Format, NotForUs, Rules, UserId, Written};

const TYPES: [&str; 2] = ["user.deleted", "user.reset"];

pub fn event(input: &[u8]) {
    let written = Written::parse(input).unwrap_or_else(|_| Written::of_body(input));
    for format in [
        Format::Auto,
        Format::Plain,
        Format::CloudEvents,
        Format::None,
    ] {
        let rules = rules(format);
        let decoded = decode(&written, &rules);
        assert_eq!(
            decoded,
            decode(&written, &rules),
            "decoding is deterministic"
        );
        assert!(!format!("{decoded:?}").contains("pii-"), "an ID shows");
        if let Decoded::Event(event) = &decoded {
            is_sound(event, input);
            is_read_back(event);
        }
        if format == Format::Plain {
            agrees_with_a_second_reading(&decoded, &written);
        }
    }
}

fn rules(format: Format) -> Rules {
    Rules {
        format,
        types: TYPES.map(str::to_owned).into(),
        mapping: Mapping::default(),
    }
}

fn decode(written: &Written<'_>, rules: &Rules) -> Decoded {
    written.message(|message| event::decode(message, rules))
}

fn is_sound(event: &Event, input: &[u8]) {
    assert!(TYPES.contains(&event.kind.as_str()));
    assert!(!event.users.is_empty() || !event.invalid.is_empty());
    for user in &event.users {
        let id = user.as_str();
        assert!((1..=MAX_BYTES).contains(&id.len()));
        assert!(id.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
    let invalid = event.invalid.iter().map(String::len).sum::<usize>();
    let valid = event.users.iter().map(|user| user.as_str().len());
    // A replacement for a broken character never makes an ID: invalid UTF-8 is no JSON.
    assert!(valid.sum::<usize>() + invalid <= input.len(), "it grew");
    for id in &event.invalid {
        assert!(UserId::parse(id).is_err(), "a good ID is set apart");
    }
}

/// What an event says is still said when we write it ourselves, in either form.
fn is_read_back(event: &Event) {
    let ids: Vec<&str> = event.users.iter().map(UserId::as_str).collect();
    if ids.is_empty() {
        return;
    }
    let plain = json!({ "type": event.kind, "user_ids": ids });
    let cloud_event = json!({
        "specversion": "1.0", "id": "1", "source": "/", "type": event.kind, "data": { "user_ids": ids },
    });
    for body in [plain, cloud_event] {
        let body = body.to_string();
        let again = Written::of_body(body.as_bytes());
        let Decoded::Event(again) = decode(&again, &rules(Format::Auto)) else {
            panic!("our own event is not read");
        };
        assert_eq!((again.users, again.invalid), (event.users.clone(), vec![]));
    }
}

/// The plain form, read by way of a tree of values instead of field by field.
fn agrees_with_a_second_reading(decoded: &Decoded, written: &Written<'_>) {
    let text = written.body.strip_prefix(b"\xef\xbb\xbf");
    let text = text.unwrap_or(written.body);
    if *decoded == Decoded::NotForUs(NotForUs::Tombstone) {
        let text = text.trim_ascii();
        assert!(text.is_empty() || text == b"null", "taken for a tombstone");
    }
    let Ok(body) = serde_json::from_slice::<Value>(text) else {
        return;
    };
    match decoded {
        Decoded::Event(event) => {
            let mut ids = Vec::new();
            for field in ["user_id", "userId", "user_ids", "userIds"] {
                match &body[field] {
                    Value::Null => {}
                    Value::Array(list) => ids.extend(list.iter().map(id)),
                    one => ids.push(id(one)),
                }
            }
            let (users, invalid): (Vec<_>, Vec<_>) =
                ids.into_iter().partition(|id| UserId::parse(id).is_ok());
            let read: Vec<&str> = event.users.iter().map(UserId::as_str).collect();
            assert_eq!(
                (read, &event.invalid),
                (users.iter().map(String::as_str).collect(), &invalid)
            );
        }
        Decoded::NotForUs(NotForUs::ForeignType(_)) => {
            let kind = body["type"].as_str();
            assert!(
                !kind.is_some_and(|kind| TYPES.contains(&kind)),
                "an event of ours is foreign"
            );
        }
        Decoded::NotForUs(NotForUs::Rule) => panic!("there are no rules"),
        Decoded::Unrecognised => {
            assert!(body["type"].is_null(), "a type is not recognised");
        }
        Decoded::NotForUs(NotForUs::Tombstone) | Decoded::Malformed(_) => {}
    }
}

fn id(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        other => panic!("taken for a user ID: {other}"),
    }
}
