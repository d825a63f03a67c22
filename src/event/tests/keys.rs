//! What tells one event from another.

use super::*;

fn key(body: &str, message_id: Option<&str>) -> Option<EventKey> {
    let message = Message {
        message_id,
        ..message(body.as_bytes())
    };
    event(&message).key
}

#[test]
fn an_event_has_a_key_only_when_it_has_an_id() {
    let without = r#"{"type":"user.deleted","user_id":"a"}"#;
    let with = r#"{"type":"user.deleted","user_id":"a","id":"1"}"#;
    let number = r#"{"type":"user.deleted","user_id":"a","id":1}"#;
    assert_eq!(key(without, None), None);
    assert_eq!(key(without, Some("")), None);
    assert!(key(with, None).is_some());
    assert_eq!(key(with, None), key(with, Some("another")));
    assert_eq!(key(with, None), key(without, Some("1")));
    assert_eq!(key(with, None), key(number, None));
}

#[test]
fn events_that_differ_in_anything_but_the_id_have_different_keys() {
    let bodies = [
        r#"{"id":"1","type":"user.deleted","user_id":"a"}"#,
        r#"{"id":"2","type":"user.deleted","user_id":"a"}"#,
        r#"{"id":"1","type":"user.reset","user_id":"a"}"#,
        r#"{"id":"1","type":"user.deleted","user_id":"b"}"#,
        r#"{"id":"1","type":"user.deleted","user_ids":["a","b"]}"#,
        r#"{"id":"1","type":"user.deleted","user_ids":["ab"]}"#,
        r#"{"id":"1","type":"user.deleted","user_ids":["a","é"]}"#,
        r#"{"id":"1","type":"user.deleted","user_id":"a","time":1}"#,
        r#"{"id":"1","type":"user.deleted","user_id":"a","time":2}"#,
        r#"{"id":"1","type":"user.deleted","subject":"a","specversion":"1.0","source":"/x"}"#,
        r#"{"id":"1","type":"user.deleted","subject":"a","specversion":"1.0","source":"/y"}"#,
    ];
    let keys: std::collections::HashSet<_> = bodies.map(|body| key(body, None)).into();
    assert_eq!(keys.len(), bodies.len());
}
