//! The faults by where they strike. Each strikes when it is told to and returns when the worker has felt it,
//! and each can be lifted.

pub mod api;
pub mod link;
pub mod node;
pub mod vhost;
pub mod worker;

use crate::stage::Stage;

/// What the worker says when a session is over.
const SESSION_LOST: &str = "broker session lost";
const NO_SESSION: &str = "no broker session";
const PAUSED: &str = "paused: API calls suspended";
/// In the line of a dead letter.
const RETURNED_TOO_OFTEN: &str = "returned-too-often";
const LETTER_REFUSED: &str = "dead letter rejected by the broker";
const LETTER_REDUCED: &str = "the broker refused a part of a dead letter";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Node(node::Fault),
    Vhost(vhost::Fault),
    Link(link::Fault),
    Api(api::Fault),
    Worker(worker::Fault),
}

impl Fault {
    /// What must be so before the worker is started.
    pub async fn prepare(self, stage: &mut Stage) {
        match self {
            Fault::Vhost(fault) => fault.prepare(stage).await,
            Fault::Api(fault) => fault.prepare(stage).await,
            Fault::Worker(fault) => fault.prepare(stage).await,
            Fault::Link(fault) => fault.prepare(stage).await,
            Fault::Node(_) => {}
        }
    }

    /// What must be so right before it strikes, beside work that flows.
    pub async fn lead_up(self, stage: &Stage) {
        if let Fault::Worker(fault) = self {
            fault.lead_up(stage).await;
        }
    }

    /// Returns when it is in force and, unless it is over in a moment, felt.
    pub async fn strike(self, stage: &mut Stage) {
        match self {
            Fault::Node(fault) => fault.strike(stage).await,
            Fault::Vhost(fault) => fault.strike(stage).await,
            Fault::Link(fault) => fault.strike(stage).await,
            Fault::Api(fault) => fault.strike(stage).await,
            Fault::Worker(fault) => fault.strike(stage).await,
        }
    }

    /// Returns when it is over.
    pub async fn lift(self, stage: &mut Stage) {
        match self {
            Fault::Node(fault) => fault.lift(stage).await,
            Fault::Vhost(fault) => fault.lift(stage).await,
            Fault::Link(fault) => fault.lift(stage),
            Fault::Api(fault) => fault.lift(stage).await,
            Fault::Worker(fault) => fault.lift(stage).await,
        }
    }

    /// Whether it is over as soon as it has struck: there is nothing to lift but what it broke, and the time
    /// until work goes on counts from the strike.
    pub fn is_momentary(self) -> bool {
        use link::Fault as Link;
        use vhost::Fault as Vhost;
        use worker::Fault as Worker;
        matches!(
            self,
            Fault::Link(Link::Cut | Link::HalfOpen | Link::CutBesideBlackHole)
                | Fault::Vhost(
                    Vhost::ConnectionsClosed
                        | Vhost::QueueDeleted
                        | Vhost::DeadLetterExchangeRemoved
                )
                | Fault::Worker(Worker::ActiveKilled)
        )
    }

    /// Whether the worker needs another broker session. What it calls before that are windows of the old one,
    /// and no sign of work that goes on.
    pub fn ends_session(self) -> bool {
        match self {
            Fault::Link(_) | Fault::Worker(worker::Fault::Stopped) => true,
            Fault::Node(_) => !self.stops_letters(),
            Fault::Vhost(_) => !self.stops_letters(),
            Fault::Api(_) | Fault::Worker(_) => false,
        }
    }

    /// Whether it stops dead letters, so that work goes on when one is taken.
    pub fn stops_letters(self) -> bool {
        use node::Fault as Node;
        use vhost::Fault as Vhost;
        matches!(
            self,
            Fault::Node(Node::MemoryAlarm | Node::DiskAlarm | Node::LettersTooLarge)
                | Fault::Vhost(
                    Vhost::DeadLettersFull
                        | Vhost::DeadLetterExchangeRemoved
                        | Vhost::DeadLetterBindingRemoved
                )
        )
    }

    /// Whether events are dead-lettered because the broker would drop them.
    pub fn returns_too_often(self) -> bool {
        self == Fault::Api(api::Fault::FailsForLong)
    }

    /// How often it strikes in one run at most: a pause that begins right after another probes ever more seldom.
    pub fn most_strikes(self) -> usize {
        match self {
            Fault::Api(api::Fault::FailsForLong) => 4,
            _ => usize::MAX,
        }
    }

    /// Whether the API itself says that calls come too often, and the quota is no measure.
    pub fn throttles(self) -> bool {
        self == Fault::Api(api::Fault::Throttles)
    }
}
