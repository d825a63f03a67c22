//! What must be on the broker: exchange, queue, bindings and the dead-letter route.
//!
//! What exists with other settings is the operator's choice: it is used as it is, and told as a
//! [`Warning`], unless it loses messages. A refused declaration closes its channel, so each is made on a scratch
//! channel.

mod shape;
mod warning;

use std::{sync::Arc, time::Duration};

use lapin::{
    Channel, Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{
    Loss, Options, Part, QueueCount,
    loss::{ACCESS_REFUSED, CallError, PRECONDITION_FAILED, within},
};
use shape::{Shape, difference};
pub use warning::Warning;

/// More settings than a queue has.
const LEARNED: usize = 40;

/// How several consumers of the queue divide the API's quota.
///
/// With a single active consumer the broker lets one work and the others stand by: it has the
/// whole quota. This is known only when the broker accepted a declaration that asks for it, since
/// AMQP shows no arguments. Otherwise all consumers may be at work, and each takes an equal part.
/// Counting where it was not needed only makes one slow; not counting would break the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    SingleActiveConsumer,
    ByCount,
}

impl Sharing {
    /// By how many the quota is to be divided.
    pub(super) fn among(self, consumers: u32) -> u32 {
        match self {
            Sharing::SingleActiveConsumer => 1,
            Sharing::ByCount => consumers.max(1),
        }
    }
}

#[derive(Debug)]
pub(super) struct Topology {
    pub(super) sharing: Sharing,
    /// How often the broker takes an event back before it drops it, as far as that is known.
    pub(super) delivery_limit: Option<u32>,
    /// Known to be a quorum queue.
    pub(super) quorum: bool,
    pub(super) warnings: Vec<Warning>,
}

/// Makes or checks everything, as `options.declare` has it.
pub(super) async fn prepare(
    connection: Arc<Connection>,
    options: &Options,
) -> Result<Topology, Loss> {
    let mut scratch = Scratch::new(connection, options.timing.call);
    let queue = if options.declare {
        scratch.declare_all(options).await?
    } else {
        scratch.check_all(options).await?;
        scratch.learn(Part::Queue, options).await?
    };
    let sharing = scratch.judge_queue(queue.as_ref(), options)?;
    let known = match &queue {
        Some(shape) => shape.delivery_limit(),
        None => Some(Shape::unknown_delivery_limit()),
    };
    Ok(Topology {
        sharing,
        delivery_limit: options.delivery_limit.or(known),
        quorum: queue.is_some_and(|shape| shape.is_a("quorum")),
        warnings: scratch.warnings,
    })
}

/// Asks what the queue holds, and how many consume from it; and `with_letters` what the dead-letter queue holds.
pub(super) async fn count(
    connection: Arc<Connection>,
    options: Arc<Options>,
    sharing: Sharing,
    with_letters: bool,
) -> Result<QueueCount, Loss> {
    let mut scratch = Scratch::new(connection, options.timing.call);
    let queue = scratch.check_queue(Part::Queue, &options.queue).await?;
    let consumers = queue.consumer_count();
    let dead_letters = match with_letters {
        // Only told: a dead-letter queue that cannot be counted ends no session.
        true => {
            let name = &options.dead_letter_queue;
            scratch.check_queue(Part::DeadLetterQueue, name).await.ok()
        }
        false => None,
    };
    Ok(QueueCount {
        ready: queue.message_count(),
        consumers,
        share: sharing.among(consumers),
        dead_letters: dead_letters.map(|queue| queue.message_count()),
    })
}

/// Declarations and checks on channels that may be closed by a refusal.
pub(super) struct Scratch {
    connection: Arc<Connection>,
    channel: Option<Channel>,
    limit: Duration,
    warnings: Vec<Warning>,
}

impl Scratch {
    pub(super) fn new(connection: Arc<Connection>, limit: Duration) -> Self {
        Self {
            connection,
            channel: None,
            limit,
            warnings: Vec::new(),
        }
    }

    /// What the queue of events is like after that, as far as the broker tells.
    async fn declare_all(&mut self, options: &Options) -> Result<Option<Shape>, Loss> {
        self.declare_exchange(Part::Exchange, &options.exchange, ExchangeKind::Topic)
            .await?;
        let queue = self.declare_queue(Part::Queue, options).await?;
        self.bind_work_queue(options).await?;
        self.declare_dead_letter_route(options).await?;
        Ok(queue)
    }

