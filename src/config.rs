//! The configuration: its sections, where they come from, and what is refused.
//!
//! Values come from [`DEFAULT_FILE`], then from TOML files, then from the environment; the later one
//! wins. Everything that can be known without a connection is checked here, and every problem is told
//! in one go. This module knows nothing of the broker or the API beyond names, limits and the form of URLs, and it opens
//! no connection; of the file system it reads what keys point to.

use std::path::PathBuf;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod amqp_url;
mod environment;
mod im;
mod in_units;
mod keys;
mod load;
mod pem;
mod problem;
mod rabbitmq;
mod rules;
mod secret;
mod sections;
mod traces;
mod warnings;

pub use amqp_url::{AmqpUrl, AmqpUrls};
pub use im::{Credentials, Im, MissingAccount};
pub use pem::{PemError, read_pem};
pub use problem::{Problem, Problems};
pub use rabbitmq::{RabbitMq, UrlsError};
pub use secret::{Secret, SecretError, SecretText};
pub use sections::{Admin, EventFormat, Events, Log, LogFormat, Retry, Shutdown, Window};
pub use traces::{Traces, TracesError};

/// The commented default file: the only place where defaults are written.
pub const DEFAULT_FILE: &str = include_str!("../config/default.toml");

/// The whole configuration, loaded and checked.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tagsweep")]
pub struct Settings {
    pub im: Im,
    pub window: Window,
    pub events: Events,
    pub rabbitmq: RabbitMq,
    pub retry: Retry,
    pub admin: Admin,
    pub shutdown: Shutdown,
    pub log: Log,
}

/// Loads the defaults, then `files` in their order, then the variables `TAGSWEEP__SECTION__KEY` of
/// `environment`, and checks the outcome.
///
/// `S` is [`Settings`], or a struct with some of its sections for fields: a command that reads only these runs
/// although the others are wrong or incomplete. What cannot be read or is misspelt is refused anywhere.
///
/// # Errors
/// All that is wrong, in one go: unknown keys, and in the sections of `S` wrong values and combinations that cannot
/// work.
pub fn load<S: DeserializeOwned + JsonSchema>(
    files: &[PathBuf],
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<S, Problems> {
    load::load(files, environment)
}

/// [`load()`] with the environment of this process.
///
/// # Errors
/// As [`load()`]; also when a variable of ours is not UTF-8.
pub fn load_from_process<S: DeserializeOwned + JsonSchema>(
    files: &[PathBuf],
) -> Result<S, Problems> {
    load(files, environment::of_process()?)
}

/// Where traces are sent, by the standard variables of OpenTelemetry; nothing where they are off.
///
/// # Errors
/// When the variables ask for what cannot be done.
pub fn traces_from_process() -> Result<Option<Traces>, TracesError> {
    traces::from(|name| std::env::var(name).ok())
}

/// The JSON Schema of a configuration file. No key is required in it, because a file may hold a part only.
pub fn schema() -> Value {
    schema_of::<Settings>()
}

fn schema_of<S: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings
            .transforms
            .push(Box::new(RecursiveTransform(only_what_a_file_may_hold)));
    });
    settings.into_generator().into_root_schema_for::<S>().into()
}

/// TOML has no null, and a part of a configuration is one too.
fn only_what_a_file_may_hold(schema: &mut schemars::Schema) {
    schema.remove("required");
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
}

impl Settings {
    /// The effective configuration as TOML, without its secrets: they show as `[redacted]`, and the
    /// passwords of URLs as `***`.
    #[expect(
        clippy::unreachable,
        reason = "every field serializes, and a struct does so as an object"
    )]
    pub fn redacted(&self) -> String {
        let Ok(Value::Object(sections)) = serde_json::to_value(self) else {
            unreachable!("settings are made of tables, texts, numbers and lists");
        };
        let mut text = String::new();
        for (section, keys) in &sections {
            text += &format!("[{section}]\n");
            for (key, value) in keys.as_object().into_iter().flatten() {
                // Without nested tables and nulls, a JSON value is a TOML value.
                if !value.is_null() {
                    text += &format!("{key} = {value}\n");
                }
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len() + 1);
        text
    }

    /// Legal values that deserve a second look, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        warnings::of(self)
    }

    /// How many deliveries the broker sends ahead: set, or derived so that the next window fills
    /// while all others are out. It fits the wire's 16 bits in all settings that were checked.
    pub fn prefetch(&self) -> u16 {
        self.rabbitmq
            .prefetch
            .unwrap_or_else(|| u16::try_from(self.derived_prefetch()).unwrap_or(u16::MAX))
    }

    fn derived_prefetch(&self) -> usize {
        self.window.max_ids * (self.im.max_in_flight + 2)
    }
}

#[cfg(test)]
mod tests;
