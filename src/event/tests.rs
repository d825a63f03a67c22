mod cloud_events;
mod foreign;
mod keys;
mod properties;

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
        exchange: None,
        routing_key: "user.deleted",
        header: &|_| None,
        surroundings: &Surroundings::default,
    }
}

fn rules(format: Format) -> Rules {
    Rules {
        format,
        types: vec!["user.deleted".into(), "user.reset".into()],
        mapping: Mapping::default(),
    }
}

/// Decodes; what is told of a foreign type has a test of its own.
fn decode(message: &Message<'_>, rules: &Rules) -> Decoded {
    match super::decode(message, rules) {
        Decoded::NotForUs(NotForUs::ForeignType(_)) => FOREIGN,
        decoded => decoded,
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

const FOREIGN: Decoded = Decoded::NotForUs(NotForUs::ForeignType(ForeignType {
    read_from: TypeSource::Body,
    name: None,
}));
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
            r#"{"type":"user.deleted","user_id":"a","data":{"user_name":"b"},"subject":5}"#,
            &["a"],
        ),
        (
            r#"{"type":"user.deleted","userIds":["d"],"user_ids":["c"],"userId":"b","user_id":"a"}"#,
            &["a", "b", "c", "d"],
        ),
        (r#"{"type":"user.deleted","userId":7}"#, &["7"]),
        (
            r#"{"type":"user.deleted","event":"erased","user_id":"a","target_id":null}"#,
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
fn a_type_outside_of_the_body_does_not_count_where_the_body_says_what_happened() {
    for field in [
        r#""event":"user.created""#,
        r#""event_type":"user_created""#,
        r#""eventName":"user_create""#,
        r#""action":"login""#,
        r#""op":"u""#,
        r#""__op":"c""#,
        r#""operationType":"update""#,
        r#""pattern":{"cmd":"x"}"#,
        r#""detail-type":"x""#,
        r#""messageType":["urn:message:A:B"]"#,
        r#""__deleted":"false""#,
        r#""Type":"user.created""#,
    ] {
        let body = format!(r#"{{"user_id":"a",{field}}}"#);
        for kind in [None, Some("user.deleted"), Some("other")] {
            let message = Message {
                kind,
                ..message(body.as_bytes())
            };
            assert_eq!(decode_auto(&message), Decoded::Unrecognised, "{body}");
        }
    }
    // A field that is not set says nothing.
    let body = br#"{"user_id":"a","event":null}"#;
    assert_eq!(users(&event(&message(body))), ["a"]);
}

#[test]
fn a_message_without_any_type_is_not_recognised_and_a_queue_is_no_type() {
    let body = br#"{"user_id":"a"}"#;
    let without = Message {
        routing_key: "",
        ..message(body)
    };
    assert_eq!(decode_auto(&without), Decoded::Unrecognised);
    let by_default_exchange = |exchange| Message {
        exchange: Some(exchange),
        routing_key: "tagsweep.events",
        ..message(body)
    };
    assert_eq!(decode_auto(&by_default_exchange("")), Decoded::Unrecognised);
    assert_eq!(decode_auto(&by_default_exchange("events")), FOREIGN);
}

#[test]
fn an_actor_beside_a_target_is_never_taken_for_the_target() {
    for target in [
        r#""target_id":"b""#,
        r#""target_user_id":2"#,
        r#""targetUserId":"b""#,
        r#""target":{"id":"b"}"#,
        r#""targets":["b"]"#,
        r#""deletedUserId":"b""#,
    ] {
        for actor in [
            r#""user_id":"a""#,
            r#""userId":"a""#,
            r#""user_ids":["a"]"#,
            r#""userIds":[""]"#,
        ] {
            let body = format!(r#"{{"type":"user.deleted",{actor},{target}}}"#);
            assert_eq!(
                decode_auto(&message(body.as_bytes())),
                malformed(Malformed::ActorAndTarget),
                "{body}"
            );
        }
        let alone = format!(r#"{{"type":"user.deleted",{target}}}"#);
        assert_eq!(
            decode_auto(&message(alone.as_bytes())),
            malformed(Malformed::NoUser)
        );
    }
}

#[test]
fn a_user_beside_another_one_in_the_data_or_the_person_is_never_taken_for_the_victim() {
    for (elsewhere, is_another) in [
        (r#""data":{"user_id":"b"}"#, true),
        (r#""data":{"userIds":["a","b"]}"#, true),
        (r#""data":{"target_id":"b"}"#, true),
        (r#""user":{"id":"b"}"#, true),
        (r#""user":{"name":"B","userId":7}"#, true),
        (r#""subject_id":"b""#, true),
        (r#""resourceId":5"#, true),
        (r#""data":{"user_id":"a"}"#, false),
        (r#""data":{"id":"b","reason":"erasure"}"#, false),
        (r#""data":null,"user":null"#, false),
        (r#""user":{"id":"a","email":"b"}"#, false),
        (r#""user":"B""#, false),
        (r#""users":{"id":"b"}"#, false),
    ] {
        for body in [
            format!(r#"{{"type":"user.deleted","user_id":"a",{elsewhere}}}"#),
            format!(r#"{{{elsewhere},"user_id":"a","type":"user.deleted"}}"#),
        ] {
            let message = message(body.as_bytes());
            match is_another {
                true => assert_eq!(
                    decode_auto(&message),
                    malformed(Malformed::ActorAndTarget),
                    "{body}"
                ),
                false => assert_eq!(users(&event(&message)), ["a"], "{body}"),
            }
        }
    }
}

#[test]
fn a_routing_key_does_not_count_where_a_header_says_what_happened() {
    for (name, value, counts) in [
        ("eventType", "USER_CREATED", false),
        ("type", "user.created", false),
        ("event_type", "user.created", false),
        ("type", "user.deleted", true),
        // A class in a program is no type of ours.
        ("__TypeId__", "com.example.UserGone", true),
    ] {
        let header = |asked: &str| (asked == name).then_some(Cow::Borrowed(value));
        let message = Message {
            header: &header,
            ..message(br#"{"user_id":"a"}"#)
        };
        match counts {
            true => assert_eq!(users(&event(&message)), ["a"], "{name}"),
            false => assert_eq!(decode_auto(&message), Decoded::Unrecognised, "{name}"),
        }
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
        (r#","type":5,"user_id":"b""#, Malformed::RepeatedField),
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
        let foreign = Message {
            kind: Some("order.created"),
            ..message
        };
        let by_routing_key = Message {
            kind: None,
            routing_key: "accounts",
            ..foreign
        };
        if !readable {
            assert_eq!(decode_auto(&foreign), FOREIGN, "{encoding}");
            // Its body may say that it is ours.
            assert_eq!(
                decode_auto(&by_routing_key),
                malformed(Malformed::Encoded),
                "{encoding}"
            );
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

#[test]
fn no_user_id_shows_in_debug() {
    let body = br#"{"type":"user.deleted","user_ids":["alice","bad-\u00e9-id"],"id":"evt-alice"}"#;
    let text = format!("{:?}", decode_auto(&message(body)));
    assert!(
        !text.contains("alice") && !text.contains("bad-") && text.contains("user-"),
        "{text}"
    );
}
