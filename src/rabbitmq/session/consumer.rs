//! The consumer of a session, and how it changes.
//!
//! A prefetch holds for consumers that start after it was set. So a change is a cancel, and then another consumer on
//! the same channel, whose delivery tags go on. What was on its way to the old one is given first.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::Stream;
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

type Change = Pin<Box<dyn Future<Output = Result<Option<Consumer>, Loss>> + Send>>;

pub(crate) struct Consuming {
    channel: Channel,
    options: Arc<Options>,
    quorum: bool,
    /// Gone when it was cancelled and has given everything.
    consumer: Option<Consumer>,
    wanted: u16,
    /// Of the consumer; 0 when it is cancelled, or none was started.
    prefetch: u16,
    /// What the broker was asked and has not answered.
    change: Option<Change>,
}

impl Consuming {
    /// Starts a consumer, unless `prefetch` is 0.
    pub(crate) async fn open(
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
            change: None,
        })
    }

    /// Of the present consumer, else of the next one as far as it is known.
    pub(crate) fn prefetch(&self) -> u16 {
        match self.prefetch {
            0 => self.options.prefetch,
            prefetch => prefetch,
        }
    }

    /// Whether there is a consumer that gets deliveries, or will be.
    pub(crate) fn is_active(&self) -> bool {
        self.prefetch > 0
    }

    /// Whether deliveries come from the consumer that was asked for last, and not from one that is cancelled.
    pub(crate) fn is_as_asked(&self) -> bool {
        self.prefetch > 0 && self.prefetch == self.wanted
    }

    /// Asks for a prefetch; 0 is no consumer. Made true by [`poll_change`](Self::poll_change).
    pub(crate) fn want(&mut self, prefetch: u16) {
        self.wanted = prefetch;
    }

    /// Leaves everything as it is.
    pub(crate) fn stay(&mut self) {
        self.wanted = self.prefetch;
    }

    /// Brings the consumer to what is wanted. Tells the prefetch of one that is being started.
    pub(crate) fn poll_change(&mut self, cx: &mut Context<'_>) -> Result<Option<u16>, Loss> {
        let mut started = None;
        loop {
            if let Some(change) = &mut self.change {
                let Poll::Ready(consumer) = change.as_mut().poll(cx) else {
                    return Ok(started);
                };
                self.change = None;
                self.consumer = consumer?.or(self.consumer.take());
            }
            if self.wanted == self.prefetch {
                return Ok(started);
            }
            match &self.consumer {
                Some(consumer) if self.prefetch > 0 => {
                    let cancelled = cancel(self.channel.clone(), consumer.tag(), &self.options);
                    self.prefetch = 0;
                    self.change = Some(Box::pin(cancelled));
                }
                // It has not given everything.
                Some(_) => return Ok(started),
                None => {
                    self.prefetch = self.wanted;
                    started = Some(self.prefetch);
                    let (channel, options) = (self.channel.clone(), Arc::clone(&self.options));
                    self.change = Some(Box::pin(start(
                        channel,
                        options,
                        self.quorum,
                        self.prefetch,
                    )));
                }
            }
        }
    }

    /// The next delivery. Never ready while there is no consumer.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Delivery, Loss>> {
        let Some(consumer) = &mut self.consumer else {
            return Poll::Pending;
        };
        match ready!(Pin::new(consumer).poll_next(cx)) {
            Some(arrived) => Poll::Ready(arrived.map_err(Loss::from)),
            None if self.prefetch == 0 => {
                self.consumer = None;
                // The next consumer may have waited for this.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(Err(Loss::Cancelled)),
        }
    }

    /// Waits for what the broker was asked.
    pub(crate) async fn end(&mut self) -> Result<(), Loss> {
        match self.change.take() {
            Some(change) => change.await.map(drop),
            None => Ok(()),
        }
    }
}

fn cancel(
    channel: Channel,
    tag: ShortString,
    options: &Options,
) -> impl Future<Output = Result<Option<Consumer>, Loss>> + use<> {
    let limit = options.timing.call;
    async move {
        let cancel = channel.basic_cancel(tag, BasicCancelOptions::default());
        within(limit, "basic.cancel", cancel).await?;
        Ok(None)
    }
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
