//! The keys that exist. They are read from the JSON Schema, so that the structs are the only list.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde_json::Value;

use super::{in_units, schema, sections};

/// All keys by their dotted names.
pub(super) type Keys = BTreeMap<String, Key>;

/// What is known of one key.
pub(super) struct Key {
    pub kind: Kind,
    /// Its value must not be shown.
    pub secret: bool,
    pub default: Option<Value>,
}

/// What a value must look like, as far as its section's type does not say better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer {
        min: u64,
        max: u64,
    },
    Boolean,
    Duration,
    /// IP address and port, or nothing.
    Address,
    Choice(Vec<String>),
    Text,
    List,
    TextOrList,
    /// A list of tables.
    Rules,
    /// A list of texts and tables.
    Presets,
}

pub(super) fn known() -> Keys {
    let schema = schema::schema();
    let mut keys = BTreeMap::new();
    for (section, key, shape) in each_key(&schema) {
        keys.insert(
            format!("{section}.{key}"),
            Key {
                kind: kind(shape),
                secret: shape["writeOnly"] == true,
                default: shape.get("default").cloned(),
            },
        );
    }
    keys
}

/// The sections that `S` has.
pub(super) fn sections_in<S: JsonSchema>() -> BTreeSet<String> {
    let schema = schema::of::<S>();
    let names = properties(&schema).map(|(section, _)| section.to_owned());
    names.collect()
}

/// The sections of all keys.
pub(super) fn sections_of(known: &Keys) -> BTreeSet<&str> {
    let names = known.keys().filter_map(|name| name.split_once('.'));
    names.map(|(section, _)| section).collect()
}

/// Walks over the keys of a schema of two levels: section, key, the key's own schema.
pub(super) fn each_key(schema: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    properties(schema).flat_map(|(section, shape)| {
        properties(shape).map(move |(key, shape)| (section, key, shape))
    })
}

fn properties(shape: &Value) -> impl Iterator<Item = (&str, &Value)> {
    shape["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, shape)| (name.as_str(), shape))
}

fn kind(shape: &Value) -> Kind {
    let is = |name: &str| {
        shape["type"] == name
            || shape["type"]
                .as_array()
                .is_some_and(|types| types.iter().any(|kind| kind == name))
    };
    if is("integer") {
        Kind::Integer {
            min: shape["minimum"].as_u64().unwrap_or(0),
            max: shape["maximum"].as_u64().unwrap_or(u64::MAX),
        }
    } else if is("boolean") {
        Kind::Boolean
    } else if is("array") && is("string") {
        Kind::TextOrList
    } else if shape
        .pointer("/items/type")
        .is_some_and(|kind| kind == "object")
    {
        Kind::Rules
    } else if shape.pointer("/items/anyOf").is_some() {
        Kind::Presets
    } else if is("array") {
        Kind::List
    } else if shape["pattern"] == in_units::PATTERN {
        Kind::Duration
    } else if shape["pattern"] == sections::ADDRESS {
        Kind::Address
    } else if let Some(choices) = shape["enum"].as_array() {
        let choices = choices.iter().filter_map(Value::as_str);
        Kind::Choice(choices.map(str::to_owned).collect())
    } else {
        Kind::Text
    }
}

/// The known name that was probably meant, if one is near enough.
///
/// The right key in the wrong section is meant too: `max_ids`, or `im.max_wait`.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| {
            let misplaced = last_part(name) == last_part(unknown);
            (
                if misplaced {
                    1
                } else {
                    strsim::levenshtein(unknown, name)
                },
                name,
            )
        })
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 4 + 1)
        .map(|(_, name)| name)
}

pub(super) fn last_part(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_key_and_nonsense_finds_none() {
        let keys = known();
        for (unknown, expected) in [
            ("im.max_inflight", Some("im.max_in_flight")),
            ("im.secret_kye", Some("im.secret_key")),
            ("rabitmq.queue", Some("rabbitmq.queue")),
            ("max_wait", Some("window.max_wait")),
            ("im.grace_period", Some("shutdown.grace_period")),
            ("im.secret.key", Some("im.secret_key")),
            ("im.colour", None),
            ("nonsense", None),
        ] {
            let found = nearest(unknown, keys.keys().map(String::as_str));
            assert_eq!(found, expected, "{unknown}");
        }
    }

    #[test]
    fn the_schema_says_what_each_kind_of_value_must_look_like() {
        let keys = known();
        for (key, kind) in [
            ("im.max_in_flight", Kind::Integer { min: 1, max: 1000 }),
            (
                "rabbitmq.prefetch",
                Kind::Integer {
                    min: 1,
                    max: 65_535,
                },
            ),
            ("rabbitmq.declare", Kind::Boolean),
            ("window.max_wait", Kind::Duration),
            ("im.secret_key", Kind::Text),
            (
                "im.missing_account",
                Kind::Choice(vec!["done".to_owned(), "dead-letter".to_owned()]),
            ),
            ("events.types", Kind::List),
            ("rabbitmq.url", Kind::TextOrList),
            ("events.mapping", Kind::Rules),
            ("events.presets", Kind::Presets),
        ] {
            assert_eq!(keys[key].kind, kind, "{key}");
        }
        let secrets: Vec<&str> = keys
            .iter()
            .filter(|(_, key)| key.secret)
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(
            secrets,
            [
                "admin.token",
                "im.proxy_url",
                "im.secret_key",
                "im.user_sig",
                "rabbitmq.url"
            ]
        );
    }
}
