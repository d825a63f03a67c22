//! The small sections: windows, events, retries, admin, shutdown, logs.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::in_units::InUnits;
use super::secret::{Secret, SecretText};

/// Windows: the user IDs of one call.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// User IDs in one call at most.
    #[schemars(range(min = 1, max = 100))]
    pub max_ids: usize,
    /// Longest time that a user ID waits for others. In a quiet queue it does not wait at all: a window that is
    /// not full may start when max_wait has passed since the last one that was not full.
    #[serde(with = "InUnits")]
    pub max_wait: Duration,
}

/// Events: how they are read and which are acted on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// How a delivered body is read.
    pub format: EventFormat,
    /// Event types that are acted on; others are acknowledged and counted.
    pub types: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventFormat {
    /// CloudEvents where the message says so, else plain.
    Auto,
    /// The plain form: a JSON object with type and user_id.
    Plain,
    /// CloudEvents 1.0, structured or binary.
    CloudEvents,
}

impl<'de> Deserialize<'de> for EventFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "auto" => Ok(EventFormat::Auto),
            "plain" => Ok(EventFormat::Plain),
            "cloudevents" => Ok(EventFormat::CloudEvents),
            _ => Err(de::Error::custom(
                "must be auto, plain or cloudevents; presets and mappings are not in this version",
            )),
        }
    }
}

/// Retries of one window after transient failures.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Fewest refusals of a user alone, while other calls succeed, before it is dead-lettered as retries-exhausted.
    #[schemars(range(min = 1, max = 1000))]
    pub max_attempts: u32,
    /// Pause before the first new try.
    #[serde(with = "InUnits")]
    pub backoff_min: Duration,
    /// Longest pause between two tries.
    #[serde(with = "InUnits")]
    pub backoff_max: Duration,
}

/// HTTP: health and metrics.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// IP address and port, such as 0.0.0.0:9464. Empty = off.
    #[serde(with = "Listen")]
    pub listen: Option<SocketAddr>,
    /// How long events may be held without progress (a finished call, an acknowledgement) outside of a pause
    /// before /livez fails.
    /// Above im.request_timeout and retry.backoff_max.
    #[serde(with = "InUnits")]
    pub stall_limit: Duration,
    /// Needed for anything that changes state.
    pub token: Option<SecretText>,
    /// File that holds the token.
    pub token_file: Option<PathBuf>,
}

impl Admin {
    /// The token, if one is set.
    pub fn token(&self) -> Option<Secret> {
        Secret::of(self.token.as_ref(), self.token_file.as_deref())
    }
}

/// The end of the worker.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// Time to finish, from the first signal on. Above im.request_timeout.
    #[serde(with = "InUnits")]
    pub grace_period: Duration,
}

/// Logs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Form of a log line.
    pub format: LogFormat,
    /// off, error, warn, info, debug or trace, or a list with targets: warn,tagsweep::shutdown=info.
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON lines otherwise.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The serde form of `admin.listen`, where the empty text means off.
struct Listen;

impl Listen {
    fn serialize<S: Serializer>(
        listen: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match listen {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str(""),
        }
    }

    fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            de::Error::custom(
                "must be an IP address with a port, such as 127.0.0.1:9464 or [::]:9464, or empty for off",
            )
        })
    }
}

impl JsonSchema for Listen {
    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
