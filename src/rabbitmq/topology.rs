//! What must be on the broker: exchange, queue, bindings and the dead-letter route.
//!
//! What exists with other arguments is the operator's choice: it is used as it is, and told as a
//! [`Warning`]. A refused declaration closes its channel, so each is made on a scratch channel.

use std::{sync::Arc, time::Duration};

use lapin::{
    Channel, Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    Loss, Options, Part, QueueCount,
    loss::{CallError, PRECONDITION_FAILED, within},
};

/// Something on the broker is not as tagsweep would have made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error("{part} {name:?} exists with other settings than tagsweep's; it is used as it is")]
    Differs { part: Part, name: String },
    #[error(
        "queue {name:?} is not known to have a single active consumer: each replica takes its share of the API quota by counting consumers, which is only right again some seconds after a replica comes or goes"
    )]
    SharedByCount { name: String },
    #[error(
        "{part} {name:?} exists without tagsweep's x-delivery-limit: RabbitMQ 4 and newer then drop a message after 20 failed deliveries; raise delivery-limit by a policy"
    )]
    NoDeliveryLimit { part: Part, name: String },
    #[error(
        "{part} {name:?} exists with an x-delivery-limit of {limit}: RabbitMQ drops a message that was delivered in vain more often, and no policy can raise that; make the queue anew"
    )]
    DeliveryLimit {
        part: Part,
        name: String,
        limit: i64,
    },
    #[error(
        "with rabbitmq.declare = false it cannot be seen whether queue {name:?} has a single active consumer; each replica takes its share of the API quota by counting consumers"
    )]
    SharingUnknown { name: String },
}

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
    pub(super) warnings: Vec<Warning>,
}

/// Makes or checks everything, as `options.declare` has it.
pub(super) async fn prepare(
    connection: Arc<Connection>,
    options: &Options,
) -> Result<Topology, Loss> {
    let mut scratch = Scratch::new(connection, options.timing.call);
    if options.declare {
        scratch.declare_all(options).await
    } else {
        scratch.check_all(options).await?;
        Ok(Topology {
            sharing: Sharing::ByCount,
            warnings: vec![Warning::SharingUnknown {
                name: options.queue.clone(),
            }],
        })
    }
}