    pub(super) async fn check_all(&mut self, options: &Options) -> Result<(), Loss> {
        self.check_queue(Part::Queue, &options.queue).await?;
        self.check_exchange(Part::Exchange, &options.exchange)
            .await?;
        self.check_queue(Part::DeadLetterQueue, &options.dead_letter_queue)
            .await?;
        self.check_exchange(Part::DeadLetterExchange, &options.dead_letter_exchange)
            .await
    }

    pub(super) async fn bind_work_queue(&mut self, options: &Options) -> Result<(), Loss> {
        for key in &options.routing_keys {
            self.bind(Part::Queue, &options.queue, &options.exchange, key)
                .await?;
        }
        Ok(())
    }

    /// The exchange is a fanout: a letter keeps its routing key, and no key is ever unroutable.
    pub(super) async fn declare_dead_letter_route(
        &mut self,
        options: &Options,
    ) -> Result<(), Loss> {
        let exchange = &options.dead_letter_exchange;
        let queue = &options.dead_letter_queue;
        self.declare_exchange(Part::DeadLetterExchange, exchange, ExchangeKind::Fanout)
            .await?;
        let found = self.declare_queue(Part::DeadLetterQueue, options).await?;
        let losses = found.map(|shape| shape.losses()).unwrap_or_default();
        if !losses.is_empty() {
            self.warnings.push(Warning::LosesMessages {
                part: Part::DeadLetterQueue,
                name: queue.clone(),
                how: losses.join("; "),
            });
        }
        // A fanout ignores the key; where the exchange was made as a topic, `#` takes all keys.
        self.bind(Part::DeadLetterQueue, queue, exchange, "#").await
    }

    /// Declares a queue; what exists with other settings is left as it is, and told. None: it cannot be told.
    async fn declare_queue(
        &mut self,
        part: Part,
        options: &Options,
    ) -> Result<Option<Shape>, Loss> {
        let (name, wanted) = of(part, options);
        match self.try_queue(name, &wanted, wanted.arguments()).await {
            Ok(()) => Ok(Some(wanted)),
            Err(error) if error.reply_code() == Some(PRECONDITION_FAILED) => {
                // Refused because it is there already, or because it cannot be made at all?
                match self.check_queue(part, name).await {
                    Err(Loss::Missing { .. }) => return Err(error.about(part, name)),
                    there => there?,
                };
                self.learn(part, options).await
            }
            Err(error) => Err(error.about(part, name)),
        }
    }

    /// What a queue that exists was declared with, and how that differs from what it would be. None where the broker
    /// does not tell.
    async fn learn(&mut self, part: Part, options: &Options) -> Result<Option<Shape>, Loss> {
        let (name, wanted) = of(part, options);
        let mut shape = wanted.clone();
        let mut known = false;
        for _ in 0..LEARNED {
            let arguments = shape.arguments_of_none();
            let Err(error) = self.try_queue(name, &shape, arguments).await else {
                known = true;
                break;
            };
            let told = error.reply_text().is_some_and(|text| shape.adopt(text));
            match error.reply_code() {
                Some(PRECONDITION_FAILED) if told && !shape.is_a("stream") => {}
                Some(PRECONDITION_FAILED) => {
                    known = told;
                    break;
                }
                // Who may not declare is told nothing.
                Some(ACCESS_REFUSED) => break,
                _ => return Err(error.about(part, name)),
            }
        }
        let how = shape.differences(&wanted);
        let name = name.to_owned();
        if !known {
            self.warnings.push(Warning::SettingsUnknown { part, name });
            // What was told may be enough to refuse it.
            return Ok((!how.is_empty()).then_some(shape));
        }
        if !how.is_empty() {
            let how = how.join(", ");
            self.warnings.push(Warning::Differs { part, name, how });
        }
        Ok(Some(shape))
    }

