//! Reads the dead-letter queue without disturbing it: everything is held unacknowledged, then given back in order.
//!
//! No protocol of RabbitMQ shows a quorum queue without taking from it. What is given back counts as returned; how to
//! give it back so that the order stays depends on the broker's version. docs/DECISIONS.md has what was tested.

mod error;
mod give_back;
mod lock;
mod renew;
mod republish;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::{
    Channel,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions,
    },
    types::{FieldTable, ShortString},
};
use tokio::time::{sleep, timeout};

use super::{
    Delivery, Loss, Message, Options, Part, Returns,
    connection::{Link, loss::within},
    message,
    topology::{Scratch, Traits},
};

pub use error::BrowseError;
pub use republish::{Republisher, Rewritten};

/// The reply to `basic.get` on a stream.
const NOT_IMPLEMENTED: u16 = 540;
/// As many deliveries as the broker has out with one consumer of a quorum queue.
const RANGE: u32 = 65_535;
/// Time without a delivery after which nothing more is expected.
const IDLE: Duration = Duration::from_secs(5);
/// A broker that is busy may count a queue as empty, and what a killed command held comes back a moment later.
const COUNTS: usize = 3;
const BETWEEN_COUNTS: Duration = Duration::from_millis(50);

/// A connection that holds the messages of the dead-letter queue. One at a time: an exclusive queue is the lock, and
/// the broker frees it with the connection.
pub struct Browser {
    link: Link,
    options: Options,
    scratch: Scratch,
    traits: Traits,
    ranges: Vec<Range>,
    held: u64,
    /// Of what is held: what the broker drops when it is given back.
    spent: BTreeMap<Place, Message>,
    consumers: u32,
}

/// What one channel holds.
struct Range {
    channel: Channel,
    /// Something of it was acknowledged.
    acknowledged: bool,
}

/// Where a held message is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    range: usize,
    tag: u64,
}

/// A message that is held.
#[derive(Debug)]
pub struct HeldMessage {
    pub place: Place,
    /// How often it was returned to its queue, as far as the broker counts that.
    pub returned: u32,
    pub message: Message,
}

impl Browser {
    /// Connects, and takes the lock.
    ///
    /// # Errors
    /// When another command has it, or the queue cannot be read.
    pub async fn open(options: Options) -> Result<Self, BrowseError> {
        let link = Link::open_any(&options, "tagsweep dead-letters").await?;
        let scratch = Scratch::new(link.connection(), options.timing.call);
        let mut browser = Self {
            link,
            options,
            scratch,
            traits: Traits::default(),
            ranges: Vec::new(),
            held: 0,
            spent: BTreeMap::new(),
            consumers: 0,
        };
        match browser.prepare().await {
            Ok(()) => Ok(browser),
            Err(error) => {
                let _ = browser.link.close().await;
                Err(error)
            }
        }
    }

    async fn prepare(&mut self) -> Result<(), BrowseError> {
        self.depth().await?;
        lock::take(&mut self.scratch, &self.options.dead_letter_queue).await?;
        self.traits = self
            .scratch
            .traits_of_letters(self.link.version, &self.options)
            .await?;
        let queue = self.queue();
        if self.traits.is_stream {
            return Err(BrowseError::Stream { queue });
        }
        if self.traits.single_active_consumer {
            return Err(BrowseError::SingleActiveConsumer { queue });
        }
        // Since 4.0 a queue has a limit where none is declared. A policy's is not to be seen.
        if self.traits.delivery_limit.is_none() && !self.traits.known && self.is_new() {
            self.traits.delivery_limit = Some(Traits::DEFAULT_LIMIT);
        }
        Ok(())
    }

    /// Takes every message that is in the queue, and gives `each` of them, in order. May be cancelled; what was taken
    /// until then is held. Returns the number of ranges that the queue was read in.
    ///
    /// # Errors
    /// When the queue cannot be read. Nothing is lost: [`give_back`](Self::give_back).
    pub async fn read(
        &mut self,
        force: bool,
        mut each: impl FnMut(HeldMessage),
    ) -> Result<usize, BrowseError> {
        let mut left = None;
        loop {
            let waiting = self.waiting().await?;
            let first = self.ranges.is_empty();
            // What comes while it is read is not waited for without end.
            let left = left.get_or_insert(waiting.div_ceil(RANGE) + 3);
            if waiting == 0 && first && !self.traits.known {
                self.probe_stream().await?;
            }
            if waiting == 0 || *left == 0 {
                break;
            }
            *left -= 1;
            // All of it, even where the first one tells that it must not be read: a part would be put behind the rest.
            let size = u16::try_from(waiting.min(RANGE)).unwrap_or(u16::MAX);
            let mut highest = 0;
            let mut each = |held: HeldMessage| {
                highest = highest.max(held.returned);
                each(held);
            };
            if self.read_range(size, &mut each).await? == 0 && first {
                return Err(BrowseError::NotDelivered {
                    queue: self.queue(),
                    waiting,
                    consumers: self.consumers,
                });
            }
            self.judge_limit(force, highest)?;
        }
        Ok(self.ranges.len())
    }

    /// Of what it holds: acknowledges one message, which is then gone.
    ///
    /// # Errors
    /// When the channel is closed: the broker has given back what it held.
    pub async fn acknowledge(&mut self, place: Place) -> Result<(), Loss> {
        let range = self.ranges.get_mut(place.range).ok_or(Loss::Cancelled)?;
        range.acknowledged = true;
        let ack = range
            .channel
            .basic_ack(place.tag, BasicAckOptions::default());
        within(self.options.timing.call, "basic.ack", ack).await?;
        self.held = self.held.saturating_sub(1);
        self.spent.remove(&place);
        Ok(())
    }

