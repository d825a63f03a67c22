//! The section `rabbitmq`: the broker, and what the worker uses on it.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::amqp_url::{self, AmqpUrl, AmqpUrls};
use super::in_units::InUnits;
use super::secret::{Secret, SecretError};

/// The broker: where it is, and the names of what is used on it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RabbitMq {
    /// One URL, or several that are tried in turn.
    pub url: Option<AmqpUrls>,
    /// File that holds the URLs, one a line. It takes the place of the built-in url.
    pub url_file: Option<PathBuf>,
    /// PEM file with the CA certificates to trust instead of the system's. For amqps URLs.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client certificate. For amqps URLs, together with key_file.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the key of the client certificate.
    pub key_file: Option<PathBuf>,
    /// Topic exchange that the events come from.
    pub exchange: String,
    /// Routing keys that bind the queue to the exchange.
    pub routing_keys: Vec<String>,
    /// Durable quorum queue with a single active consumer.
    pub queue: String,
    /// Exchange that dead letters are published to.
    pub dead_letter_exchange: String,
    /// Durable quorum queue that dead letters end in.
    pub dead_letter_queue: String,
    /// true: declare exchanges, queues and bindings; false: only check that they are there.
    pub declare: bool,
    /// Use a queue that can lose messages all the same.
    pub accept_lossy_queue: bool,
    /// Delivery limit of the queue. Close to it, an event is dead-lettered instead of returned once more. Unset: what
    /// the queue was declared with, 20 where that is not known.
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub delivery_limit: Option<u32>,
    /// Deliveries that the broker sends ahead, each in memory until it is settled. Unset:
    /// window.max_ids x (im.max_in_flight + 2).
    #[schemars(range(min = 1, max = 65_535))]
    pub prefetch: Option<u16>,
    /// Consumer timeout that the broker is set to.
    #[serde(with = "InUnits")]
    pub consumer_timeout: Duration,
    /// Longest time that a delivery is held without being settled. Below consumer_timeout.
    #[serde(with = "InUnits")]
    pub hold_limit: Duration,
}

/// Why there are no broker URLs to be had.
#[derive(Debug, thiserror::Error)]
pub enum UrlsError {
    #[error(transparent)]
    File(#[from] SecretError),
    /// Says what is wrong with which URL, and does not show it.
    #[error("{0}")]
    Invalid(String),
    #[error("no URL is given")]
    NoUrl,
}

impl RabbitMq {
    /// The broker's URLs as they are now: a file is read anew each time.
    ///
    /// # Errors
    /// When the file cannot be read or does not hold URLs.
    pub fn urls(&self) -> Result<Vec<AmqpUrl>, UrlsError> {
        let urls = match &self.url_file {
            Some(path) => {
                let content = Secret::File(path.clone()).load()?;
                let lines: Vec<&str> = content
                    .expose_secret()
                    .lines()
                    .filter(|line| !line.trim().is_empty())
                    .collect();
                amqp_url::parse_all(lines.into_iter()).map_err(UrlsError::Invalid)?
            }
            None => self
                .url
                .as_ref()
                .map_or(Vec::new(), |urls| urls.as_slice().to_vec()),
        };
        if urls.is_empty() {
            return Err(UrlsError::NoUrl);
        }
        Ok(urls)
    }
}
