//! What is too large for rules, and what is not.

use super::*;

/// A configuration with one rule, which none of these messages is meant for.
fn with_a_rule_for_others() -> Rules {
    Rules {
        format: Format::Auto,
        types: vec!["user.deleted".to_owned()],
        ..rules(&[rule("@.body.event == 'x'", "$.body.user")])
    }
}

fn read_body(body: &str, rules: &Rules) -> crate::event::Read {
    Written::of_body(body.as_bytes()).message(|message| read(message, rules))
}

#[test]
fn a_large_plain_event_is_read_though_there_are_rules_for_others() {
    let user = |number| format!("pii-{number:028}");
    let users: Vec<String> = (0..100_000).map(user).collect();
    let padding = "x".repeat(2 << 20);
    let plain = json!({ "type": "user.deleted", "user_ids": users, "note": padding }).to_string();
    let data = json!({ "user_ids": users, "note": padding });
    let cloud = json!({ "specversion": "1.0", "type": "user.deleted", "data": data }).to_string();
    for (body, form) in [(plain, Form::Plain), (cloud, Form::CloudEvents)] {
        assert!(body.len() > 5 << 20, "{}", body.len());
        let read = read_body(&body, &with_a_rule_for_others());
        assert_eq!(read.form, Some(form));
        let Decoded::Event(event) = read.decoded else {
            panic!("no event");
        };
        assert_eq!((event.users.len(), event.invalid.len()), (100_000, 0));
    }
}

#[test]
fn a_rule_reads_a_body_of_any_length_with_as_many_users_as_it_may_select() {
    let many = |users: usize| json!({ "on": true, "b": vec![1; users], "c": "x".repeat(5 << 20) });
    let rule = rule("@.body.on == true", "$.body.b[*]");
    let most = of(&rule, &many(100_000).to_string());
    assert_eq!(most.map(|users| users.len()), Ok(100_000));
    let more = of(&rule, &many(100_001).to_string());
    assert_eq!(more, malformed(Malformed::SelectsTooMany));
}

/// A rule may hold for it, so the forms must not decide.
#[test]
fn what_has_too_many_values_for_rules_is_malformed_in_every_form() {
    let lists = "[],".repeat(3_000_000);
    let plain = format!(r#"{{"type":"user.deleted","user_id":"pii-1","x":[{lists}1]}}"#);
    let foreign = format!(r#"{{"type":"other","x":[{lists}1]}}"#);
    let within = format!(
        r#"{{"type":"user.deleted","user_id":"pii-1","x":[{}1]}}"#,
        "1,".repeat(1_000_000)
    );
    let rules = with_a_rule_for_others();
    for body in [plain, foreign] {
        let read = read_body(&body, &rules);
        assert_eq!(read.decoded, Decoded::Malformed(Malformed::TooLarge));
        assert_eq!(read.form, None);
        let why = Written::of_body(body.as_bytes())
            .message(|message| rules.mapping.explain(message).len());
        assert_eq!(why, 0, "no rule was tried");
    }
    assert!(matches!(
        read_body(&within, &rules).decoded,
        Decoded::Event(_)
    ));
}

#[test]
fn a_text_that_holds_too_much_json_is_too_large_for_the_rule_that_reads_it() {
    let inner = format!("[{}1]", "1,".repeat(3_000_000));
    let parsing = Definition {
        parse: vec!["$.body.payload".to_owned()],
        ..rule("@.body.kind == 'deleted'", "$.body.user")
    };
    let body = json!({ "kind": "deleted", "user": "pii-1", "payload": inner }).to_string();
    assert_eq!(of(&parsing, &body), malformed(Malformed::TooLarge));
}
