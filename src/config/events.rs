//! The section `events`: which events are acted on, and the rules that read other forms.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::presets;
use crate::event::mapping::{Definition, Mapping};
use crate::event::{Format, Rules};

/// Events: how they are read and which are acted on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Format of messages for which no rule holds.
    pub format: EventFormat,
    /// Shipped rules for well-known producers, tried in this order after your own, those that ignore at the end: names,
    /// or tables with a name and the preset's parameters. `tagsweep events presets` lists them.
    pub presets: Vec<PresetUse>,
    /// Your own rules, tried in order.
    #[serde(default)]
    pub mapping: Vec<Rule>,
    /// What to do with a message in which no form and no type is recognised.
    pub unmatched: Unmatched,
    /// Event types to act on. Events of other types are acknowledged and counted. Does not concern rules.
    pub types: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventFormat {
    /// CloudEvents if the message says so, otherwise plain.
    Auto,
    /// The plain form: a JSON object with type and user_id.
    Plain,
    /// CloudEvents 1.0, structured or binary.
    CloudEvents,
    /// Only rules decide.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unmatched {
    /// Acknowledge it, count it and log a warning.
    Ignore,
    /// Dead-letter it as unrecognised-event.
    DeadLetter,
}

/// A rule: which messages it is for, and where their users are. Expressions are RFC 9535 (JSONPath) on one document:
/// body, headers, properties, routing_key, exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name in logs, metrics and `tagsweep events test`.
    pub name: String,
    /// Filter: the rule holds where this is true. @ is the document: @.body.type == 'user.deleted'
    pub when: String,
    /// Queries for the user IDs, tried in order; the first that selects anything counts: $.body.user_id
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub users: Texts,
    /// Paths of texts that hold JSON and are read as such first: $.body.payload
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub parse: Texts,
    /// Steps from what was selected to the user ID, in order: take REGEX (its first group), uuid (without hyphens, in
    /// lower case), lower, prefix TEXT, strip_prefix TEXT, percent_decode, php PATH (a field of a serialized PHP object).
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub transform: Texts,
    /// Path of the event's ID. Without it: the message-id property, otherwise a hash of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Path of the time of the event: RFC 3339, or seconds or milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The users are reset, not deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reset: bool,
    /// Acknowledge and count the message, and clear nobody.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignore: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

/// One text, or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Texts(pub Vec<String>);

impl Texts {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Texts, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "must be a text or a list of texts")]
        enum Form {
            One(String),
            Several(Vec<String>),
        }
        Ok(Texts(match Form::deserialize(deserializer)? {
            Form::One(text) => vec![text],
            Form::Several(texts) => texts,
        }))
    }
}

impl JsonSchema for Texts {
    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}

/// A preset by its name, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PresetUse {
    Name(String),
    /// With `name`.
    Table(BTreeMap<String, String>),
}

impl PresetUse {
    pub fn name(&self) -> &str {
        match self {
            PresetUse::Name(name) => name,
            PresetUse::Table(table) => table.get("name").map_or("", String::as_str),
        }
    }

    pub(super) fn parameters(&self) -> BTreeMap<&str, &str> {
        let table = match self {
            PresetUse::Name(_) => None,
            PresetUse::Table(table) => Some(table),
        };
        let pairs = table.into_iter().flatten();
        pairs
            .filter(|(key, _)| *key != "name")
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }
}

impl<'de> Deserialize<'de> for PresetUse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PresetUse, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "must be a name, or a table of texts with a name"
        )]
        enum Form {
            Name(String),
            Table(BTreeMap<String, String>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Name(name) => PresetUse::Name(name),
            Form::Table(table) => PresetUse::Table(table),
        })
    }
}

impl JsonSchema for PresetUse {
    fn schema_name() -> Cow<'static, str> {
        "PresetUse".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "name": { "type": "string" } },
                    "additionalProperties": { "type": "string" },
                },
            ],
        })
    }
}

