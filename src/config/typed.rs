//! A value as its key wants it, or what is wrong with it and how it is written.

use std::net::SocketAddr;

use serde_json::Value;

use super::environment;
use super::in_units;
use super::keys::{Key, Kind};
use super::problem::Origin;
use super::remedy::{advice, meant};
use super::tables;

/// Brings a value into the form that its key has. The environment and `--set` have only texts, so they are read as
/// what the key wants; a file has types, and they must fit.
pub(super) fn typed(name: &str, key: &Key, value: Value, origin: &Origin) -> Result<Value, String> {
    let value = match (value, origin) {
        (Value::String(text), Origin::Variable(_) | Origin::Argument) => {
            environment::value(name, key, origin, text)?
        }
        (value, _) => value,
    };
    let Some(wrong) = wrong(key, &value) else {
        return Ok(value);
    };
    Err(wrong + &advice(name, origin, right(key, &value)))
}

/// What is wrong with a value. It is not repeated: it may be a secret.
fn wrong(key: &Key, value: &Value) -> Option<String> {
    if value.is_object() && key.kind != Kind::Rules {
        return Some("takes one value and has no keys of its own".into());
    }
    match &key.kind {
        Kind::Integer { min, max } => {
            let allowed = min..=max;
            let fits = |number: u64| allowed.contains(&&number);
            match value {
                Value::String(text) if text.trim().parse().is_ok_and(fits) => {
                    Some("must be a number without quotes".into())
                }
                value if value.as_u64().is_some_and(fits) => None,
                _ => Some(format!("must be a whole number from {min} to {max}")),
            }
        }
        Kind::Boolean => match value {
            Value::Bool(_) => None,
            Value::String(text) if ["true", "false"].contains(&text.as_str()) => {
                Some("must be true or false without quotes".into())
            }
            _ => Some("must be true or false".into()),
        },
        Kind::Duration => match value {
            Value::String(text) => in_units::read(text).err(),
            Value::Number(_) => {
                Some("is a duration and needs a unit (ms, s, m or h) and quotes".into())
            }
            _ => Some("must be a duration in quotes".into()),
        },
        Kind::Choice(choices) => {
            let known = |text: &str| choices.iter().any(|choice| choice == text);
            (!value.as_str().is_some_and(known)).then(|| {
                let choices: Vec<String> = choices
                    .iter()
                    .map(|choice| format!("\"{choice}\""))
                    .collect();
                let listed = choices.join(", ");
                let listed = match listed.rsplit_once(", ") {
                    Some((others, last)) => format!("{others} or {last}"),
                    None => listed,
                };
                format!("must be {listed}")
            })
        }
        Kind::Address => {
            let fits = |text: &str| text.is_empty() || text.parse::<SocketAddr>().is_ok();
            (!value.as_str().is_some_and(fits))
                .then(|| "must be an IP address and a port, or empty for off".into())
        }
        Kind::Text => (!value.is_string()).then(|| "must be a text in quotes".into()),
        Kind::List => (!is_list(value)).then(|| "must be a list of texts in quotes".into()),
        Kind::Rules => tables::wrong_rules(value),
        Kind::Presets => tables::wrong_presets(value),
        Kind::TextOrList => (!value.is_string() && !is_list(value))
            .then(|| "must be a text in quotes, or a list of them".into()),
    }
}

/// What was meant, else the default.
fn right(key: &Key, value: &Value) -> Option<Value> {
    if matches!(key.kind, Kind::Rules | Kind::Presets) {
        return None;
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if !items.is_empty() => {
            let items = items.iter().map(|item| match item {
                Value::String(text) => text.clone(),
                item => item.to_string(),
            });
            items.collect::<Vec<_>>().join(",")
        }
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => String::new(),
    };
    let default = key.default.clone().filter(|_| !key.secret);
    meant(key, &text).or(default)
}

fn is_list(value: &Value) -> bool {
    let items = value.as_array();
    items.is_some_and(|items| items.iter().all(Value::is_string))
}
