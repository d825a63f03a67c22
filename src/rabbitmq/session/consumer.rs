//! The consumer of a session, and changes of its prefetch.
//!
//! A prefetch applies to consumers that start after it was set. So a change cancels the consumer and starts another
//! one on the same channel, whose delivery tags continue. Deliveries to the old one are returned first.

use std::{future::pending, sync::Arc};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::rabbitmq::{Loss, Options, Part, connection::loss::within};

/// A day, in milliseconds: a margin only, as deliveries go back at the hold limit. RabbitMQ takes it since 3.11.15, and
/// 4.3 refuses it for classic queues.
const CONSUMER_TIMEOUT: AMQPValue = AMQPValue::LongLongInt(24 * 60 * 60 * 1000);

/// A change that the broker is asked for: to cancel a consumer, or to start one.
type Change = BoxFuture<'static, Result<Option<Consumer>, Loss>>;

pub(super) struct Consuming {
    channel: Channel,
    options: Arc<Options>,
    quorum: bool,
    /// None when it was cancelled and is drained, or was lost.
    consumer: Option<Consumer>,
    wanted: u16,
    /// Of the consumer; 0 when it is cancelled, or none was started.
    prefetch: u16,
}

impl Consuming {
    /// Starts a consumer, unless `prefetch` is 0.
    pub(super) async fn open(
        channel: &Channel,
        options: &Arc<Options>,
        quorum: bool,
        prefetch: u16,
    ) -> Result<Self, Loss> {
        let (channel, options) = (channel.clone(), Arc::clone(options));
        let consumer = match prefetch {
            0 => None,
            _ => start(channel.clone(), Arc::clone(&options), quorum, prefetch).await?,
        };
        Ok(Self {
            channel,
            options,
            quorum,
            consumer,
            wanted: prefetch,
            prefetch,
        })
    }

    /// Of the present consumer, else of the next one as far as it is known.
    pub(super) fn prefetch(&self) -> u16 {
        match self.prefetch {
            0 => self.options.prefetch,
            prefetch => prefetch,
        }
    }

    /// Whether there is, or will be, a consumer that gets deliveries.
    pub(super) fn is_active(&self) -> bool {
        self.prefetch > 0
    }

    /// Whether deliveries come from the consumer that was asked for last, and not from one that is cancelled.
    pub(super) fn is_as_asked(&self) -> bool {
        self.prefetch > 0 && self.prefetch == self.wanted
    }

    /// Requests a prefetch; 0 is no consumer. [`next_change`](Self::next_change) carries it out.
    pub(super) fn want(&mut self, prefetch: u16) {
        self.wanted = prefetch;
    }

    /// Leaves everything as it is.
    pub(super) fn stay(&mut self) {
        self.wanted = self.prefetch;
    }

    /// The next step towards the requested prefetch, when the last one is [done](Self::changed).
    pub(super) fn next_change(&mut self) -> Option<Change> {
        if self.wanted == self.prefetch {
            return None;
        }
        let (channel, options) = (self.channel.clone(), Arc::clone(&self.options));
        match &self.consumer {
            Some(consumer) if self.prefetch > 0 => {
                self.prefetch = 0;
                Some(cancel(channel, options, consumer.tag()).boxed())
            }
            // It has not given everything.
            Some(_) => None,
            None => {
                self.prefetch = self.wanted;
                Some(start(channel, options, self.quorum, self.prefetch).boxed())
            }
        }
    }

    pub(super) fn changed(&mut self, started: Option<Consumer>) {
        self.consumer = started.or(self.consumer.take());
    }

    /// The next delivery, or none when a cancelled consumer is drained. Never ready while there is no consumer; its
    /// loss is reported once.
    pub(super) async fn next(&mut self) -> Result<Option<Delivery>, Loss> {
        let Some(consumer) = &mut self.consumer else {
            return pending().await;
        };
        let arrived = match consumer.next().await {
            Some(Ok(arrived)) => return Ok(Some(arrived)),
            Some(Err(error)) => Err(error.into()),
            None if self.prefetch == 0 => Ok(None),
            None => Err(Loss::Cancelled),
        };
        self.consumer = None;
        arrived
    }
}

async fn cancel(
    channel: Channel,
    options: Arc<Options>,
    tag: ShortString,
) -> Result<Option<Consumer>, Loss> {
    let cancel = channel.basic_cancel(tag, BasicCancelOptions::default());
    within(options.timing.call, "basic.cancel", cancel).await?;
    Ok(None)
}

async fn start(
    channel: Channel,
    options: Arc<Options>,
    quorum: bool,
    prefetch: u16,
) -> Result<Option<Consumer>, Loss> {
    let limit = options.timing.call;
    // Before the consumer: without it the whole queue would come at once.
    let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
    within(limit, "basic.qos", qos).await?;
    let mut arguments = FieldTable::default();
    if quorum {
        arguments.insert("x-consumer-timeout".into(), CONSUMER_TIMEOUT);
    }
    let consume = channel.basic_consume(
        options.queue.as_str().into(),
        ShortString::default(),
        BasicConsumeOptions::default(),
        arguments,
    );
    let consumer = within(limit, "basic.consume", consume).await;
    let consumer = consumer.map_err(|error| error.about(Part::Queue, &options.queue))?;
    Ok(Some(consumer))
}
