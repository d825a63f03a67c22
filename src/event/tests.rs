mod cloud_events;
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
            r#"{"type":"user.deleted","user_id":"a","data":{"user_id":"not this one"},"subject":5}"#,
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
fn a_foreign_type_is_told_with_the_place_where_it_was_read() {
    let renamed = br#"{"type":"user.renamed"}"#.as_slice();
    let cloud_event = br#"{"specversion":"1.0","type":"user.renamed"}"#;
    let twice = br#"{"type":"user.renamed","id":1,"id":2}"#;
    for (body, property, expected) in [
        (renamed, None, (TypeSource::Body, Some("user.renamed"))),
        (twice, None, (TypeSource::Body, Some("user.renamed"))),
        (
            cloud_event,
            None,
            (TypeSource::CloudEvents, Some("user.renamed")),
        ),
        (
            b"{}",
            Some("user.merged"),
            (TypeSource::Property, Some("user.merged")),
        ),
        (
            b"no JSON",
            Some("user.merged"),
            (TypeSource::Property, Some("user.merged")),
        ),
        (b"{}", None, (TypeSource::RoutingKey, None)),
    ] {
        let message = Message {
            kind: property,
            routing_key: "user.renamed",
            ..message(body)
        };
        let decoded = super::decode(&message, &rules(Format::Auto));
        let Decoded::NotForUs(NotForUs::ForeignType(kind)) = decoded else {
            panic!("{decoded:?}");
        };
        assert_eq!((kind.read_from, kind.name.as_deref()), expected);
    }
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
        r#"{"type":"order.created","id":1,"id":2}"#,
        r#"{"id":1,"id":2,"type":"order.created"}"#,
        r#"{"type":"order.created","type":"order.changed"}"#,
        r#"{"type":"order.created","user_id":"a","user_id":"b","time":1,"time":2}"#,
        r#"{"type":"order.created","data":{"user_id":"a","user_id":"b"}}"#,
        r#"{"specversion":"1.0","type":"order.created","data":{"userId":"a","userId":"b"}}"#,
        r#"{"specversion":"1.0","specversion":"1.0","type":"order.created"}"#,
        r#"{"id":"\ud800","type":"order.created"}"#,
        r#"{"time":1e999,"type":"order.created"}"#,
        r#"{"type":"order.created","user_ids":[{"id":"a"},[["b"]],null,1e999]}"#,
        r#"{"type":"order.created","id":{"user_id":{"user_id":[]}}}"#,
    ] {
        for format in [Format::Auto, Format::Plain, Format::CloudEvents] {
            let decoded = decode(&message(body.as_bytes()), &rules(format));
            assert_eq!(decoded, FOREIGN, "{format:?}: {body}");
        }
    }
}

#[test]
fn a_foreign_event_may_be_deep_or_not_utf_8_or_end_too_early() {
    let deep = |field: &str| {
        let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
        format!(r#"{{"{field}":{open}{close},"id":1,"id":2,"type":"order.created"}}"#).into_bytes()
    };
    for body in [
        deep("user_ids"),
        deep("id"),
        deep("data"),
        deep("other"),
        b"{\"id\":\"\xff\",\"type\":\"order.created\"}".to_vec(),
        b"{\"\xff\":1,\"type\":\"order.created\"}".to_vec(),
        br#"{"type":"order.created","user_id":"a""#.to_vec(),
        br#"{"type":"order.created"} {}"#.to_vec(),
    ] {
        let text = String::from_utf8_lossy(&body);
        assert_eq!(decode_auto(&message(&body)), FOREIGN, "{text}");
    }
}

#[test]
fn a_repeated_field_counts_where_the_type_outside_of_the_body_is_ours() {
    let body = br#"{"user_id":"a","user_id":"b"}"#;
    assert_eq!(
        decode_auto(&message(body)),
        malformed(Malformed::RepeatedField)
    );
    for foreign in [
        Message {
            kind: Some("order.created"),
            ..message(body)
        },
        Message {
            routing_key: "order.created",
            ..message(body)
        },
    ] {
        assert_eq!(decode_auto(&foreign), FOREIGN);
        // The type of a CloudEvent is nowhere else.
        assert_eq!(
            decode(&foreign, &rules(Format::CloudEvents)),
            malformed(Malformed::RepeatedField)
        );
    }
    let cloud_event = Message {
        routing_key: "order.created",
        ..message(br#"{"specversion":"1.0","id":1,"id":2}"#)
    };
    assert_eq!(
        decode_auto(&cloud_event),
        malformed(Malformed::RepeatedField)
    );
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
