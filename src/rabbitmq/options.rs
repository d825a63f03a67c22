//! Options of a broker session.

use std::{fmt, sync::Arc, time::Duration};

use secrecy::SecretString;

use super::{Part, connection};

/// Everything the broker side needs to know; plain values, already validated.
///
/// Names and routing keys are at most 255 bytes, as AMQP has it.
#[derive(Clone, Debug)]
pub struct Options {
    /// `amqp://` or `amqps://`, tried in turn. At least one.
    pub urls: Vec<SecretString>,
    /// Called before each session, since passwords and certificates change.
    pub newer: Option<AccessSource>,
    /// Trust roots for `amqps://` as PEM, instead of the system's.
    pub ca_pem: Option<String>,
    pub identity: Option<Identity>,
    pub exchange: String,
    pub routing_keys: Vec<String>,
    pub queue: String,
    pub dead_letter_exchange: String,
    pub dead_letter_queue: String,
    /// `true`: create what is missing. `false`: only check that it is there.
    pub declare: bool,
    /// Accept a queue that can lose messages.
    pub accept_lossy_queue: bool,
    /// Number of returns after which the broker drops an event, if the queue's own limit is unknown.
    pub delivery_limit: Option<u32>,
    pub prefetch: u16,
    pub timing: Timing,
}

impl Options {
    pub(super) fn name_of(&self, part: Part) -> &str {
        match part {
            Part::Exchange => &self.exchange,
            Part::Queue => &self.queue,
            Part::DeadLetterExchange => &self.dead_letter_exchange,
            Part::DeadLetterQueue => &self.dead_letter_queue,
        }
    }

    /// Minimum time after a sign of life in which the broker does not give the queue to another worker: it drops a
    /// peer only after a whole heartbeat of silence. Half of that, for safety.
    pub fn lease(&self) -> Duration {
        let urls = self.urls.iter();
        let heartbeats = urls.filter_map(|url| connection::heartbeat(url, self.timing.heartbeat));
        // Zero switches heartbeats off; the broker then notices even later.
        let shortest = heartbeats.filter(|seconds| *seconds > 0).min();
        Duration::from_secs(shortest.unwrap_or(self.timing.heartbeat).max(1).into()) / 2
    }
}

/// The part of the options that may be replaced while a worker runs.
#[derive(Clone, Debug)]
pub struct Access {
    pub urls: Vec<SecretString>,
    pub ca_pem: Option<String>,
    pub identity: Option<Identity>,
}

/// Returns the current access. None: the last one is still valid.
#[derive(Clone)]
pub struct AccessSource(pub Arc<dyn Fn() -> Option<Access> + Send + Sync>);

impl fmt::Debug for AccessSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessSource")
    }
}

/// The client certificate for mutual TLS.
#[derive(Clone, Debug)]
pub struct Identity {
    pub cert_pem: String,
    pub key_pem: SecretString,
}

/// Timeouts and intervals. Only tests change the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// TCP, TLS and login of one connection, each.
    pub connect: Duration,
    /// One AMQP call, and the time an ack may take to be written.
    pub call: Duration,
    /// From publish to confirm; not counted while the broker blocks publishers.
    pub confirm: Duration,
    /// The orderly close of one connection, before its socket is cut.
    pub close: Duration,
    /// Between two looks at the state of connections and channels.
    pub poll: Duration,
    /// Between two counts of the queue's messages and consumers.
    pub count: Duration,
    pub backoff_min: Duration,
    /// Longest backoff: a broker that is back is found within this time.
    pub backoff_max: Duration,
    /// A session of at least this length resets the backoff.
    pub steady_after: Duration,
    /// AMQP heartbeat in seconds, unless the URL names one: a dead peer shows within twice this.
    pub heartbeat: u16,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            call: Duration::from_secs(10),
            confirm: Duration::from_secs(30),
            close: Duration::from_secs(3),
            poll: Duration::from_secs(1),
            count: Duration::from_secs(3),
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(3),
            steady_after: Duration::from_secs(60),
            heartbeat: 10,
        }
    }
}
