use proptest::prelude::*;

use super::*;

/// A message of the plain form, to be varied.
fn message(body: &[u8]) -> Message<'_> {
    Message {
        body,
        content_type: Some("application/json"),
        content_encoding: None,
        kind: None,
        message_id: None,
        timestamp: None,
        routing_key: "user.deleted",
        header: &|_| None,
    }
}

fn rules(format: Format) -> Rules {
    Rules {
        format,
        types: vec!["user.deleted".into(), "user.reset".into()],
    }
}

fn decode_auto(message: &Message<'_>) -> Decoded {
    decode(message, &rules(Format::Auto))
}

fn event(message: &Message<'_>) -> Event {
    match decode_auto(message) {
        Decoded::Event(event) => event,
        other => panic!("no event but {other:?}"),
    }
}

fn users(event: &Event) -> Vec<&str> {
    event.users.iter().map(UserId::as_str).collect()
}

const FOREIGN: Decoded = Decoded::NotForUs(NotForUs::ForeignType);
const TOMBSTONE: Decoded = Decoded::NotForUs(NotForUs::Tombstone);

fn malformed(why: Malformed) -> Decoded {
    Decoded::Malformed(why)
}

#[test]
fn every_user_of_a_plain_event_is_read() {
    for (body, expected) in [
        (
            r#"{"type":"user.deleted","user_id":"alice"}"#,
            &["alice"][..],
        ),
        (r#"{"user_id":"alice","type":"user.reset"}"#, &["alice"]),
        (
            r#"{"type":"user.deleted","user_ids":["a","b"],"user_id":"c"}"#,
            &["c", "a", "b"],
        ),
        (
            r#"{"type":"user.deleted","user_ids":["a",42]}"#,
            &["a", "42"],
        ),
        (
            r#"{"type":"user.deleted","user_id":["a","b"]}"#,
            &["a", "b"],
        ),
        (r#"{"type":"user.deleted","user_ids":"a"}"#, &["a"]),
        (
            r#"{"type":"user.deleted","user_id":"a","user_ids":null}"#,
            &["a"],
        ),
        (
            r#"{"type":"user.deleted","user_id":18446744073709551615}"#,
            &["18446744073709551615"],
        ),
        (r#"{"type":"user.deleted","user_id":-7}"#, &["-7"]),
        (
            r#"{"type":"user.deleted","user_id":"\u0061uth0|5f7c"}"#,
            &["auth0|5f7c"],
        ),
        (
            r#"{"type":"user\u002edeleted","user_id":"a","deep":[[{"x":null}],1.5,true]}"#,
            &["a"],
        ),
        (
            "\u{feff} {\"type\":\"user.deleted\",\"user_id\":\"a\"}\r\n",
            &["a"],
        ),
        (
            r#"{"type":"user.deleted","user_id":"a","data":{"user_id":"not this one"},"subject":5}"#,
            &["a"],
        ),
    ] {
        let event = event(&message(body.as_bytes()));
        assert_eq!(users(&event), expected, "{body}");
        assert!(event.invalid.is_empty(), "{body}");
    }
}

#[test]
fn an_invalid_id_is_set_apart_and_the_others_go_on() {
    let long = "x".repeat(33);
    let body = format!(r#"{{"type":"user.deleted","user_ids":["a","","é","{long}","b"]}}"#);
    let event = event(&message(body.as_bytes()));
    assert_eq!(users(&event), ["a", "b"]);
    assert_eq!(event.invalid, ["", "é", &long]);
}

#[test]
fn a_missing_type_is_read_from_the_property_then_from_the_routing_key() {
    let body = br#"{"user_id":"a","type":null}"#;
    for (property, routing_key, expected) in [
        (Some("user.reset"), "user.deleted", Some("user.reset")),
        (Some("user.reset"), "other", Some("user.reset")),
        (Some("other"), "user.deleted", None),
        (Some(""), "user.deleted", Some("user.deleted")),
        (None, "user.deleted", Some("user.deleted")),
        (None, "other", None),
    ] {
        let message = Message {
            kind: property,
            routing_key,
            ..message(body)
        };
        match decode_auto(&message) {
            Decoded::Event(event) => assert_eq!(Some(event.kind.as_str()), expected),
            other => assert_eq!((other, expected), (FOREIGN, None)),
        }
    }
}

#[test]
fn the_type_in_the_body_beats_property_and_routing_key() {
    let ours = br#"{"type":"user.deleted","user_id":"a"}"#;
    let foreign = br#"{"type":"user.created","user_id":"a"}"#;
    let outside = |body, kind| Message {
        kind: Some(kind),
        routing_key: kind,
        ..message(body)
    };
    assert_eq!(event(&outside(ours, "user.created")).kind, "user.deleted");
    assert_eq!(decode_auto(&outside(foreign, "user.deleted")), FOREIGN);
}

#[test]
fn only_an_equal_type_matches() {
    for kind in [
        "com.example.user.deleted",
        "user.deleted.v2",
        "User.Deleted",
        "",
    ] {
        let body = format!(r#"{{"type":"{kind}","user_id":"a"}}"#);
        assert_eq!(decode_auto(&message(body.as_bytes())), FOREIGN, "{kind}");
    }
}

#[test]
fn a_foreign_event_may_have_any_shape() {
    for body in [
        r#"{"user_id":{"x":1},"user_ids":1.5,"type":"order.created"}"#,
        r#"{"type":"order.created","id":[],"time":{},"data":[1],"data_base64":7}"#,
        r#"{"specversion":"0.3","type":"order.created"}"#,
    ] {
        assert_eq!(decode_auto(&message(body.as_bytes())), FOREIGN, "{body}");
    }
}

#[test]
fn what_is_no_object_is_foreign_unless_its_outer_type_is_ours() {
    for body in ["<user/>", "[1]", "\"x\"", "\u{0}\u{1}", "nul"] {
        let ours = message(body.as_bytes());
        assert_eq!(
            decode_auto(&ours),
            malformed(Malformed::NotAnObject),
            "{body}"
        );
        let foreign = Message {
            kind: Some("order.created"),
            ..ours
        };
        assert_eq!(decode_auto(&foreign), FOREIGN, "{body}");
        let by_routing_key = Message {
            routing_key: "orders",
            ..message(body.as_bytes())
        };
        assert_eq!(decode_auto(&by_routing_key), FOREIGN, "{body}");
        // The type of a CloudEvent stands nowhere but in the part that cannot be read.
        let avro = Message {
            content_type: Some("application/cloudevents+avro"),
            routing_key: "orders",
            ..message(body.as_bytes())
        };
        assert_eq!(decode_auto(&avro), malformed(Malformed::NotAnObject));
    }
}

#[test]
fn a_broken_object_is_never_taken_for_foreign() {
    let bomb = r#"{"type":"user.deleted","user_ids":"#.to_owned() + &"[".repeat(100_000);
    for body in [
        br#"{"type":"user.deleted","user_id":"a""#.as_slice(),
        br#"{"type":"user.deleted","user_id":"a"} {}"#,
        b"{\"type\":\"user.deleted\",\"user_id\":\"a\xff\"}",
        br#"{"type":"user.deleted","user_id":"\ud800"}"#,
        br#"{"type":"user.deleted","user_id":1e999}"#,
        bomb.as_bytes(),
    ] {
        let message = Message {
            kind: Some("order.created"),
            ..message(body)
        };
        assert_eq!(decode_auto(&message), malformed(Malformed::BrokenJson));
    }
}

#[test]
fn a_right_typed_event_without_readable_users_is_malformed() {
    for (fields, why) in [
        ("", Malformed::NoUser),
        (r#","user_id":null"#, Malformed::NoUser),
        (r#","user_ids":[]"#, Malformed::NoUser),
        (r#","user_id":1.0"#, Malformed::UserNotText),
        (r#","user_id":18446744073709551616"#, Malformed::UserNotText),
        (r#","user_id":true"#, Malformed::UserNotText),
        (r#","user_id":{"id":"a"}"#, Malformed::UserNotText),
        (r#","user_ids":["a",null]"#, Malformed::UserNotText),
        (r#","user_ids":["a",["b"]]"#, Malformed::UserNotText),
        (r#","user_ids":["a",{}]"#, Malformed::UserNotText),
        (r#","user_id":"a","user_ids":false"#, Malformed::UserNotText),
        (r#","user_id":"a","user_id":"b""#, Malformed::RepeatedField),
        (
            r#","type":"user.created","user_id":"b""#,
            Malformed::RepeatedField,
        ),
    ] {
        let body = format!(r#"{{"type":"user.deleted"{fields}}}"#);
        assert_eq!(
            decode_auto(&message(body.as_bytes())),
            malformed(why),
            "{body}"
        );
    }
    for kind in ["5", "[\"user.deleted\"]", "{}", "false"] {
        let body = format!(r#"{{"type":{kind},"user_id":"a"}}"#);
        assert_eq!(
            decode_auto(&message(body.as_bytes())),
            malformed(Malformed::TypeNotText)
        );
    }
}

#[test]
fn an_empty_or_null_body_is_a_tombstone() {
    for body in ["", " \n", "null", "\u{feff}null\n"] {
        for format in [Format::Auto, Format::Plain, Format::CloudEvents] {
            assert_eq!(
                decode(&message(body.as_bytes()), &rules(format)),
                TOMBSTONE,
                "{body:?}"
            );
        }
    }
}

#[test]
fn an_encoded_body_is_malformed_and_a_character_set_is_no_encoding() {
    let body = br#"{"type":"user.deleted","user_id":"a"}"#;
    for (encoding, readable) in [
        ("", true),
        ("identity", true),
        ("UTF-8", true),
        ("utf8", true),
        ("gzip", false),
        ("deflate", false),
    ] {
        let message = Message {
            content_encoding: Some(encoding),
            ..message(body)
        };
        match decode_auto(&message) {
            Decoded::Event(_) => assert!(readable, "{encoding}"),
            other => assert_eq!(
                (other, readable),
                (malformed(Malformed::Encoded), false),
                "{encoding}"
            ),
        }
    }
}

#[test]
fn the_time_is_read_in_every_common_form_and_never_makes_an_event_malformed() {
    let moment: jiff::Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    let moment = Some(SystemTime::from(moment));
    for (time, expected) in [
        (r#""2026-11-22T10:00:00Z""#, moment),
        (r#""2026-11-22T11:00:00.000+01:00""#, moment),
        ("1795341600", moment),
        ("1795341600000", moment),
        (r#""1795341600""#, moment),
        (r#""yesterday""#, None),
        ("null", None),
        ("{}", None),
        ("9223372036854775807", None),
        ("18446744073709551615", None),
        ("-9223372036854775808", None),
    ] {
        let body = format!(r#"{{"type":"user.deleted","user_id":"a","time":{time}}}"#);
        assert_eq!(event(&message(body.as_bytes())).time, expected, "{time}");
        let with_property = Message {
            timestamp: Some(1_795_341_600),
            ..message(body.as_bytes())
        };
        assert_eq!(event(&with_property).time, moment, "{time}");
    }
    let far = Message {
        timestamp: Some(u64::MAX),
        ..message(br#"{"type":"user.deleted","user_id":"a"}"#)
    };
    assert_eq!(event(&far).time, None);
}

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

#[test]
fn no_user_id_shows_in_debug() {
    let body = br#"{"type":"user.deleted","user_ids":["alice","bad-\u00e9-id"],"id":"evt-alice"}"#;
    let text = format!("{:?}", decode_auto(&message(body)));
    assert!(
        !text.contains("alice") && !text.contains("bad-") && text.contains("user-"),
        "{text}"
    );
}

mod cloud_events {
    use super::*;

    const STRUCTURED: &str = "application/CloudEvents+json; charset=utf-8";

    #[test]
    fn users_of_a_structured_event_are_read_from_data_else_from_subject() {
        for (fields, expected) in [
            (r#""data":{"user_id":"a"},"subject":"s""#, &["a"][..]),
            (r#""data":{"userId":"a"},"subject":"s""#, &["a"]),
            (r#""data":{"user_ids":["a",2]}"#, &["a", "2"]),
            (
                r#""data":{"userIds":["b"],"userId":"a","more":{"user_id":"x"}}"#,
                &["a", "b"],
            ),
            (r#""subject":"s","data":{"email":"x"}"#, &["s"]),
            (r#""subject":"s","data":{"user_id":null}"#, &["s"]),
            (r#""subject":"s","data":[{"user_id":"x"}]"#, &["s"]),
            (r#""subject":"s","data":"text""#, &["s"]),
            (r#""subject":"s","data":null"#, &["s"]),
            (r#""subject":"s""#, &["s"]),
            // {"user_id":"a"}
            (r#""data_base64":"eyJ1c2VyX2lkIjoiYSJ9""#, &["a"]),
            // not JSON
            (r#""data_base64":"AAEC","subject":"s""#, &["s"]),
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

    /// Decodes a binary event with both prefixes, which must come to the same.
    fn binary(attributes: &[(&str, &str)], body: &[u8], format: Format) -> Decoded {
        let [colon, underscore] = ["cloudEvents:", "cloudEvents_"].map(|prefix| {
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
        assert_eq!(colon, underscore);
        colon
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
    fn users_of_a_binary_event_are_read_from_the_body_else_from_subject() {
        for (body, expected) in [
            (r#"{"user_id":"a","type":"order.created"}"#, "a"),
            (r#"{"userId":7}"#, "7"),
            ("", "s"),
            ("null", "s"),
            ("<user/>", "s"),
            ("{}", "s"),
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
}

/// Bytes that come closer to events than pure noise does.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(":"),
        Just(","),
        Just("\"type\":\"user.deleted\""),
        Just("\"user_id\":"),
        Just("\"user_ids\":"),
        Just("\"data\":"),
        Just("\"data_base64\":\"e30=\""),
        Just("\"specversion\":\"1.0\""),
        Just("\"time\":"),
        Just("null"),
        Just("-1"),
        Just("1e400"),
        Just("\"\\ud800\""),
        Just("\"a\""),
    ];
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        proptest::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat().into_bytes()),
    ]
}

proptest! {
    #[test]
    fn nothing_that_arrives_makes_it_panic(
        body in body(),
        text in proptest::option::of(".{0,40}"),
        header in proptest::option::of(".{0,40}"),
        timestamp in any::<Option<u64>>(),
        format in prop_oneof![Just(Format::Auto), Just(Format::Plain), Just(Format::CloudEvents)],
    ) {
        let message = Message {
            body: &body,
            content_type: text.as_deref(),
            content_encoding: None,
            kind: text.as_deref(),
            message_id: text.as_deref(),
            timestamp,
            routing_key: text.as_deref().unwrap_or_default(),
            header: &|_| header.as_deref().map(Cow::Borrowed),
        };
        let rules = Rules { types: text.iter().cloned().collect(), ..rules(format) };
        if let Decoded::Event(event) = decode(&message, &rules) {
            prop_assert!(!event.users.is_empty() || !event.invalid.is_empty());
        }
    }

    #[test]
    fn what_is_written_as_an_event_is_read_back(
        ids in proptest::collection::vec("[ -~]{1,32}", 1..20),
        seconds in 0_i64..4_000_000_000,
        id in ".{1,40}",
    ) {
        let time = jiff::Timestamp::from_second(seconds).unwrap();
        let plain = serde_json::json!({
            "id": id, "type": "user.deleted", "time": time.to_string(), "user_ids": ids,
        });
        let cloud = serde_json::json!({
            "specversion": "1.0", "source": "/idp", "id": id, "type": "user.deleted",
            "time": time.to_string(), "data": { "user_ids": ids },
        });
        for body in [plain, cloud] {
            let body = serde_json::to_vec(&body).unwrap();
            let event = event(&message(&body));
            prop_assert_eq!(users(&event), ids.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(event.time, Some(time.into()));
            prop_assert_eq!(event.kind, "user.deleted");
            prop_assert!(event.invalid.is_empty() && event.key.is_some());
        }
    }
}
