//! Events of other types: whatever they are, they are left alone, and nothing of ours is taken for one.

use super::*;

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
        let decoded = crate::event::decode(&message, &rules(Format::Auto));
        let Decoded::NotForUs(NotForUs::ForeignType(kind)) = decoded else {
            panic!("{decoded:?}");
        };
        assert_eq!((kind.read_from, kind.name.as_deref()), expected);
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
