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
    /// One URL, or a list of URLs to try in turn.
    pub url: Option<AmqpUrls>,
    /// File with the URLs, one per line, instead of url.
    pub url_file: Option<PathBuf>,
    /// File with the user name, instead of the one in the URL.
    pub username_file: Option<PathBuf>,
    /// File with the password, instead of the one in the URL.
    pub password_file: Option<PathBuf>,
    /// CA certificates (PEM) for amqps:// URLs. They replace the system's: no others are trusted.
    pub ca_file: Option<PathBuf>,
    /// Client certificate (PEM) for amqps:// URLs. Together with key_file.
    pub cert_file: Option<PathBuf>,
    /// Key of the client certificate (PEM). Together with cert_file.
    pub key_file: Option<PathBuf>,
    /// Topic exchange that events are published to.
    pub exchange: String,
    /// Routing keys that bind the queue to the exchange.
    pub routing_keys: Vec<String>,
    /// Queue to consume: a durable quorum queue with a single active consumer.
    pub queue: String,
    /// Fanout exchange for events that cannot be processed.
    pub dead_letter_exchange: String,
    /// Durable quorum queue for events that cannot be processed.
    pub dead_letter_queue: String,
    /// true: create missing exchanges, queues and bindings at startup. false: only check that they exist.
    pub declare: bool,
    /// Use a queue that can lose messages.
    pub accept_lossy_queue: bool,
    /// Delivery limit of the queue: how often RabbitMQ redelivers an event before it drops it. Before that, the event
    /// is dead-lettered. Unset: the limit that the queue was declared with, or 20 if that is unknown.
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub delivery_limit: Option<u32>,
    /// Unacknowledged deliveries at a time, held in memory. Unset: window.max_ids x (im.max_in_flight + 2).
    #[schemars(range(min = 1, max = 65_535))]
    pub prefetch: Option<u16>,
    /// Consumer timeout that RabbitMQ is configured with.
    #[serde(with = "InUnits")]
    pub consumer_timeout: Duration,
    /// Longest time to hold a delivery without acknowledging it. Below consumer_timeout.
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
    /// The broker's URLs as they are now, with the login of its files: these are read anew each time.
    ///
    /// # Errors
    /// When a file cannot be read, is empty or does not hold URLs.
    pub fn urls(&self) -> Result<Vec<AmqpUrl>, UrlsError> {
        let urls = self.urls_as_given()?;
        let load = |path: &PathBuf| Secret::File(path.clone()).load();
        let username = self.username_file.as_ref().map(load).transpose()?;
        let password = self.password_file.as_ref().map(load).transpose()?;
        let [username, password] =
            [&username, &password].map(|secret| secret.as_ref().map(ExposeSecret::expose_secret));
        let with_login = |url: AmqpUrl| url.with_login(username, password);
        Ok(urls.into_iter().map(with_login).collect())
    }

    /// The URLs with the login that stands in them.
    pub(crate) fn urls_as_given(&self) -> Result<Vec<AmqpUrl>, UrlsError> {
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
