mod refused;
mod size;

use serde_json::json;

use super::*;
use crate::event::{Form, Format, Malformed, NotForUs, Rules, UserId, Written, read};

fn rule(when: &str, users: &str) -> Definition {
    Definition {
        name: "rule".to_owned(),
        when: when.to_owned(),
        users: vec![users.to_owned()],
        ..Definition::default()
    }
}

fn rules(definitions: &[Definition]) -> Rules {
    Rules {
        format: Format::None,
        types: Vec::new(),
        mapping: Mapping::compile(definitions).unwrap_or_else(|found| panic!("{found:?}")),
    }
}

fn decoded(definitions: &[Definition], message: &str) -> Decoded {
    let written = Written::parse(message.as_bytes()).unwrap();
    written.message(|message| read(message, &rules(definitions)).decoded)
}

/// The users whom one rule finds in a body, or what the body is instead.
fn of(definition: &Definition, body: &str) -> Result<Vec<String>, Box<Decoded>> {
    match decoded(std::slice::from_ref(definition), &format!("\n{body}")) {
        Decoded::Event(event) => {
            let users = event.users.iter().map(UserId::as_str).map(str::to_owned);
            Ok(users.chain(event.invalid).collect())
        }
        other => Err(other.into()),
    }
}

fn malformed<T>(why: Malformed) -> Result<T, Box<Decoded>> {
    Err(Decoded::Malformed(why).into())
}

#[test]
fn a_rule_sees_body_headers_properties_and_routing_key() {
    let message =
        "routing-key: a.b\nexchange: e\ntype: t\nmessage-id: m\nheader X-Kind: h\n\n[{\"n\":5}]";
    for when in [
        "@.body[0].n == 5",
        "$.body[0].n == 5",
        "@.headers['X-Kind'] == 'h'",
        "@.properties.type == 't' && @.properties.message_id == 'm'",
        "@.routing_key == 'a.b' && @.exchange == 'e'",
        "match(@.routing_key, 'a[.].') && !match(@.routing_key, 'a')",
        "search(@.routing_key, '[.]b') && !search(@.routing_key, 'c')",
        "@.body[?@.n == $.body[0].n]",
        "count(@.body[*]) == 1 && length(@.routing_key) == 3",
    ] {
        let Decoded::Event(event) = decoded(&[rule(when, "$.body[*].n")], message) else {
            panic!("{when}");
        };
        assert_eq!(event.users[0].as_str(), "5", "{when}");
    }
}

