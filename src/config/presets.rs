//! The presets: rules for well-known producers, as files of data.
//!
//! A name that the producer's user chooses is a parameter. It is written `{NAME}` in the rules, and `{NAME:regex}`
//! within a regular expression.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::events::{PresetUse, Rule, Texts};
use super::keys;

/// One preset, as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    #[serde(skip)]
    pub name: &'static str,
    /// The file as it is.
    #[serde(skip)]
    pub text: &'static str,
    /// The producer, in one line.
    pub about: String,
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    events: Rules,
}

/// What the producer's user has named.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    pub about: String,
    /// Required without one.
    pub default: Option<String>,
    pub example: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    mapping: Vec<Rule>,
}

/// Why a preset cannot be used as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresetError {
    #[error("is no preset{}; `tagsweep events presets` lists them", did_you_mean(.nearest.as_deref()))]
    Unknown { nearest: Option<String> },
    #[error("has no name; write {{ name = \"masstransit\", message = \"…\" }}")]
    NoName,
    #[error("has no parameter {name}{}", did_you_mean(.nearest.as_deref()))]
    UnknownParameter {
        name: String,
        nearest: Option<String>,
    },
    #[error("needs {name} ({about}); write {{ name = \"{preset}\", {name} = \"{example}\" }}")]
    MissingParameter {
        preset: &'static str,
        name: String,
        about: String,
        example: String,
    },
    #[error("has an empty {0}")]
    EmptyParameter(String),
    #[error(
        "takes the name of a field as {0}, and no path; a rule of your own below [[events.mapping]] takes one"
    )]
    Path(String),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"))
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../config/presets/", $name, ".toml")))),*]
    };
}

const FILES: [(&str, &str); 30] = files![
    "auth0",
    "authentik",
    "cap",
    "celery",
    "clerk",
    "cognito",
    "dapr",
    "debezium",
    "easynetq",
    "firebase",
    "fusionauth",
    "gitlab",
    "keycloak",
    "knative",
    "laravel",
    "logto",
    "masstransit",
    "maxwell",
    "mongodb",
    "nestjs",
    "nservicebus",
    "okta",
    "opendsr",
    "shopify",
    "spring",
    "supabase",
    "symfony",
    "wolverine",
    "workos",
    "zitadel",
];

/// Parameters that name a field.
const FIELDS: [&str; 2] = ["user", "column"];

/// All of them, by name.
pub fn presets() -> impl ExactSizeIterator<Item = Preset> {
    FILES.into_iter().map(|(name, text)| parse(name, text))
}

/// The preset of this name.
///
/// # Errors
/// When there is none, with the name that was probably meant.
pub fn preset(name: &str) -> Result<Preset, PresetError> {
    let known = FILES.into_iter().find(|(known, _)| *known == name);
    let Some((name, text)) = known else {
        let nearest = keys::nearest(name, FILES.iter().map(|(name, _)| *name));
        let nearest = nearest.map(str::to_owned);
        return Err(PresetError::Unknown { nearest });
    };
    Ok(parse(name, text))
}

#[expect(
    clippy::expect_used,
    reason = "the files are compiled in, and a test parses each"
)]
fn parse(name: &'static str, text: &'static str) -> Preset {
    let preset: Preset = toml::from_str(text).expect("a preset is well-formed");
    Preset {
        name,
        text,
        ..preset
    }
}

/// The rules of a preset, with its parameters filled in.
pub(super) fn expand(asked: &PresetUse) -> Result<Vec<Rule>, PresetError> {
    if asked.name().is_empty() {
        return Err(PresetError::NoName);
    }
    let preset = preset(asked.name())?;
    let given = asked.parameters();
    if let Some(name) = given
        .keys()
        .find(|name| !preset.parameters.contains_key(**name))
    {
        let nearest = keys::nearest(name, preset.parameters.keys().map(String::as_str));
        return Err(PresetError::UnknownParameter {
            name: (*name).to_owned(),
            nearest: nearest.map(str::to_owned),
        });
    }
    let mut values = Vec::new();
    for (name, parameter) in &preset.parameters {
        let value = given.get(name.as_str()).copied();
        let value = value.or(parameter.default.as_deref());
        match value.map(str::trim) {
            Some("") => return Err(PresetError::EmptyParameter(name.clone())),
            Some(value)
                if FIELDS.contains(&name.as_str()) && value.starts_with(['$', '@', '/']) =>
            {
                return Err(PresetError::Path(name.clone()));
            }
            Some(value) => values.push((name.as_str(), value)),
            None => {
                return Err(PresetError::MissingParameter {
                    preset: preset.name,
                    name: name.clone(),
                    about: parameter.about.clone(),
                    example: parameter.example.clone(),
                });
            }
        }
    }
    let rules = preset.events.mapping.into_iter();
    Ok(rules.map(|rule| filled(rule, &values)).collect())
}

/// Replaces parameters by their values.
fn filled(rule: Rule, values: &[(&str, &str)]) -> Rule {
    let expression = |text: String| fill(&text, values, in_quotes);
    let expressions = |texts: Texts| Texts(texts.0.into_iter().map(expression).collect());
    let steps = rule.transform.0.iter();
    let transform = steps
        .map(|step| fill(step, values, str::to_owned))
        .collect();
    Rule {
        when: expression(rule.when),
        users: expressions(rule.users),
        parse: expressions(rule.parse),
        transform: Texts(transform),
        id: rule.id.map(expression),
        time: rule.time.map(expression),
        ..rule
    }
}

fn fill(text: &str, values: &[(&str, &str)], escape: fn(&str) -> String) -> String {
    let mut text = text.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), &escape(value));
        let pattern = escape(&regex::escape(value));
        text = text.replace(&format!("{{{name}:regex}}"), &pattern);
    }
    text
}

/// As it stands within the single quotes of RFC 9535.
fn in_quotes(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '\\' | '\'' => escaped.extend(['\\', letter]),
            letter if letter.is_control() => escaped += &format!("\\u{:04x}", u32::from(letter)),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
