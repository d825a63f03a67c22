//! The broker: numbered sessions, deliveries in, settlements and dead letters out.
//!
//! [`Broker`] is a cancel-safe stream of [`Event`]s plus commands that never wait. A *session* is two connections
//! (a blocked publisher must not stall acks), opened under timeouts and ended at the first sign of loss; then the
//! next one is opened, without limit, with jittered backoff. lapin's own recovery is off: it can hang silently.
//!
//! - `connection/`: one AMQP connection: dialling, TLS, login, sanitized frames; causes of failure
//! - `session/`: supervisor, session, acks, the consumer, the heartbeat of questions
//! - `publish/`: confirmed publishing, dead letters, the publisher of `tagsweep publish`
//! - `topology/`: the exchanges and queues on the broker: checked, declared, inspected
//! - `browse/`: the dead-letter queue: read without disturbing it, published again
//!
//! This is the only module that names lapin. It knows nothing of events, users, windows or the API, reads no file
//! or environment, and logs nothing: it returns values that say what happened.

mod browse;
mod connection;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod message;
mod options;
mod publish;
mod session;
mod surroundings;
mod topology;

pub use browse::{BrowseError, Browser, HeldMessage, Place, Republisher, Rewritten};
pub use connection::{Cause, Loss, Part, UrlProblem, check_url};
pub use message::{Delivery, DeliveryTag, HeaderValue, Message, Returns};
pub use options::{Access, AccessSource, Identity, Options, Timing};
pub use publish::{Letter, LetterRefusal, PublishError, Publisher, Publishing};
pub use session::{Broker, Settlement};
pub use surroundings::{Death, Route};
pub use topology::{Finding, Outcome, Warning, inspect};

use std::time::{Duration, Instant};

/// What [`Broker::next`] reports.
#[derive(Debug)]
pub enum Event {
    /// A session is open and consuming. `share` is the number of consumers that share the API quota: 1 with a
    /// single active consumer, else the queue's consumer count.
    Opened {
        session: u32,
        share: u32,
        warnings: Vec<Warning>,
    },
    /// An attempt to open a session failed; the next one follows by itself.
    NotOpened {
        reason: Loss,
        retry_in: Duration,
    },
    /// The session ended. Its deliveries are back at the broker, its letters are forgotten, and every command that
    /// still names it is dropped. `retry_in` is `None` after [`Broker::stop_consuming`]: there is nothing left to
    /// reconnect for.
    Lost {
        session: u32,
        reason: Loss,
        retry_in: Option<Duration>,
    },
    Delivered(Delivery),
    /// The broker has confirmed the letter: it is in a queue.
    LetterConfirmed(u64),
    /// The letter is in no queue. Its delivery must not be acknowledged.
    LetterRefused(u64, LetterRefusal),
    /// The broker refused a letter; it is published again without the refused parts.
    LetterReduced(LetterRefusal),
    /// The broker blocks publishing (memory or disk alarm): letters wait, acks continue.
    Blocked,
    Unblocked,
    /// The broker has answered a request that was sent at this moment.
    InTouch(Instant),
    /// A count of the queue, every few seconds.
    Counted(QueueCount),
}

/// A queue as its broker counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueCount {
    /// Messages that are ready for delivery; for a quorum queue the number may be some seconds old.
    pub ready: u32,
    pub consumers: u32,
    /// Number of consumers that share the API quota now.
    pub share: u32,
    /// Messages in the dead-letter queue; none if it is missing or the user lacks permission.
    pub dead_letters: Option<u32>,
}
