//! Values that are lists of tables: what is wrong with their shape, by rule and key.

use serde_json::{Map, Value};

use super::keys;

/// What a key of a rule takes.
enum Takes {
    Text,
    Texts,
    Boolean,
}

const KEYS: [(&str, Takes); 9] = [
    ("name", Takes::Text),
    ("when", Takes::Text),
    ("users", Takes::Texts),
    ("parse", Takes::Texts),
    ("transform", Takes::Texts),
    ("id", Takes::Text),
    ("time", Takes::Text),
    ("reset", Takes::Boolean),
    ("ignore", Takes::Boolean),
];

const REQUIRED: [&str; 2] = ["name", "when"];

pub(super) fn wrong_rules(value: &Value) -> Option<String> {
    let rules = value
        .as_array()
        .map(|rules| rules.iter().map(Value::as_object));
    let Some(rules) = rules.and_then(Option::<Vec<_>>::from_iter) else {
        return Some("must be a list of tables; write each rule below [[events.mapping]]".into());
    };
    let wrong = rules.into_iter().enumerate().flat_map(|(index, rule)| {
        let name = match rule.get("name").and_then(Value::as_str) {
            Some(name) => format!("rule \"{name}\""),
            None => format!("rule {}", index + 1),
        };
        let wrong = wrong_in(rule).into_iter();
        wrong.map(move |wrong| format!("{name}: {wrong}"))
    });
    joined(wrong)
}

fn wrong_in(rule: &Map<String, Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, value) in rule {
        let Some((_, takes)) = KEYS.iter().find(|(known, _)| known == key) else {
            let nearest = keys::nearest(key, KEYS.iter().map(|(key, _)| *key));
            wrong.push(match nearest {
                Some(nearest) => format!("no such key {key}; did you mean {nearest}?"),
                None => {
                    let known: Vec<_> = KEYS.iter().map(|(key, _)| *key).collect();
                    format!("no such key {key}; there are {}", known.join(", "))
                }
            });
            continue;
        };
        let (fits, what) = match takes {
            Takes::Text => (value.is_string(), "a text in quotes"),
            Takes::Texts => (
                value.is_string() || is_texts(value),
                "a text in quotes, or a list of them",
            ),
            Takes::Boolean => (value.is_boolean(), "true or false without quotes"),
        };
        if !fits {
            wrong.push(format!("{key} must be {what}"));
        }
    }
    for key in REQUIRED {
        if !rule.contains_key(key) {
            wrong.push(format!("{key} is missing"));
        }
    }
    wrong
}

fn is_texts(value: &Value) -> bool {
    let items = value.as_array();
    items.is_some_and(|items| items.iter().all(Value::is_string))
}

pub(super) fn wrong_presets(value: &Value) -> Option<String> {
    const WRITE: &str = "write presets = [\"clerk\", { name = \"masstransit\", message = \"…\" }]";
    let Some(presets) = value.as_array() else {
        return Some(format!("must be a list; {WRITE}"));
    };
    let wrong = presets.iter().enumerate().filter_map(|(index, preset)| {
        let fits = match preset {
            Value::Object(table) => table.values().all(Value::is_string),
            preset => preset.is_string(),
        };
        let number = index + 1;
        (!fits).then(|| format!("preset {number} must be a name, or a table of texts; {WRITE}"))
    });
    joined(wrong)
}

fn joined(wrong: impl Iterator<Item = String>) -> Option<String> {
    let wrong: Vec<_> = wrong.collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}
