//! Confirmed publishing, many at a time, each outcome told to the right message.
//!
//! A lane is a channel with at most one message between publish and confirm. With several on
//! one channel, lapin hands a returned message to whichever confirm it completes first, so a
//! message that no queue took could be reported as taken while another one is blamed.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::try_join_all;
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};

use super::{
    LetterRefusal, Loss,
    link::Link,
    loss::{ACCESS_REFUSED, CallError, NOT_FOUND, within},
};

/// A message on its way out. Always mandatory: a message that no queue takes is a failure.
pub(super) struct Outgoing {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) body: Bytes,
    pub(super) properties: BasicProperties,
}

pub(super) type Outcome = Result<(), LetterRefusal>;

pub(super) struct Lanes {
    lanes: Vec<Lane>,
    waiting: VecDeque<(u64, Outgoing)>,
    confirm_limit: Duration,
    blocked: bool,
    /// Confirms are only overdue counted from here.
    flowing_since: Instant,
}

struct Lane {
    channel: Channel,
    in_flight: Option<InFlight>,
}

struct InFlight {
    id: u64,
    since: Instant,
    confirmation: Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>,
}

impl Lanes {
    pub(super) async fn open(
        link: &Link,
        count: usize,
        call_limit: Duration,
        confirm_limit: Duration,
    ) -> Result<Self, CallError> {
        let lane = async || {
            let channel = link.channel().await?;
            let select = channel.confirm_select(ConfirmSelectOptions::default());
            within(call_limit, "confirm.select", select).await?;
            Ok::<_, CallError>(Lane {
                channel,
                in_flight: None,
            })
        };
        Ok(Self {
            lanes: try_join_all((0..count).map(|_| lane())).await?,
            waiting: VecDeque::new(),
            confirm_limit,
            blocked: false,
            flowing_since: Instant::now(),
        })
    }

    pub(super) fn push(&mut self, id: u64, outgoing: Outgoing) {
        self.waiting.push_back((id, outgoing));
    }

    /// How many have no outcome yet.
    pub(super) fn unconfirmed(&self) -> usize {
        let in_flight = self.lanes.iter().filter(|lane| lane.in_flight.is_some());
        self.waiting.len() + in_flight.count()
    }

    /// A blocked broker is slow, not dead: confirms are not overdue while it blocks.
    pub(super) fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
        self.flowing_since = Instant::now();
    }

    /// The next outcome. `Pending` when nothing is in flight.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(u64, Outcome), Loss>> {
        for lane in &mut self.lanes {
            if lane.in_flight.is_none() {
                let Some((id, outgoing)) = self.waiting.pop_front() else {
                    continue;
                };
                lane.start(id, outgoing);
            }
            let Some(in_flight) = &mut lane.in_flight else {
                continue;
            };
            if let Poll::Ready(confirmation) = in_flight.confirmation.as_mut().poll(cx) {
                let id = in_flight.id;
                lane.in_flight = None;
                return Poll::Ready(Ok((id, outcome(confirmation)?)));
            }
        }
        Poll::Pending
    }

    /// Err when a channel is gone or a confirm is overdue.
    pub(super) fn check(&self) -> Result<(), Loss> {
        if self.lanes.iter().any(|it| !it.channel.status().connected()) {
            return Err(Loss::Broken {
                cause: "a publish channel is closed".to_owned(),
            });
        }
        let overdue = |in_flight: &InFlight| {
            in_flight.since.max(self.flowing_since).elapsed() > self.confirm_limit
        };
        if !self.blocked
            && self
                .lanes
                .iter()
                .filter_map(|it| it.in_flight.as_ref())
                .any(overdue)
        {
            return Err(Loss::Silent {
                operation: "a publish",
                limit: self.confirm_limit,
            });
        }
        Ok(())
    }
}

impl Lane {
    fn start(&mut self, id: u64, outgoing: Outgoing) {
        let channel = self.channel.clone();
        let confirmation = async move {
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            channel
                .basic_publish(
                    outgoing.exchange,
                    outgoing.routing_key,
                    options,
                    &outgoing.body,
                    outgoing.properties,
                )
                .await?
                .await
        };
        self.in_flight = Some(InFlight {
            id,
            since: Instant::now(),
            confirmation: Box::pin(confirmation),
        });
    }
}

/// Only an ack without a return means that a queue has it.
fn outcome(confirmation: lapin::Result<Confirmation>) -> Result<Outcome, Loss> {
    match confirmation {
        Ok(Confirmation::Ack(None)) => Ok(Ok(())),
        Ok(Confirmation::Ack(Some(_))) => Ok(Err(LetterRefusal::Returned)),
        Ok(Confirmation::Nack(_)) => Ok(Err(LetterRefusal::Nacked)),
        Ok(Confirmation::NotRequested) => Err(Loss::Broken {
            cause: "a publish channel is not in confirm mode".to_owned(),
        }),
        Err(error) => {
            let error = CallError::Failed(error);
            Err(match error.reply_code() {
                Some(NOT_FOUND) => Loss::ExchangeGone,
                Some(ACCESS_REFUSED) => Loss::PublishDenied,
                _ => error.into(),
            })
        }
    }
}
