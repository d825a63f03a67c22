//! Acks, in the order that the protocol requires.
//!
//! A broker closes the channel when a tag is settled twice, or when a multiple ack names a tag that is settled
//! already. This module prevents both, so the caller may ack "everything up to 7" whether or not 7 itself was
//! settled before.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use futures_util::future::FusedFuture;
use tokio::time::{Instant, sleep_until};

use lapin::{
    Channel,
    options::{BasicAckOptions, BasicNackOptions},
};

use super::{Call, call};
use crate::rabbitmq::{DeliveryTag, Loss, connection::loss::within};

/// How long the channel stays open after the last settlement. A quorum queue works on some dozens at a time; more of them
/// wait in the channel, and are lost with it (rabbitmq-server#10327): their messages would be delivered again.
const LINGER: Duration = Duration::from_secs(1);

/// How deliveries are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// This delivery and all earlier ones of its session are done.
    UpTo(DeliveryTag),
    /// This delivery is done.
    One(DeliveryTag),
    /// Back into the queue, to be delivered again. Up to RabbitMQ 4.2 that counts towards a delivery limit.
    HandBack(DeliveryTag),
}

impl Settlement {
    pub(super) fn tag(self) -> DeliveryTag {
        match self {
            Self::UpTo(tag) | Self::One(tag) | Self::HandBack(tag) => tag,
        }
    }
}

/// One method frame to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Ack { tag: u64, multiple: bool },
    Nack { tag: u64 },
}

/// The settlements of one session that are not sent yet, in order.
#[derive(Default)]
struct Settlements {
    unsent: VecDeque<Frame>,
    /// Every tag up to here is settled.
    floor: u64,
    /// Settled one by one, above the floor.
    singles: BTreeSet<u64>,
}

impl Settlements {
    fn push(&mut self, settlement: Settlement) {
        let tag = settlement.tag().tag;
        if tag <= self.floor {
            return;
        }
        match settlement {
            Settlement::UpTo(_) => self.push_up_to(tag),
            Settlement::One(_) => self.push_single(Frame::Ack {
                tag,
                multiple: false,
            }),
            Settlement::HandBack(_) => self.push_single(Frame::Nack { tag }),
        }
    }

    fn pop(&mut self) -> Option<Frame> {
        self.unsent.pop_front()
    }

    fn push_up_to(&mut self, tag: u64) {
        let mut last_open = tag;
        while self.singles.contains(&last_open) {
            last_open -= 1;
        }
        if last_open > self.floor {
            if let Some(Frame::Ack {
                tag: unsent,
                multiple: true,
            }) = self.unsent.back_mut()
            {
                *unsent = last_open;
            } else {
                self.unsent.push_back(Frame::Ack {
                    tag: last_open,
                    multiple: true,
                });
            }
        }
        self.singles = self.singles.split_off(&(tag + 1));
        self.raise_floor(tag);
    }

    fn push_single(&mut self, frame: Frame) {
        let (Frame::Ack { tag, .. } | Frame::Nack { tag }) = frame;
        if self.singles.insert(tag) {
            self.unsent.push_back(frame);
            self.raise_floor(self.floor);
        }
    }

    fn raise_floor(&mut self, to: u64) {
        self.floor = to;
        while self.singles.remove(&(self.floor + 1)) {
            self.floor += 1;
        }
    }
}

/// The settlements of a session on their way to the broker.
pub(crate) struct Acks {
    channel: Channel,
    limit: Duration,
    settlements: Settlements,
    sending: Call<()>,
    latest: Option<Instant>,
}

impl Acks {
    pub(crate) fn new(channel: Channel, limit: Duration) -> Self {
        Self {
            channel,
            limit,
            settlements: Settlements::default(),
            sending: Call::terminated(),
            latest: None,
        }
    }

    pub(crate) fn push(&mut self, settlement: Settlement) {
        self.settlements.push(settlement);
    }

    /// Sends frames one by one until all are written. Cancel-safe.
    pub(crate) async fn send(&mut self) -> Result<(), Loss> {
        loop {
            if !self.sending.is_terminated() {
                (&mut self.sending).await?;
            }
            let Some(frame) = self.settlements.pop() else {
                return Ok(());
            };
            self.latest = Some(Instant::now());
            self.sending = call(send(self.channel.clone(), frame, self.limit));
        }
    }

