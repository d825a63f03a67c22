//! Whatever is written as a rule is refused with a place in it or works, and a rule names nobody who does not stand in
//! the message.
//!
//! The input is a rule, a key per line, an empty line, and a message with or without a head.

use std::collections::BTreeSet;

use serde_json::Value;
use tagsweep::event::mapping::{Definition, Mapping};
use tagsweep::event::{self, Decoded, Form, Format, Message, Rules, UserId, Written};

pub fn rules(input: &[u8]) {
    let Some(end) = input.windows(2).position(|two| two == b"\n\n") else {
        return;
    };
    let (head, message) = (&input[..end], &input[end + 2..]);
    let Ok(head) = str::from_utf8(head) else {
        return;
    };
    let definition = definition(head);
    let mapping = match Mapping::compile(std::slice::from_ref(&definition)) {
        Ok(mapping) => mapping,
        Err(problems) => {
            for problem in &problems {
                let length = problem.fault.text.chars().count();
                let column = problem.fault.column.unwrap_or(1);
                assert!((1..=length + 1).contains(&column), "{problem:?}");
                assert!(!problem.fault.to_string().is_empty());
            }
            return assert!(!problems.is_empty(), "refused for nothing");
        }
    };
    let rules = Rules {
        format: Format::None,
        types: Vec::new(),
        mapping,
    };
    let written = Written::parse(message).unwrap_or_else(|_| Written::of_body(message));
    written.message(|message| is_sound(message, &rules, &definition));
}

fn definition(head: &str) -> Definition {
    let mut definition = Definition::default();
    for line in head.lines() {
        let (key, value) = line.split_once(": ").unwrap_or((line, ""));
        let value = value.to_owned();
        match key {
            "when" => definition.when = value,
            "users" => definition.users.push(value),
            "parse" => definition.parse.push(value),
            "transform" => definition.transform.push(value),
            "id" => definition.id = Some(value),
            "time" => definition.time = Some(value),
            "reset" => definition.reset = true,
            "ignore" => definition.ignore = true,
            _ => {}
        }
    }
    definition
}

fn is_sound(message: &Message<'_>, rules: &Rules, definition: &Definition) {
    let read = event::read(message, rules);
    assert_eq!(
        read,
        event::read(message, rules),
        "reading is deterministic"
    );
    let reasons = rules.mapping.explain(message);
    if let Some(Form::Rule(_)) = read.form {
        assert!(reasons.is_empty(), "it holds, and is said not to");
    }
    let Decoded::Event(event) = read.decoded else {
        return;
    };
    assert_eq!(read.form, Some(Form::Rule(0)), "only rules decide");
    assert!(event.key.is_some());
    assert!(!event.users.is_empty() || !event.invalid.is_empty());
    if definition.transform.is_empty() && definition.parse.is_empty() {
        let there = texts(message);
        let valid = event.users.iter().map(UserId::as_str);
        for id in valid.chain(event.invalid.iter().map(String::as_str)) {
            assert!(there.contains(id), "nobody wrote it");
        }
    }
}

/// All texts and integers of a message.
fn texts(message: &Message<'_>) -> BTreeSet<String> {
    let body = message
        .body
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(message.body);
    let body = body.trim_ascii();
    let value = serde_json::from_slice(body);
    let value = value.unwrap_or_else(|_| String::from_utf8_lossy(body).into());
    let around = (message.surroundings)();
    let mut found = BTreeSet::from([message.routing_key.to_owned()]);
    found.extend(message.exchange.map(str::to_owned));
    for value in [value, around.headers.into(), around.properties.into()] {
        gather(value, &mut found);
    }
    found
}

fn gather(value: Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            found.insert(text);
        }
        Value::Number(number) => {
            found.insert(number.to_string());
        }
        Value::Array(items) => items.into_iter().for_each(|item| gather(item, found)),
        Value::Object(fields) => fields
            .into_iter()
            .for_each(|(_, field)| gather(field, found)),
        Value::Null | Value::Bool(_) => {}
    }
}
