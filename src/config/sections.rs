//! The small sections: windows, retries, admin, shutdown, logs.

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
    /// Most user IDs in one call.
    #[schemars(range(min = 1, max = 100))]
    pub max_ids: usize,
    /// Longest time that a user ID waits for others to share its call. When events are rare, it does not wait.
    #[serde(with = "InUnits")]
    pub max_wait: Duration,
}

/// Retries of one window after transient failures.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Fewest refusals of a single user, while calls for others succeed, before the user is dead-lettered.
    #[schemars(range(min = 1, max = 1000))]
    pub max_attempts: u32,
    /// Wait before the first retry.
    #[serde(with = "InUnits")]
    pub backoff_min: Duration,
    /// Longest wait between two retries.
    #[serde(with = "InUnits")]
    pub backoff_max: Duration,
}

/// HTTP: health, metrics and the console.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// IP address and port to serve /livez, /readyz, /metrics and the console on, such as 0.0.0.0:9464. Empty: off.
    #[serde(with = "Listen")]
    pub listen: Option<SocketAddr>,
    /// /livez fails if events are held for this long without progress, although the worker is not paused. Above
    /// im.request_timeout and retry.backoff_max.
    #[serde(with = "InUnits")]
    pub stall_limit: Duration,
    /// Names under which the console may be opened, besides IP addresses and localhost: the host of an ingress, such
    /// as tagsweep.example.com. Without a port.
    pub hosts: Vec<String>,
    /// Token to log in to the console with. Without one, the console is read-only.
    pub token: Option<SecretText>,
    /// File that holds the token. It is read anew at each login.
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
    /// Time to finish after the first SIGTERM or SIGINT. Above im.request_timeout.
    #[serde(with = "InUnits")]
    pub grace_period: Duration,
}

/// Logs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Format of log lines.
    pub format: LogFormat,
    /// off, error, warn, info, debug or trace. Also per module: warn,tagsweep::shutdown=info.
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON lines otherwise.
    Auto,
    /// Readable text.
    Text,
    /// One JSON object per line.
    Json,
}

/// What the schema says of an address: nothing, or something and a port.
pub(super) const ADDRESS: &str = "^(.+:[0-9]{1,5})?$";

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
        text.parse().map(Some).map_err(de::Error::custom)
    }
}

impl JsonSchema for Listen {
    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": ADDRESS })
    }
}
