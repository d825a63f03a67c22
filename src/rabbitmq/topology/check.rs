//! Checks that exchanges and queues exist, and counts the queue.

use std::{sync::Arc, time::Duration};

use lapin::{
    Channel, Connection, ExchangeKind, Queue,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{Sharing, Warning};
use crate::rabbitmq::{
    Loss, Options, Part, QueueCount,
    connection::loss::{CallError, within},
};

/// Counts the messages and consumers of the queue and, `with_letters`, the messages of the dead-letter queue.
pub(crate) async fn count(
    connection: Arc<Connection>,
    options: Arc<Options>,
    sharing: Sharing,
    with_letters: bool,
) -> Result<QueueCount, Loss> {
    let mut scratch = Scratch::new(connection, options.timing.call);
    let queue = scratch.check_queue(Part::Queue, &options).await?;
    let consumers = queue.consumer_count();
    let dead_letters = match with_letters {
        // Only told: a dead-letter queue that cannot be counted ends no session.
        true => scratch
            .check_queue(Part::DeadLetterQueue, &options)
            .await
            .ok(),
        false => None,
    };
    Ok(QueueCount {
        ready: queue.message_count(),
        consumers,
        share: sharing.among(consumers),
        dead_letters: dead_letters.map(|queue| queue.message_count()),
    })
}

/// Declarations and checks. A refusal closes the channel, so a new one is opened after it.
pub(crate) struct Scratch {
    connection: Arc<Connection>,
    channel: Option<Channel>,
    limit: Duration,
    pub(super) warnings: Vec<Warning>,
}

impl Scratch {
    pub(crate) fn new(connection: Arc<Connection>, limit: Duration) -> Self {
        Self {
            connection,
            channel: None,
            limit,
            warnings: Vec::new(),
        }
    }

    /// Takes the warnings since the last call.
    pub(super) fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    pub(super) async fn check_all(&mut self, options: &Options) -> Result<(), Loss> {
        for (queue, exchange) in [
            (Part::Queue, Part::Exchange),
            (Part::DeadLetterQueue, Part::DeadLetterExchange),
        ] {
            self.check_queue(queue, options).await?;
            self.check_exchange(exchange, options).await?;
        }
        Ok(())
    }

    pub(super) async fn check_exchange(
        &mut self,
        part: Part,
        options: &Options,
    ) -> Result<(), Loss> {
        let passive = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let name = options.name_of(part);
        let found = self.exchange(name, ExchangeKind::Topic, passive).await;
        found.map_err(|error| error.about(part, name))
    }

    /// A queue that must be there.
    pub(super) async fn check_queue(
        &mut self,
        part: Part,
        options: &Options,
    ) -> Result<Queue, Loss> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let name = options.name_of(part);
        let found = self.queue(name, passive, FieldTable::default()).await;
        found.map_err(|error| error.about(part, name))
    }

    pub(super) async fn queue(
        &mut self,
        name: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<Queue, CallError> {
        self.call("queue.declare", async |channel: &Channel| {
            channel.queue_declare(name.into(), options, arguments).await
        })
        .await
    }

    pub(super) async fn exchange(
        &mut self,
        name: &str,
        kind: ExchangeKind,
        options: ExchangeDeclareOptions,
    ) -> Result<(), CallError> {
        self.call("exchange.declare", async |channel: &Channel| {
            let arguments = FieldTable::default();
            channel
                .exchange_declare(name.into(), kind, options, arguments)
                .await
        })
        .await
    }

    pub(super) async fn call<T>(
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
