//! The configuration: its sections, where they come from, and what is refused.
//!
//! Values come from [`DEFAULT_FILE`], then from TOML files, then from the environment, then from `--set`; the later
//! one wins. Everything that can be known without a connection is checked here, and every problem is told
//! in one go. This module knows nothing of the broker or the API beyond names, limits and the form of URLs, and it opens
//! no connection; of the file system it reads what keys point to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod amqp_url;
mod environment;
mod events;
mod file;
mod im;
mod in_units;
mod keys;
mod load;
mod pem;
mod presets;
mod problem;
mod rabbitmq;
mod remedy;
mod rules;
mod schema;
mod secret;
mod sections;
mod sources;
mod tables;
mod traces;
mod typed;
mod warnings;

pub use amqp_url::{AmqpUrl, AmqpUrls};
pub use events::{EventFormat, Events, PresetUse, Rule, RuleError, Texts, Unmatched};
pub use im::{Credentials, Im, MissingAccount};
pub use pem::{PemError, read_pem};
pub use presets::{Parameter, Preset, PresetError, preset, presets};
pub use problem::{Origin, Place, Problem, Problems};
pub use rabbitmq::{RabbitMq, UrlsError};
pub use schema::schema;
pub use secret::{Secret, SecretError, SecretText};
pub use sections::{Admin, Log, LogFormat, Retry, Shutdown, Window};
pub use sources::Sources;
pub use traces::{Traces, TracesError};

/// The commented default file: the only place where defaults are written.
pub const DEFAULT_FILE: &str = include_str!("../config/default.toml");

/// The whole configuration, loaded and checked.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tagsweep", description = "Configuration file of tagsweep.")]
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

/// Loads `files` and `environment`; see [`Sources::load`].
///
/// # Errors
/// As [`Sources::load`].
pub fn load<S: DeserializeOwned + JsonSchema>(
    files: &[PathBuf],
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<S, Problems> {
    let sources = Sources {
        files: files.to_vec(),
        environment: BTreeMap::from_iter(environment).into_iter().collect(),
        ..Sources::default()
    };
    sources.load()
}

/// Where traces are sent, by the standard variables of OpenTelemetry; nothing where they are off.
///
/// # Errors
/// When the variables ask for what cannot be done.
pub fn traces_from_process() -> Result<Option<Traces>, TracesError> {
    traces::from(|name| std::env::var(name).ok())
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
                if !value.is_null() {
                    text += &format!("{key} = {}\n", remedy::in_toml(value));
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

    /// These sections, and all others as they are by default.
    pub fn with_defaults(im: Im, window: Window) -> Settings {
        let defaults = load::defaults();
        Settings {
            im,
            window,
            ..defaults
        }
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
