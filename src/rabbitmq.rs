//! The broker: numbered sessions, deliveries in, settlements and dead letters out.
//!
//! [`Broker`] is one cancel-safe stream of [`Event`]s plus commands that never wait. Behind it,
//! a *session* is two connections (a blocked publisher must not stall acks), opened under
//! timeouts and ended at the first sign of loss; then the next one is opened, for ever, with
//! jittered backoff. lapin's own recovery is off: it can hang without a sign.
//!
//! - `connection/`: one AMQP connection: dialled, over TLS, logged in, its frames made readable; what went wrong
//! - `session/`: supervisor, session, acks, the consumer, the heartbeat of questions
//! - `publish/`: confirmed publishing, dead letters, the publisher of `tagsweep publish`
//! - `topology/`: what must be on the broker: checked, declared, inspected
//!
//! This is the only module that names lapin. It knows nothing of events, users, windows or the
//! API, reads no file or environment, and logs nothing: what happened is in the values it gives.

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

pub use connection::{Cause, Loss, Part, UrlProblem, check_url};
pub use message::{Delivery, DeliveryTag, HeaderValue, Message, Returns};
pub use options::{Access, AccessSource, Identity, Options, Timing};
pub use publish::{Letter, LetterRefusal, Mark, PublishError, Publisher, Publishing};
pub use session::{Broker, Settlement};
pub use topology::{Finding, Outcome, Warning, inspect};

use std::time::{Duration, Instant};

/// What [`Broker::next`] tells.
#[derive(Debug)]
pub enum Event {
    /// A session is open and consuming. `share` is by how many consumers the API quota of the
    /// queue must be divided: 1 with a single active consumer, else the queue's consumer count.
    Opened {
        session: u32,
        share: u32,
        warnings: Vec<Warning>,
    },
    /// No session could be opened; the next attempt follows by itself.
    NotOpened {
        reason: Loss,
        retry_in: Duration,
    },
    /// The session ended. Its deliveries are the broker's again, its letters are forgotten, and
    /// every command that still names it is dropped. `retry_in` is `None` after
    /// [`Broker::stop_consuming`]: there is nothing left to reconnect for.
    Lost {
        session: u32,
        reason: Loss,
        retry_in: Option<Duration>,
    },
    Delivered(Delivery),
    /// The broker took responsibility for the letter, in a queue.
    LetterConfirmed(u64),
    /// The letter is in no queue. Its delivery must not be acknowledged.
    LetterRefused(u64, LetterRefusal),
    /// The broker refused a letter as it was; it goes out with less.
    LetterReduced(LetterRefusal),
    /// The broker takes no publishes for now (memory or disk alarm): letters wait, acks go on.
    Blocked,
    Unblocked,
    /// The broker has answered what it was asked at this moment.
    InTouch(Instant),
    /// What the queue holds, asked every few seconds.
    Counted(QueueCount),
}

/// A queue as its broker counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueCount {
    /// Messages that wait to be delivered; of a quorum queue they may be some seconds old.
    pub ready: u32,
    pub consumers: u32,
    /// By how many the API quota of the queue must be divided now.
    pub share: u32,
}
