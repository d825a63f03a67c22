//! Changes of a message.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A change of one field of a body.
#[derive(Clone, Debug)]
pub enum Change {
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

/// Whom no message names.
pub const STRANGER: &str = "pii-stranger";
/// What stands in a changed place.
pub const OTHER: &str = "other";

pub fn any() -> impl Strategy<Value = Change> {
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
        Just(json!(OTHER)),
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

impl Change {
    /// Changes the `at`-th field of all objects, counted in depth; beyond the last nothing happens.
    pub fn apply(&self, value: &mut Value, at: usize) {
        self.descend(value, &mut at.clone());
    }

    fn descend(&self, value: &mut Value, at: &mut usize) {
        match value {
            Value::Object(fields) => {
                let names: Vec<String> = fields.keys().cloned().collect();
                for name in names {
                    if *at == 0 {
                        *at = usize::MAX;
                        return self.apply_here(fields, &name);
                    }
                    *at -= 1;
                    if let Some(inner) = fields.get_mut(&name) {
                        self.descend(inner, at);
                    }
                    if *at == usize::MAX {
                        return;
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.descend(item, at);
                    if *at == usize::MAX {
                        return;
                    }
                }
            }
            _ => {}
        }
    }

    fn apply_here(&self, fields: &mut Map<String, Value>, name: &str) {
        let old = fields.remove(name).unwrap_or_default();
        match self {
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
}

/// The body without the field at a JSON Pointer, or with another value there; nothing where its object is not there.
pub fn replaced(body: &Value, pointer: &str, with: Option<&Value>) -> Option<Value> {
    let mut body = body.clone();
    let (parent, name) = pointer.rsplit_once('/')?;
    match (body.pointer_mut(parent)?, with) {
        (Value::Object(fields), Some(with)) => {
            fields.insert(name.to_owned(), with.clone());
        }
        (Value::Object(fields), None) => {
            fields.remove(name);
        }
        _ => return None,
    }
    Some(body)
}

/// The pointers to all places where this text stands.
pub fn places_of(text: &str, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    gather(text, value, "", &mut found);
    found
}

fn gather(text: &str, value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::String(here) if here == text => found.push(at.to_owned()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                gather(text, item, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                gather(text, field, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}