#[test]
fn the_first_rule_that_holds_decides_and_none_leaves_the_message_to_the_format() {
    let ignore = Definition {
        name: "ignore".to_owned(),
        when: "@.body.kind == 'noise'".to_owned(),
        ignore: true,
        ..Definition::default()
    };
    let broad = rule("@.body.kind", "$.body.user");
    let mut both = rules(&[ignore, broad]);
    let mut read = |body: &str, format| {
        both.format = format;
        Written::of_body(body.as_bytes()).message(|message| read(message, &both))
    };
    let noise = read(r#"{"kind":"noise","user":"a"}"#, Format::None);
    assert_eq!(noise.decoded, Decoded::NotForUs(NotForUs::Rule));
    assert_eq!(noise.form, Some(Form::Rule(0)));
    let event = read(r#"{"kind":"x","user":"a"}"#, Format::None);
    assert_eq!(event.form, Some(Form::Rule(1)));
    assert_eq!(read("{}", Format::None).decoded, Decoded::Unrecognised);
    assert_eq!(
        read("<xml/>", Format::None).decoded,
        Decoded::Malformed(Malformed::NotJson)
    );
    assert_eq!(
        read("<xml/>", Format::Auto).decoded,
        Decoded::Malformed(Malformed::NotJson)
    );
    for nothing in ["", "null"] {
        assert_eq!(
            read(nothing, Format::None).decoded,
            Decoded::NotForUs(NotForUs::Tombstone)
        );
    }
}

#[test]
fn a_rule_that_holds_and_selects_nobody_is_malformed_and_never_silent() {
    let rule = Definition {
        users: vec!["$.body.a".to_owned(), "$.body.b[*]".to_owned()],
        ..rule("@.body.on == true", "")
    };
    for (fields, expected) in [
        (r#""a":"x","b":["y"]"#, Ok(vec!["x".to_owned()])),
        (r#""b":["y",7]"#, Ok(vec!["y".to_owned(), "7".to_owned()])),
        (r#""b":[]"#, malformed(Malformed::SelectsNothing)),
        (r#""c":1"#, malformed(Malformed::SelectsNothing)),
        (r#""a":null,"b":["y"]"#, malformed(Malformed::SelectsNoText)),
        (r#""a":["y"]"#, malformed(Malformed::SelectsNoText)),
        (r#""a":{}"#, malformed(Malformed::SelectsNoText)),
        (r#""a":true"#, malformed(Malformed::SelectsNoText)),
        (r#""a":1.0"#, malformed(Malformed::SelectsNoText)),
        // As a float it would be another user.
        (
            r#""a":18446744073709551616"#,
            malformed(Malformed::SelectsNoText),
        ),
        (r#""a":"x","a":"y""#, malformed(Malformed::RepeatedField)),
        // An ID that breaks the rule goes to a letter, the others go on.
        (r#""b":["","y"]"#, Ok(vec!["y".to_owned(), String::new()])),
    ] {
        let body = format!(r#"{{"on":true,{fields}}}"#);
        assert_eq!(of(&rule, &body), expected, "{body}");
    }
    assert_eq!(
        of(&rule, r#"{"on":false,"a":"x"}"#),
        Err(Decoded::Unrecognised.into())
    );
}

#[test]
fn steps_make_the_user_id_in_their_order() {
    let uuid = "6A0AB06B-E0D0-d9c8-8532-cd4eb3182cfe";
    for (steps, id, expected) in [
        (
            &["uuid"][..],
            uuid,
            Some("6a0ab06be0d0d9c88532cd4eb3182cfe"),
        ),
        (
            &["uuid"],
            "6a0ab06b-e0d0-d9c8-8532",
            Some("6a0ab06b-e0d0-d9c8-8532"),
        ),
        (&["uuid"], "Plain-ID", Some("Plain-ID")),
        (&["lower"], "Plain-ID", Some("plain-id")),
        (&["strip_prefix auth0|"], "auth0|5", Some("5")),
        (&["strip_prefix auth0|"], "google|5", Some("google|5")),
        (&["prefix u_"], "5", Some("u_5")),
        (&["prefix u_"], "", None),
        (&["strip_prefix auth0|", "prefix u_"], "auth0|", None),
        (
            &["take ^users/(.+)$", "lower", "prefix u_"],
            "users/A",
            Some("u_a"),
        ),
        (&["take ([0-9]+)"], "a 17 b 18", Some("17")),
        (&["take ^users/(.+)$"], "groups/A", None),
        (&["take (a)?b"], "b", None),
        (&["percent_decode"], "a%7Cb%c3%a9", Some("a|bé")),
        (&["percent_decode"], "plain+id", Some("plain+id")),
        (&["percent_decode"], "a%7", None),
        (&["percent_decode"], "a%+1", None),
        (&["percent_decode"], "a%ff", None),
        (
            &["php userId"],
            "O:1:\"A\":1:{s:6:\"userId\";i:5;}",
            Some("5"),
        ),
        (&["php userId"], "userId", None),
    ] {
        let rule = Definition {
            transform: steps.iter().map(|step| (*step).to_owned()).collect(),
            ..rule("@.body.id", "$.body.id")
        };
        let body = json!({ "id": id }).to_string();
        let expected = match expected {
            Some(id) => Ok(vec![id.to_owned()]),
            None => malformed(Malformed::TakesNothing),
        };
        assert_eq!(of(&rule, &body), expected, "{steps:?} {id}");
    }
}

#[test]
fn texts_that_hold_json_are_read_for_one_rule_only() {
    let inner = json!({ "kind": "deleted", "more": json!({ "user": 5 }).to_string() });
    let body = json!({ "payload": inner.to_string() }).to_string();
    let parsing = Definition {
        parse: vec![
            "$.body.payload".to_owned(),
            "$.body.payload.more".to_owned(),
        ],
        ..rule(
            "@.body.payload.kind == 'deleted'",
            "$.body.payload.more.user",
        )
    };
    assert_eq!(of(&parsing, &body), Ok(vec!["5".to_owned()]));
    let raw = rule("search(@.body.payload, 'deleted')", "$.routing_key");
    let both = [
        Definition {
            when: "@.body.payload.kind == 'other'".to_owned(),
            ..parsing.clone()
        },
        raw,
    ];
    let message = format!("routing-key: a\n\n{body}");
    assert!(matches!(decoded(&both, &message), Decoded::Event(_)));
    // What is absent, no text or no JSON stays as it is.
    for body in [r#"{"payload":"{"}"#, r#"{"payload":5}"#, "{}"] {
        assert_eq!(
            of(&parsing, body),
            Err(Decoded::Unrecognised.into()),
            "{body}"
        );
    }
    let twice = r#"{"payload":"{\"kind\":\"deleted\",\"more\":{\"user\":1,\"user\":2}}"}"#;
    assert_eq!(of(&parsing, twice), malformed(Malformed::RepeatedField));
}

#[test]
fn id_and_time_are_the_rules_else_the_messages() {
    let rule = Definition {
        id: Some("$.body.id".to_owned()),
        time: Some("$.body.at".to_owned()),
        ..rule("@.body.user", "$.body.user")
    };
    let event = |message: &str| match decoded(std::slice::from_ref(&rule), message) {
        Decoded::Event(event) => event,
        other => panic!("{other:?}"),
    };
    let at = |text: &str| Some(text.parse::<jiff::Timestamp>().unwrap().into());
    for (time, expected) in [
        (
            r#""2026-11-22 10:00:00:493470 Z""#,
            at("2026-11-22T10:00:00.493470Z"),
        ),
        (r#""2026-11-22T10:00:00Z""#, at("2026-11-22T10:00:00Z")),
        ("1795341600000", at("2026-11-22T10:00:00Z")),
        ("1795341600", at("2026-11-22T10:00:00Z")),
        (r#""soon""#, at("2026-11-22T10:00:00Z")),
    ] {
        let message = format!("timestamp: 1795341600\n\n{{\"user\":1,\"at\":{time}}}");
        assert_eq!(event(&message).time, expected, "{time}");
    }
    let key = |message| event(message).key.unwrap();
    let by_id = "message-id: m\n\n{\"user\":1,\"id\":\"5\"}";
    assert_eq!(
        key(by_id),
        key("message-id: n\n\n{\"user\":1,\"id\":5,\"x\":2}")
    );
    let by_message = "message-id: m\n\n{\"user\":1}";
    assert_eq!(
        key(by_message),
        key("message-id: m\n\n{\"user\":1,\"x\":2}")
    );
    assert_ne!(key(by_message), key("message-id: n\n\n{\"user\":1}"));
    let by_hash = "\n{\"user\":1,\"x\":1}";
    assert_eq!(key(by_hash), key(by_hash));
    assert_ne!(key(by_hash), key("\n{\"user\":1,\"x\":2}"));
}

#[test]
fn why_a_rule_does_not_hold_is_the_part_that_fails_and_what_stands_there() {
    let why = |when: &str, body: &str| {
        let mapping = Mapping::compile(&[rule(when, "$.body")]).unwrap();
        let reasons = Written::of_body(body.as_bytes()).message(|message| {
            mapping
                .explain(message)
                .into_iter()
                .map(|why| why.part)
                .next()
        });
        reasons.unwrap_or_default()
    };
    for (when, body, expected) in [
        (
            "@.body.a == 1 && @.body.b == 'x'",
            r#"{"a":1,"b":"y"}"#,
            "@.body.b == 'x' (it is \"y\")",
        ),
        (
            "@.body.a == 1 && @.body.b == 'x'",
            r#"{"b":"x"}"#,
            "@.body.a == 1 (it is absent)",
        ),
        (
            "match(@.body.a, 'x') && @.body.b",
            r#"{"a":"y","b":1}"#,
            "match(@.body.a, 'x') (it is \"y\")",
        ),
        (
            "@.body.a || @.body.b && @.body.c",
            "{}",
            "@.body.a || @.body.b && @.body.c",
        ),
        (
            "(@.body.a == '&&' && @.body.b) && @.body.c",
            "{}",
            "(@.body.a == '&&' && @.body.b)",
        ),
        ("@.body.a", r#"{"a":null}"#, ""),
    ] {
        assert_eq!(why(when, body), expected, "{when}");
    }
    let long = format!(r#"{{"a":"{}"}}"#, "é".repeat(500));
    assert!(why("@.body.a == 'x'", &long).chars().count() < 120);
}