    /// Sends what is left, and waits until the broker has worked on all of it.
    pub(crate) async fn finish(&mut self) -> Result<(), Loss> {
        self.send().await?;
        if let Some(latest) = self.latest {
            sleep_until(latest + LINGER).await;
        }
        Ok(())
    }
}

/// Resolves when the frame is written. Unlike an acker's, the channel's own methods fail on a closed channel, so an
/// unsent ack never counts as sent.
async fn send(channel: Channel, frame: Frame, limit: Duration) -> Result<(), Loss> {
    match frame {
        Frame::Ack { tag, multiple } => {
            let ack = channel.basic_ack(tag, BasicAckOptions { multiple });
            within(limit, "basic.ack", ack).await?;
        }
        Frame::Nack { tag } => {
            let options = BasicNackOptions {
                multiple: false,
                requeue: true,
            };
            within(limit, "basic.nack", channel.basic_nack(tag, options)).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(tag: u64) -> DeliveryTag {
        DeliveryTag { session: 1, tag }
    }

    fn frames(settlements: impl IntoIterator<Item = Settlement>) -> Vec<Frame> {
        let mut queue = Settlements::default();
        for settlement in settlements {
            queue.push(settlement);
        }
        std::iter::from_fn(|| queue.pop()).collect()
    }

    fn ack(tag: u64) -> Frame {
        Frame::Ack {
            tag,
            multiple: false,
        }
    }

    fn ack_up_to(tag: u64) -> Frame {
        Frame::Ack {
            tag,
            multiple: true,
        }
    }

    use Settlement::{HandBack, One, UpTo};

    #[test]
    fn runs_that_wait_are_sent_as_one() {
        assert_eq!(
            frames([UpTo(tag(3)), UpTo(tag(7)), UpTo(tag(9))]),
            [ack_up_to(9)]
        );
    }

    #[test]
    fn a_run_never_overtakes_a_single_settlement_before_it() {
        assert_eq!(
            frames([UpTo(tag(3)), One(tag(9)), UpTo(tag(5))]),
            [ack_up_to(3), ack(9), ack_up_to(5)]
        );
    }

    #[test]
    fn a_run_ends_at_the_last_tag_that_is_still_open() {
        assert_eq!(
            frames([One(tag(4)), HandBack(tag(5)), UpTo(tag(5))]),
            [ack(4), Frame::Nack { tag: 5 }, ack_up_to(3)]
        );
    }

    #[test]
    fn a_run_of_tags_that_are_all_settled_sends_nothing() {
        assert_eq!(
            frames([One(tag(2)), One(tag(1)), UpTo(tag(2))]),
            [ack(2), ack(1)]
        );
    }

    #[test]
    fn no_tag_is_settled_twice() {
        assert_eq!(
            frames([
                One(tag(2)),
                One(tag(2)),
                HandBack(tag(2)),
                UpTo(tag(3)),
                One(tag(1)),
                UpTo(tag(2)),
                UpTo(tag(3)),
            ]),
            [ack(2), ack_up_to(3)]
        );
    }

    /// Against a model of what a broker accepts: every frame must name an open tag.
    #[test]
    fn any_order_of_commands_is_one_that_a_broker_accepts() {
        for seed in 0..2_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut queue = Settlements::default();
            let mut open: BTreeSet<u64> = (1..=20).collect();
            for _ in 0..40 {
                let tag = tag(random.u64(1..=20));
                queue.push(match random.u8(0..3) {
                    0 => UpTo(tag),
                    1 => One(tag),
                    _ => HandBack(tag),
                });
                if random.bool() {
                    continue;
                }
                while let Some(frame) = queue.pop() {
                    let (Frame::Ack { tag, .. } | Frame::Nack { tag }) = frame;
                    assert!(
                        open.remove(&tag),
                        "seed {seed}: {frame:?} names no open tag"
                    );
                    if let Frame::Ack { multiple: true, .. } = frame {
                        open.retain(|other| *other > tag);
                    }
                }
            }
        }
    }
}