    /// Whether the queue of events, if it is known, can be used, and how its consumers share the quota.
    fn judge_queue(&mut self, queue: Option<&Shape>, options: &Options) -> Result<Sharing, Loss> {
        let name = || options.queue.clone();
        let Some(shape) = queue else {
            self.warnings.push(Warning::SharedByCount { name: name() });
            return Ok(Sharing::ByCount);
        };
        let losses = shape.losses().join("; ");
        if !losses.is_empty() && !options.accept_lossy_queue {
            return Err(Loss::LosesMessages {
                name: name(),
                how: losses,
            });
        }
        if !losses.is_empty() {
            self.warnings.push(Warning::LosesMessages {
                part: Part::Queue,
                name: name(),
                how: losses,
            });
        }
        match shape.dead_letter_exchange() {
            Some(exchange) if exchange == options.dead_letter_exchange => {}
            Some(exchange) => self.warnings.push(Warning::ForeignDeadLetters {
                name: name(),
                exchange,
            }),
            None if shape.is_a("quorum") => self.warnings.push(Warning::Drops {
                name: name(),
                exchange: options.dead_letter_exchange.clone(),
            }),
            None => {}
        }
        if shape.has_single_active_consumer() {
            return Ok(Sharing::SingleActiveConsumer);
        }
        self.warnings.push(Warning::SharedByCount { name: name() });
        Ok(Sharing::ByCount)
    }

    async fn try_queue(
        &mut self,
        name: &str,
        shape: &Shape,
        arguments: FieldTable,
    ) -> Result<(), CallError> {
        let options = QueueDeclareOptions {
            durable: shape.durable,
            auto_delete: shape.auto_delete,
            ..QueueDeclareOptions::default()
        };
        self.call("queue.declare", async |channel: &Channel| {
            channel.queue_declare(name.into(), options, arguments).await
        })
        .await?;
        Ok(())
    }

    async fn declare_exchange(
        &mut self,
        part: Part,
        name: &str,
        kind: ExchangeKind,
    ) -> Result<(), Loss> {
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let answer = self
            .call("exchange.declare", async |channel: &Channel| {
                channel
                    .exchange_declare(name.into(), kind.clone(), options, FieldTable::default())
                    .await
            })
            .await;
        match answer {
            Ok(()) => Ok(()),
            Err(error) if error.reply_code() == Some(PRECONDITION_FAILED) => {
                let how = error.reply_text().and_then(exchange_difference);
                self.warnings.push(Warning::Differs {
                    part,
                    name: name.to_owned(),
                    how: how.unwrap_or_else(|| "which ones the broker does not tell".to_owned()),
                });
                Ok(())
            }
            Err(error) => Err(error.about(part, name)),
        }
    }

    async fn bind(
        &mut self,
        part: Part,
        queue: &str,
        exchange: &str,
        key: &str,
    ) -> Result<(), Loss> {
        self.call("queue.bind", async |channel: &Channel| {
            channel
                .queue_bind(
                    queue.into(),
                    exchange.into(),
                    key.into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await
        })
        .await
        .map_err(|error| error.about(part, queue))
    }

    /// A queue that must be there.
    pub(super) async fn check_queue(
        &mut self,
        part: Part,
        name: &str,
    ) -> Result<lapin::Queue, Loss> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        self.call("queue.declare", async |channel: &Channel| {
            channel
                .queue_declare(name.into(), options, FieldTable::default())
                .await
        })
        .await
        .map_err(|error| error.about(part, name))
    }

    pub(super) async fn check_exchange(&mut self, part: Part, name: &str) -> Result<(), Loss> {
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        self.call("exchange.declare", async |channel: &Channel| {
            channel
                .exchange_declare(
                    name.into(),
                    ExchangeKind::Topic,
                    options,
                    FieldTable::default(),
                )
                .await
        })
        .await
        .map_err(|error| error.about(part, name))
    }

    /// Runs one call on the scratch channel, which is made anew after a refusal.
    async fn call<T>(
        &mut self,
        operation: &'static str,
        call: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
    ) -> Result<T, CallError> {
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => within(self.limit, "channel.open", self.connection.create_channel()).await?,
        };
        let answer = within(self.limit, operation, call(&channel)).await;
        if answer.is_ok() {
            self.channel = Some(channel);
        }
        answer
    }
}

/// The name of a queue, and what it is like when we make it.
fn of(part: Part, options: &Options) -> (&str, Shape) {
    match part {
        Part::Queue | Part::Exchange => (
            &options.queue,
            Shape::of_events(&options.dead_letter_exchange),
        ),
        Part::DeadLetterQueue | Part::DeadLetterExchange => {
            (&options.dead_letter_queue, Shape::of_dead_letters())
        }
    }
}

/// What the refusal of an exchange's declaration says of the one that is there.
fn exchange_difference(refusal: &str) -> Option<String> {
    let (name, current) = difference(refusal)?;
    Some(format!("{name} = {}", current.trim_matches('\'')))
}
