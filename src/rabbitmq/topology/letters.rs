//! What the commands for dead letters need to know of their queue, and the lock that keeps two of them apart.

use lapin::{
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable},
};

use super::{Scratch, shape};
use crate::rabbitmq::{
    Loss, Options, Part,
    connection::{ACCESS_REFUSED, RESOURCE_LOCKED},
};

/// How the dead-letter queue was declared, as far as the broker tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits {
    pub(crate) known: bool,
    pub(crate) is_stream: bool,
    pub(crate) single_active_consumer: bool,
    /// Number of returns after which the broker drops a message, if that may ever be reached.
    pub(crate) delivery_limit: Option<u32>,
}

impl Traits {
    pub(crate) const DEFAULT_LIMIT: u32 = shape::DEFAULT_DELIVERY_LIMIT;
    /// Nobody reads a queue so often.
    const UNREACHED: u32 = 1_000_000;
}

pub(crate) enum Lock {
    Taken,
    /// Another connection has it.
    Busy,
    Denied,
}

impl Scratch {
    /// Messages that are ready in the dead-letter queue, and its consumers.
    pub(crate) async fn depth_of_letters(&mut self, options: &Options) -> Result<(u32, u32), Loss> {
        let queue = self.check_queue(Part::DeadLetterQueue, options).await?;
        Ok((queue.message_count(), queue.consumer_count()))
    }

    /// Creates a queue that only this connection may use, and that goes with it.
    pub(crate) async fn lock(&mut self, name: &str) -> Result<Lock, Loss> {
        let options = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        // A virtual host may have another type by default.
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("classic".into()),
        );
        match self.queue(name, options, arguments).await {
            Ok(_) => Ok(Lock::Taken),
            Err(error) => match error.reply_code() {
                Some(RESOURCE_LOCKED) => Ok(Lock::Busy),
                Some(ACCESS_REFUSED) => Ok(Lock::Denied),
                _ => Err(error.about(Part::Queue, name)),
            },
        }
    }

    /// Fails if the queue of events is known to lose messages, and nobody has accepted that.
    pub(crate) async fn queue_keeps_events(&mut self, options: &Options) -> Result<(), Loss> {
        let judged = self.judge(Part::Queue, options, false).await;
        self.take_warnings();
        match judged {
            // That is told of each event.
            Err(Loss::Missing { .. }) => Ok(()),
            judged => judged,
        }
    }

    /// Finds out how the dead-letter queue was declared. Whoever may not declare it is told nothing.
    pub(crate) async fn traits_of_letters(
        &mut self,
        version: Option<(u32, u32)>,
        options: &Options,
    ) -> Result<Traits, Loss> {
        let shape = self.learn(Part::DeadLetterQueue, options).await?;
        self.take_warnings();
        Ok(shape.map_or_else(Traits::default, |shape| Traits {
            known: true,
            is_stream: shape.is_a("stream"),
            single_active_consumer: shape.has_single_active_consumer(),
            delivery_limit: shape
                .delivery_limit(version)
                .filter(|limit| *limit < Traits::UNREACHED),
        }))
    }
}