/// Asks what the queue holds, and how many consume from it.
pub(super) async fn count(
    connection: Arc<Connection>,
    options: Arc<Options>,
    sharing: Sharing,
) -> Result<QueueCount, Loss> {
    let mut scratch = Scratch::new(connection, options.timing.call);
    let queue = scratch.check_queue(Part::Queue, &options.queue).await?;
    let consumers = queue.consumer_count();
    Ok(QueueCount {
        ready: queue.message_count(),
        consumers,
        share: sharing.among(consumers),
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

    async fn declare_all(&mut self, options: &Options) -> Result<Topology, Loss> {
        self.declare_exchange(Part::Exchange, &options.exchange, ExchangeKind::Topic)
            .await?;
        let sharing = self.declare_work_queue(&options.queue).await?;
        self.bind_work_queue(options).await?;
        self.declare_dead_letter_route(options).await?;
        Ok(Topology {
            sharing,
            warnings: std::mem::take(&mut self.warnings),
        })
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
        if let Declared::AsItWas = self
            .declare_queue(Part::DeadLetterQueue, queue, false)
            .await?
        {
            self.warnings.push(Warning::Differs {
                part: Part::DeadLetterQueue,
                name: queue.clone(),
            });
        }
        // A fanout ignores the key; where the exchange was made as a topic, `#` takes all keys.
        self.bind(Part::DeadLetterQueue, queue, exchange, "#").await
    }

    async fn declare_work_queue(&mut self, name: &str) -> Result<Sharing, Loss> {
        if let Declared::AsAsked = self.declare_queue(Part::Queue, name, true).await? {
            return Ok(Sharing::SingleActiveConsumer);
        }
        self.warnings.push(Warning::Differs {
            part: Part::Queue,
            name: name.to_owned(),
        });
        let classic = Shape {
            kind: "classic",
            single_active_consumer: true,
            delivery_limit: None,
        };
        match self.try_queue(name, classic).await {
            Ok(()) => Ok(Sharing::SingleActiveConsumer),
            Err(error) if error.reply_code() == Some(PRECONDITION_FAILED) => {
                self.warnings.push(Warning::SharedByCount {
                    name: name.to_owned(),
                });
                Ok(Sharing::ByCount)
            }
            Err(error) => Err(error.about(Part::Queue, name)),
        }
    }

    /// Declares a durable quorum queue; what exists with other arguments is left as it is.
    async fn declare_queue(
        &mut self,
        part: Part,
        name: &str,
        single_active_consumer: bool,
    ) -> Result<Declared, Loss> {
        let mut shape = Shape {
            kind: "quorum",
            single_active_consumer,
            delivery_limit: Some(UNREACHED_DELIVERY_LIMIT),
        };
        let Err(refusal) = self.try_queue(name, shape).await else {
            return Ok(Declared::AsAsked);
        };
        if refusal.reply_code() != Some(PRECONDITION_FAILED) {
            return Err(refusal.about(part, name));
        }
        // Refused because it is there already, or because it cannot be made at all?
        match self.check_queue(part, name).await {
            Err(Loss::Missing { .. }) => return Err(refusal.about(part, name)),
            there => there?,
        };
        // Is the limit all that differs?
        shape.delivery_limit = refusal.reply_text().and_then(delivery_limit);
        match self.try_queue(name, shape).await {
            Ok(()) => {}
            Err(error) if error.reply_code() == Some(PRECONDITION_FAILED) => {
                return Ok(Declared::AsItWas);
            }
            Err(error) => return Err(error.about(part, name)),
        }
        let name = name.to_owned();
        self.warnings.push(match shape.delivery_limit {
            Some(limit) => Warning::DeliveryLimit { part, name, limit },
            None => Warning::NoDeliveryLimit { part, name },
        });
        Ok(Declared::AsAsked)
    }

    async fn try_queue(&mut self, name: &str, shape: Shape) -> Result<(), CallError> {
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        self.call("queue.declare", async |channel: &Channel| {
            channel
                .queue_declare(name.into(), options, shape.arguments())
                .await
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
                self.warnings.push(Warning::Differs {
                    part,
                    name: name.to_owned(),
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

/// A limit that no message reaches. Since RabbitMQ 4 a quorum queue drops a message after 20
/// failed deliveries unless it is given another limit. The documented way to have none, -1, makes
/// RabbitMQ 3.10 drop every message at its first redelivery; a large number is right everywhere.
const UNREACHED_DELIVERY_LIMIT: i64 = i32::MAX as i64;

enum Declared {
    AsAsked,
    AsItWas,
}

#[derive(Clone, Copy)]
struct Shape {
    /// Always said, as a virtual host may have another default.
    kind: &'static str,
    single_active_consumer: bool,
    delivery_limit: Option<i64>,
}

impl Shape {
    fn arguments(self) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString(self.kind.into()),
        );
        if self.single_active_consumer {
            arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        }
        if let Some(limit) = self.delivery_limit {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(limit));
        }
        arguments
    }
}

/// The x-delivery-limit that a queue has, if `refusal` of a declaration tells it. AMQP has no other
/// way to see it; RabbitMQ 3.10 to 4.3 say: `inequivalent arg 'x-delivery-limit' for queue 'q' in
/// vhost '/': received '99' but current is '5'`.
fn delivery_limit(refusal: &str) -> Option<i64> {
    let (_, current) = refusal
        .split_once("inequivalent arg 'x-delivery-limit'")?
        .1
        .rsplit_once("but current is '")?;
    current.strip_suffix('\'')?.parse().ok()
}
