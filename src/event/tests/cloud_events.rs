use super::*;

const STRUCTURED: &str = "application/CloudEvents+json; charset=utf-8";

#[test]
fn users_of_a_structured_event_are_read_from_data_and_without_data_from_subject() {
    for (fields, expected) in [
        (r#""data":{"user_id":"a"},"subject":"s""#, &["a"][..]),
        (r#""data":{"userId":"a"},"subject":"s""#, &["a"]),
        (r#""data":{"user_ids":["a",2]}"#, &["a", "2"]),
        (
            r#""data":{"userIds":["b"],"userId":"a","more":{"user_id":"x"}}"#,
            &["a", "b"],
        ),
        (r#""subject":"s","data":null"#, &["s"]),
        (r#""subject":"s""#, &["s"]),
        // {"user_id":"a"}
        (r#""data_base64":"eyJ1c2VyX2lkIjoiYSJ9""#, &["a"]),
        (r#""data_base64":"","subject":"s""#, &["s"]),
    ] {
        let body = format!(
            r#"{{"specversion":"1.0","id":"1","source":"/idp","type":"user.deleted",{fields}}}"#
        );
        for content_type in [STRUCTURED, "application/json"] {
            let message = Message {
                content_type: Some(content_type),
                ..message(body.as_bytes())
            };
            assert_eq!(users(&event(&message)), expected, "{body}");
        }
    }
}

#[test]
fn an_unreadable_structured_event_says_why() {
    for (body, expected) in [
        (
            r#"{"specversion":"0.3","type":"user.deleted","subject":"a"}"#,
            Malformed::SpecVersion,
        ),
        (
            r#"{"specversion":1.0,"type":"user.deleted","subject":"a"}"#,
            Malformed::SpecVersion,
        ),
        (
            r#"{"type":"user.deleted","subject":"a"}"#,
            Malformed::SpecVersion,
        ),
        (r#"{"specversion":"1.0","subject":"a"}"#, Malformed::NoType),
        (
            r#"{"specversion":"1.0","type":1,"subject":"a"}"#,
            Malformed::TypeNotText,
        ),
        (
            r#"{"specversion":"1.0","type":"user.deleted"}"#,
            Malformed::NoUser,
        ),
        (
            r#"{"specversion":"1.0","type":"user.deleted","user_id":"a"}"#,
            Malformed::NoUser,
        ),
        (
            r#"{"specversion":"1.0","type":"user.deleted","subject":"a","data":{"email":"x"}}"#,
            Malformed::NoUser,
        ),
        (
            r#"{"specversion":"1.0","type":"user.deleted","subject":"a","data":{"user_id":null}}"#,
            Malformed::NoUser,
        ),
        (
            r#"{"specversion":"1.0","type":"user.deleted","subject":"a","data":[{"user_id":"x"}]}"#,
            Malformed::NoUser,
        ),
        (
            r#"{"specversion":"1.0","type":"user.deleted","subject":"a","data":"text"}"#,
            Malformed::NoUser,
        ),
        // not JSON
        (
            r#"{"specversion":"1.0","type":"user.deleted","subject":"a","data_base64":"AAEC"}"#,
            Malformed::NoUser,
        ),
        (
            r#"{"specversion":"1.0","type":"user.deleted","data":{"userId":"a"},"data_base64":"e30="}"#,
            Malformed::DataTwice,
        ),
        (
            r#"{"specversion":"1.0","type":"user.deleted","data":{"userId":"a","target_id":"b"}}"#,
            Malformed::ActorAndTarget,
        ),
        (
            r#"{"specversion":"1.0","type":"user.deleted","data":{"user_id":1.5},"subject":"a"}"#,
            Malformed::UserNotText,
        ),
        (
            r#"{"specversion":"1.0","type":"user.deleted","data_base64":"!","subject":"a"}"#,
            Malformed::Base64,
        ),
        (
            r#"{"specversion":"1.0","type":"user.deleted","data":{"user_id":"a","user_id":"b"}}"#,
            Malformed::RepeatedField,
        ),
        ("[]", Malformed::NotAnObject),
    ] {
        let message = Message {
            content_type: Some(STRUCTURED),
            ..message(body.as_bytes())
        };
        assert_eq!(decode_auto(&message), malformed(expected), "{body}");
    }
}

/// Decodes a binary event with every prefix, which must come to the same.
fn binary(attributes: &[(&str, &str)], body: &[u8], format: Format) -> Decoded {
    let [first, others @ ..] = ["cloudEvents:", "cloudEvents_", "ce-", ""].map(|prefix| {
        let header = |name: &str| {
            let name = name.strip_prefix(prefix)?;
            let (_, value) = attributes.iter().find(|(known, _)| *known == name)?;
            Some(Cow::Borrowed(*value))
        };
        let message = Message {
            header: &header,
            ..message(body)
        };
        decode(&message, &rules(format))
    });
    for other in others {
        assert_eq!(first, other);
    }
    first
}

const ATTRIBUTES: [(&str, &str); 6] = [
    ("specversion", "1.0"),
    ("type", "user.deleted"),
    ("source", "/idp"),
    ("id", "1"),
    ("time", "2026-11-22T10:00:00Z"),
    ("subject", "s"),
];

#[test]
fn users_of_a_binary_event_are_read_from_the_body_and_without_one_from_subject() {
    for (body, expected) in [
        (r#"{"user_id":"a","type":"order.created"}"#, "a"),
        (r#"{"userId":7}"#, "7"),
        ("", "s"),
        ("null", "s"),
    ] {
        let Decoded::Event(event) = binary(&ATTRIBUTES, body.as_bytes(), Format::Auto) else {
            panic!("{body}");
        };
        assert_eq!(users(&event), [expected], "{body}");
        assert!(event.key.is_some() && event.time.is_some());
    }
}

#[test]
fn binary_and_structured_forms_of_one_event_have_one_key() {
    let body = r#"{"specversion":"1.0","type":"user.deleted","source":"/idp","id":"1",
        "time":"2026-11-22T10:00:00Z","subject":"s"}"#;
    let structured = decode_auto(&message(body.as_bytes()));
    assert_eq!(binary(&ATTRIBUTES, b"", Format::Auto), structured);
}

#[test]
fn an_unreadable_binary_event_says_why() {
    let version = ("specversion", "1.0");
    let ours = ("type", "user.deleted");
    for (attributes, body, expected) in [
        (&[version, ("type", "order.created")][..], "{", FOREIGN),
        (
            &[("specversion", "x"), ("type", "order.created")],
            r#"{"user_id":"a","user_id":[1.5]}"#,
            FOREIGN,
        ),
        (
            &[("specversion", "0.3"), ours],
            "",
            malformed(Malformed::SpecVersion),
        ),
        (&[version], "", malformed(Malformed::NoType)),
        (&[version, ours], "", malformed(Malformed::NoUser)),
        (
            &ATTRIBUTES,
            r#"{"user_ids":["a""#,
            malformed(Malformed::BrokenJson),
        ),
        (&ATTRIBUTES, "<user/>", malformed(Malformed::NoUser)),
        (&ATTRIBUTES, "{}", malformed(Malformed::NoUser)),
        (
            &ATTRIBUTES,
            r#"{"user_id":[null]}"#,
            malformed(Malformed::UserNotText),
        ),
    ] {
        assert_eq!(
            binary(attributes, body.as_bytes(), Format::CloudEvents),
            expected,
            "{body}"
        );
    }
}

#[test]
fn the_plain_format_looks_at_no_cloudevents_mark() {
    let body = br#"{"user_id":"a","type":"user.deleted","specversion":"1.0"}"#;
    let message = Message {
        content_type: Some(STRUCTURED),
        header: &|_| panic!("no header is asked for"),
        ..message(body)
    };
    let Decoded::Event(event) = decode(&message, &rules(Format::Plain)) else {
        panic!("no event");
    };
    assert_eq!(users(&event), ["a"]);
}
