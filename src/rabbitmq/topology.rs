//! The topology on the broker: exchange, queue, bindings and the dead-letter route.
//!
//! What exists with other settings is the operator's choice: it is used as it is, with a [`Warning`], unless it
//! loses messages.

mod check;
mod declare;
mod inspect;
mod letters;
mod shape;
mod warning;

use std::sync::Arc;

use lapin::Connection;

use super::{Loss, Options, Part};
use shape::Shape;

pub(crate) use check::{Scratch, count};
pub use inspect::{Finding, Outcome, inspect};
pub(crate) use letters::{Lock, Traits};
pub use warning::Warning;

/// How several consumers of the queue divide the API's quota.
///
/// With a single active consumer one works and has the whole quota; the others are on standby. This is known only
/// if the broker accepted a declaration that asks for it, since AMQP shows no arguments. Otherwise all consumers
/// may work, and each takes an equal part. Counting consumers needlessly only slows one down; not counting would
/// break the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    SingleActiveConsumer,
    ByCount,
}

impl Sharing {
    /// Number of consumers that share the quota.
    pub(crate) fn among(self, consumers: u32) -> u32 {
        match self {
            Sharing::SingleActiveConsumer => 1,
            Sharing::ByCount => consumers.max(1),
        }
    }
}

pub(crate) struct Topology {
    pub(crate) sharing: Sharing,
    /// Number of returns after which the broker drops an event, if known.
    pub(crate) delivery_limit: Option<u32>,
    /// Known to be a quorum queue.
    pub(crate) quorum: bool,
    pub(crate) warnings: Vec<Warning>,
}

/// Declares or checks everything, depending on `options.declare`.
pub(crate) async fn prepare(
    connection: Arc<Connection>,
    version: Option<(u32, u32)>,
    options: &Options,
) -> Result<Topology, Loss> {
    let mut scratch = Scratch::new(connection, options.timing.call);
    let queue = if options.declare {
        scratch.declare_all(options).await?
    } else {
        scratch.check_all(options).await?;
        scratch.learn(Part::Queue, options).await?
    };
    let mut warnings = scratch.warnings;
    let sharing = judge_queue(queue.as_ref(), options, &mut warnings)?;
    let known = match &queue {
        Some(shape) => shape.delivery_limit(version),
        None => Some(shape::DEFAULT_DELIVERY_LIMIT),
    };
    Ok(Topology {
        sharing,
        delivery_limit: options.delivery_limit.or(known),
        quorum: queue.is_some_and(|shape| shape.is_a("quorum")),
        warnings,
    })
}

/// Whether the queue of events, if it is known, can be used, and how its consumers share the quota.
fn judge_queue(
    queue: Option<&Shape>,
    options: &Options,
    warnings: &mut Vec<Warning>,
) -> Result<Sharing, Loss> {
    let name = || options.queue.clone();
    if let Some(shape) = queue {
        let how = shape.losses().join("; ");
        if !how.is_empty() {
            if !options.accept_lossy_queue {
                return Err(Loss::LosesMessages { name: name(), how });
            }
            warnings.push(Warning::LosesMessages {
                part: Part::Queue,
                name: name(),
                how,
            });
        }
        match shape.dead_letter_exchange() {
            Some(exchange) if exchange == options.dead_letter_exchange => {}
            Some(exchange) => warnings.push(Warning::ForeignDeadLetters {
                name: name(),
                exchange,
            }),
            None if shape.is_a("quorum") => warnings.push(Warning::Drops {
                name: name(),
                exchange: options.dead_letter_exchange.clone(),
            }),
            None => {}
        }
        if shape.has_single_active_consumer() {
            return Ok(Sharing::SingleActiveConsumer);
        }
    }
    warnings.push(Warning::SharedByCount { name: name() });
    Ok(Sharing::ByCount)
}
