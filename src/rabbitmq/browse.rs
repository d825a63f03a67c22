//! Reads the dead-letter queue without disturbing it: everything is held unacknowledged, then given back in order.
//!
//! No protocol of RabbitMQ shows a quorum queue without taking from it. What is given back counts as returned; how to
//! give it back so that the order stays depends on the broker's version. docs/DECISIONS.md has what was tested.

mod error;
mod republish;

use std::time::Duration;

use futures_util::StreamExt;
use lapin::{
    Channel,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions,
        BasicNackOptions, BasicQosOptions,
    },
    types::{FieldTable, ShortString},
};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Loss, Message, Options, Part, Returns,
    connection::{Link, loss::within},
    message,
    topology::{Lock, Scratch, Traits},
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
/// The broker frees the lock of a command that was killed a moment later.
const LOCK_TRIES: usize = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);
/// How long letters that were given back may take to be in the queue again.
const RETURN: Duration = Duration::from_secs(15);

/// A connection that holds the messages of the dead-letter queue. One at a time: an exclusive queue is the lock, and
/// the broker frees it with the connection.
pub struct Browser {
    link: Link,
    options: Options,
    scratch: Scratch,
    traits: Traits,
    ranges: Vec<Range>,
    held: u64,
    consumers: u32,
}

/// What one channel holds.
struct Range {
    channel: Channel,
    /// Something of it was acknowledged.
    acknowledged: bool,
}

/// Where a held message is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
        self.lock().await?;
        self.traits = self.scratch.traits_of_letters(&self.options).await?;
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

    async fn lock(&mut self) -> Result<(), BrowseError> {
        let name = lock_name(&self.options.dead_letter_queue);
        for attempt in 1.. {
            match self.scratch.lock(&name).await? {
                Lock::Taken => break,
                Lock::Denied => return Err(BrowseError::MayNotLock { name }),
                Lock::Busy if attempt == LOCK_TRIES => {
                    let queue = self.queue();
                    return Err(BrowseError::Busy { queue });
                }
                Lock::Busy => sleep(BETWEEN_TRIES).await,
            }
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
            let is_limited = self.traits.delivery_limit.is_some();
            let size = match first && is_limited && !force {
                // The first one tells how often the others were returned.
                true => 1,
                false => u16::try_from(waiting.min(RANGE)).unwrap_or(u16::MAX),
            };
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
        let probed = usize::from(self.traits.delivery_limit.is_some() && !force);
        Ok(self.ranges.len().saturating_sub(probed))
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
        Ok(())
    }

    /// Gives back all that was not acknowledged, in order, and waits until it is in the queue again.
    ///
    /// # Errors
    /// When the connection is lost: the broker gives it back itself.
    pub async fn give_back(&mut self) -> Result<(), BrowseError> {
        let limit = self.options.timing.call;
        let ranges = std::mem::take(&mut self.ranges);
        let mut held = std::mem::take(&mut self.held);
        let is_new = self.is_new();
        for Range {
            channel,
            acknowledged,
        } in &ranges
        {
            if !channel.status().connected() {
                continue;
            }
            if *acknowledged {
                held += self.apply_acks(channel).await?;
            }
            if is_new {
                let all = BasicNackOptions {
                    multiple: true,
                    requeue: true,
                };
                // Tag 0 is all.
                within(limit, "basic.nack", channel.basic_nack(0, all))
                    .await
                    .map_err(Loss::from)?;
            }
            let close = channel.close(200, "bye".into());
            within(limit, "channel.close", close)
                .await
                .map_err(Loss::from)?;
        }
        if held > 0 && !ranges.is_empty() {
            self.wait_for(held).await?;
        }
        Ok(())
    }

    /// Waits until the queue has applied the acknowledgements of this channel. A channel that has many on their way
    /// keeps some to itself, and would take them with it when it is closed: letters that are done would be back.
    ///
    /// A `basic.get` is answered by the queue, after what it was sent before; when the second is answered, the
    /// channel knows what became of its acknowledgements and has sent the rest. Letters that came meanwhile are held,
    /// and returned is how many.
    async fn apply_acks(&self, channel: &Channel) -> Result<u64, Loss> {
        let mut taken = 0;
        for _ in 0..2 {
            let queue = self.options.dead_letter_queue.as_str().into();
            let get = channel.basic_get(queue, BasicGetOptions::default());
            let got = within(self.options.timing.call, "basic.get", get).await?;
            taken += u64::from(got.is_some());
        }
        Ok(taken)
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
            self.held += 1;
            let delivery = message::delivery(0, delivery, None, &mut last);
            each(HeldMessage {
                place: Place {
                    range,
                    tag: delivery.tag.tag,
                },
                returned: delivery.returned,
                message: delivery.message,
            });
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

    /// Waits until so many letters are ready, as the next command expects them. Another program may take some.
    async fn wait_for(&mut self, held: u64) -> Result<(), BrowseError> {
        let end = Instant::now() + RETURN;
        while u64::from(self.depth().await?) < held && Instant::now() < end {
            sleep(BETWEEN_COUNTS / 2).await;
        }
        Ok(())
    }

    /// From RabbitMQ 4.0 on.
    fn is_new(&self) -> bool {
        self.link.version.is_some_and(|(major, _)| major >= 4)
    }
}

/// At most as long as the protocol allows.
fn lock_name(queue: &str) -> String {
    let name = format!("{queue}.lock");
    if name.len() <= 255 {
        return name;
    }
    let digits = Sha256::digest(queue)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    format!("tagsweep.{digits}.lock")
}