/// Something is wrong with a rule or a preset. The text names it, and the place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("events.{key}: {text}")]
pub struct RuleError {
    /// `mapping` or `presets`.
    pub key: &'static str,
    /// Which of them, counted from 0.
    pub item: Option<usize>,
    pub text: String,
}

impl Events {
    /// The rules for reading messages.
    ///
    /// # Errors
    /// All that is wrong with own rules and with presets, in one go.
    pub fn rules(&self) -> Result<Rules, Vec<RuleError>> {
        let format = match self.format {
            EventFormat::Auto => Format::Auto,
            EventFormat::Plain => Format::Plain,
            EventFormat::CloudEvents => Format::CloudEvents,
            EventFormat::None => Format::None,
        };
        Ok(Rules {
            format,
            types: self.types.clone(),
            mapping: self.mapping()?,
        })
    }

    fn mapping(&self) -> Result<Mapping, Vec<RuleError>> {
        let mut errors = self.repeated_names();
        let mut of_presets = Vec::new();
        for (item, preset) in self.presets.iter().enumerate() {
            if self
                .presets
                .iter()
                .take(item)
                .any(|earlier| earlier == preset)
            {
                errors.push(of_preset(item, preset, "stands there twice; remove one"));
                continue;
            }
            match presets::expand(preset) {
                Ok(rules) => of_presets.extend(rules),
                Err(error) => errors.push(of_preset(item, preset, error)),
            }
        }
        // What one preset ignores, another one may act on, or the same one with other parameters.
        of_presets.sort_by_key(|rule| rule.ignore);
        let rules = self.mapping.iter().chain(&of_presets);
        let definitions: Vec<Definition> = rules.map(definition).collect();
        match Mapping::compile(&definitions) {
            Ok(mapping) if errors.is_empty() => Ok(mapping),
            Ok(_) => Err(errors),
            Err(problems) => {
                errors.extend(problems.iter().map(|problem| {
                    let rule = definitions.get(problem.rule);
                    let name = rule.map_or("", |rule| rule.name.as_str());
                    let (key, item) = match problem.rule < self.mapping.len() {
                        true => ("mapping", Some(problem.rule)),
                        // Its own rules are sound; a parameter can make them too long.
                        false => ("presets", None),
                    };
                    let text = format!("rule \"{name}\": {} {}", problem.key, problem.fault);
                    RuleError { key, item, text }
                }));
                Err(errors)
            }
        }
    }

    fn repeated_names(&self) -> Vec<RuleError> {
        let mut errors = Vec::new();
        for (index, rule) in self.mapping.iter().enumerate() {
            let mut refuse = |text| {
                errors.push(RuleError {
                    key: "mapping",
                    item: Some(index),
                    text,
                });
            };
            let mut earlier = self.mapping.iter().take(index);
            if rule.name.trim().is_empty() {
                refuse(format!("rule {} has an empty name", index + 1));
            } else if earlier.any(|earlier| earlier.name == rule.name) {
                refuse(format!(
                    "two rules are named \"{}\"; logs and metrics could not tell them apart",
                    rule.name
                ));
            }
        }
        errors
    }
}

fn of_preset(item: usize, preset: &PresetUse, error: impl ToString) -> RuleError {
    let error = error.to_string();
    let text = match preset.name() {
        "" => error,
        name => format!("\"{name}\" {error}"),
    };
    RuleError {
        key: "presets",
        item: Some(item),
        text,
    }
}

fn definition(rule: &Rule) -> Definition {
    Definition {
        name: rule.name.clone(),
        when: rule.when.clone(),
        users: rule.users.0.clone(),
        parse: rule.parse.0.clone(),
        transform: rule.transform.0.clone(),
        id: rule.id.clone(),
        time: rule.time.clone(),
        reset: rule.reset,
        ignore: rule.ignore,
    }
}
