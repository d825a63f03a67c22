//! Messages that are almost those of a producer: whatever is changed in them, nobody is cleared who does not stand
//! where the producer's rule says.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tagsweep::event::Written;

use crate::fixtures::{self, Fixture, read, users};

/// A change of a body, at the `at`-th of its values, counted in depth.
#[derive(Clone, Debug)]
enum Change {
    /// The field goes.
    Drop,
    /// Its name is one that no rule knows.
    Rename,
    /// It is moved into an object of its own.
    Nest(String),
    /// Another value stands there.
    Replace(Value),
    /// Another user stands beside it, under this name.
    Beside(String),
}

const STRANGER: &str = "pii-stranger";

fn change() -> impl Strategy<Value = Change> {
    let name = prop_oneof![
        Just("id"),
        Just("user_id"),
        Just("userId"),
        Just("actor"),
        Just("type"),
        Just("data"),
        Just("target_id"),
    ]
    .prop_map(str::to_owned);
    let value = prop_oneof![
        Just(json!(null)),
        Just(json!("other")),
        Just(json!([])),
        Just(json!({})),
        Just(json!(1.5)),
    ];
    prop_oneof![
        Just(Change::Drop),
        Just(Change::Rename),
        name.clone().prop_map(Change::Nest),
        value.prop_map(Change::Replace),
        name.prop_map(Change::Beside),
    ]
}

/// Applies a change to the `at`-th field of all objects; beyond the last nothing happens.
fn apply(value: &mut Value, at: &mut usize, change: &Change) {
    match value {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                if *at == 0 {
                    *at = usize::MAX;
                    return apply_here(fields, &name, change);
                }
                *at -= 1;
                if let Some(inner) = fields.get_mut(&name) {
                    apply(inner, at, change);
                }
                if *at == usize::MAX {
                    return;
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                apply(item, at, change);
                if *at == usize::MAX {
                    return;
                }
            }
        }
        _ => {}
    }
}

fn apply_here(fields: &mut Map<String, Value>, name: &str, change: &Change) {
    let old = fields.remove(name).unwrap_or_default();
    match change {
        Change::Drop => {}
        Change::Rename => {
            fields.insert(format!("{name}_as_it_was"), old);
        }
        Change::Nest(inner) => {
            fields.insert(name.to_owned(), json!({ inner.as_str(): old }));
        }
        Change::Replace(value) => {
            fields.insert(name.to_owned(), value.clone());
        }
        Change::Beside(other) => {
            fields
                .entry(other.clone())
                .or_insert_with(|| STRANGER.into());
            fields.insert(name.to_owned(), old);
        }
    }
}

/// Fixtures with a JSON body.
fn bodies() -> Vec<(Fixture, Value)> {
    let fixtures = fixtures::all().into_iter().filter_map(|fixture| {
        let body = serde_json::from_slice(fixture.written().body).ok()?;
        Some((fixture, body))
    });
    fixtures.collect()
}

fn with_body(fixture: &Fixture, body: &Value) -> Vec<u8> {
    let own = fixture.written().body.len();
    let head = &fixture.message[..fixture.message.len() - own];
    [head, body.to_string().as_bytes()].concat()
}

#[test]
fn a_changed_message_clears_only_whom_the_original_names_to_be_deleted() {
    let fixtures: Vec<_> = bodies()
        .into_iter()
        .map(|(fixture, body)| (fixture.rules(), fixture, body))
        .collect();
    let cases = (
        0..fixtures.len(),
        proptest::collection::vec((0_usize..40, change()), 1..4),
    );
    let config = ProptestConfig {
        cases: 5_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |((number, changes) in cases)| {
        let (rules, fixture, body) = &fixtures[number];
        let mut changed = body.clone();
        for (at, change) in &changes {
            apply(&mut changed, &mut at.clone(), change);
        }
        let message = with_body(fixture, &changed);
        let written = Written::parse(&message).unwrap();
        let decoded = read(&written, rules).decoded;
        let allowed: BTreeSet<&str> = fixture.expected.users.iter().map(String::as_str).collect();
        for user in users(&decoded) {
            // A field that takes the place of the user's own is where the rule says.
            let is_placed = user == STRANGER || user == "other";
            prop_assert!(
                allowed.contains(user) || is_placed && !fixture.is_sibling(),
                "{}: {changed}",
                fixture.name
            );
        }
        for never in &fixture.expected.never {
            prop_assert!(!users(&decoded).contains(&never.as_str()), "{}: {changed}", fixture.name);
        }
    });
}