    fn hold(&mut self, range: usize, delivery: Delivery) -> HeldMessage {
        let place = Place {
            range,
            tag: delivery.tag.tag,
        };
        self.held += 1;
        if self.drops_next(delivery.returned) {
            self.spent.insert(place, delivery.message.clone());
        }
        HeldMessage {
            place,
            returned: delivery.returned,
            message: delivery.message,
        }
    }

    /// Whoever is told nothing of the queue's settings finds out that it is a stream: its messages do not count.
    async fn probe_stream(&self) -> Result<(), BrowseError> {
        let channel = self.link.channel().await.map_err(Loss::from)?;
        let queue = self.options.dead_letter_queue.as_str().into();
        let get = channel.basic_get(queue, BasicGetOptions::default());
        let got = within(self.options.timing.call, "basic.get", get).await;
        match got {
            Ok(_) => {}
            Err(error) if error.reply_code() == Some(NOT_IMPLEMENTED) => {
                let queue = self.queue();
                return Err(BrowseError::Stream { queue });
            }
            Err(error) => {
                let name = &self.options.dead_letter_queue;
                return Err(error.about(Part::DeadLetterQueue, name).into());
            }
        }
        let close = channel.close(200, "bye".into());
        let closed = within(self.options.timing.call, "channel.close", close).await;
        Ok(closed.map_err(Loss::from)?)
    }

    /// Gives back what is held, and closes the connection.
    ///
    /// # Errors
    /// When the connection is lost: the broker gives it back itself.
    pub async fn close(mut self) -> Result<(), BrowseError> {
        let given = self.give_back().await;
        let closed = self.link.close().await;
        given?;
        Ok(closed?)
    }

    /// Consumers of the queue besides this one. While they consume, not every letter is seen.
    pub fn other_consumers(&self) -> u32 {
        self.consumers
    }

    pub fn queue(&self) -> String {
        self.options.dead_letter_queue.clone()
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    async fn read_range(
        &mut self,
        size: u16,
        each: &mut impl FnMut(HeldMessage),
    ) -> Result<usize, BrowseError> {
        let limit = self.options.timing.call;
        let queue = self.queue();
        let about = |error: super::connection::loss::CallError| {
            BrowseError::from(error.about(Part::DeadLetterQueue, &queue))
        };
        let channel = self.link.channel().await.map_err(Loss::from)?;
        // Before the consumer: without it, all that fits would come at once.
        let qos = channel.basic_qos(size, BasicQosOptions::default());
        within(limit, "basic.qos", qos).await.map_err(about)?;
        let consume = channel.basic_consume(
            queue.as_str().into(),
            ShortString::default(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = within(limit, "basic.consume", consume).await;
        let mut consumer = consumer.map_err(about)?;
        let range = self.ranges.len();
        self.ranges.push(Range {
            channel: channel.clone(),
            acknowledged: false,
        });
        let (mut taken, mut last) = (0, None);
        while taken < usize::from(size) {
            let Ok(delivery) = timeout(IDLE, consumer.next()).await else {
                break;
            };
            let delivery = match delivery {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => return Err(Loss::from(error).into()),
                None => return Err(Loss::Cancelled.into()),
            };
            taken += 1;
            each(self.hold(range, message::delivery(0, delivery, None, &mut last)));
        }
        // Else what is acknowledged would make room for letters that nobody reads.
        let cancel = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
        within(limit, "basic.cancel", cancel).await.map_err(about)?;
        Ok(taken)
    }

    /// A queue that drops what is returned too often must not lose a letter to somebody who looks at it.
    fn judge_limit(&self, force: bool, returned: u32) -> Result<(), BrowseError> {
        let queue = self.queue();
        match self.traits.delivery_limit {
            Some(limit) if !force && Returns::left(Some(limit), returned) != Returns::Many => {
                Err(BrowseError::NearLimit {
                    queue,
                    limit,
                    returned,
                })
            }
            _ => Ok(()),
        }
    }

    /// Whether the broker drops what was returned so often when it is given back. From 4.3 on that does not count.
    fn drops_next(&self, returned: u32) -> bool {
        let counts = self.link.version.is_none_or(|version| version < (4, 3));
        let limit = self.traits.delivery_limit;
        counts && limit.is_some_and(|limit| returned >= limit)
    }

    /// Messages that are ready for delivery.
    async fn waiting(&mut self) -> Result<u32, BrowseError> {
        for _ in 1..COUNTS {
            let waiting = self.depth().await?;
            if waiting > 0 {
                return Ok(waiting);
            }
            sleep(BETWEEN_COUNTS).await;
        }
        self.depth().await
    }

    async fn depth(&mut self) -> Result<u32, BrowseError> {
        let found = self.scratch.depth_of_letters(&self.options).await;
        let (messages, consumers) = found.map_err(|loss| match loss {
            Loss::Missing { name, .. } => BrowseError::Missing { queue: name },
            loss => loss.explained(&self.link.farewell).into(),
        })?;
        if self.ranges.is_empty() {
            self.consumers = consumers;
        }
        Ok(messages)
    }

    /// From RabbitMQ 4.0 on.
    fn is_new(&self) -> bool {
        self.link.version.is_some_and(|(major, _)| major >= 4)
    }
}
