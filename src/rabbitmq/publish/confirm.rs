//! Confirmed publishing, many at a time, each outcome told to the right message.
//!
//! A lane is a channel with at most one message between publish and confirm. With several on
//! one channel, lapin hands a returned message to whichever confirm it completes first, so a
//! message that no queue took could be reported as taken while another one is blamed.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::try_join_all;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};

use crate::rabbitmq::{
    LetterRefusal, Loss,
    connection::{
        Link,
        loss::{ACCESS_REFUSED, CallError, NOT_FOUND, within},
    },
};

/// A message on its way out. Always mandatory: a message that no queue takes is a failure.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) exchange: ShortString,
    pub(crate) routing_key: ShortString,
    pub(crate) body: Bytes,
    pub(crate) properties: BasicProperties,
}

/// The broker has no copy of the message.
pub(crate) struct Refused {
    pub(crate) why: LetterRefusal,
    pub(crate) outgoing: Outgoing,
}

type Outcome = Result<(), Refused>;

pub(crate) struct Lanes {
    connection: Arc<Connection>,
    lanes: Vec<Lane>,
    waiting: VecDeque<(u64, Outgoing)>,
    call_limit: Duration,
    confirm_limit: Duration,
    blocked: bool,
    /// Confirms are only overdue counted from here.
    flowing_since: Instant,
}

/// The broker refuses some messages by closing the channel, which says nothing of others: the lane is opened again.
enum Lane {
    Free(Channel),
    InFlight(Box<InFlight>),
    Opening(Pin<Box<dyn Future<Output = Result<Channel, CallError>> + Send>>),
}

struct InFlight {
    id: u64,
    since: Instant,
    channel: Channel,
    outgoing: Outgoing,
    confirmation: Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>,
}

impl Lanes {
    pub(crate) async fn open(
        link: &Link,
        count: usize,
        call_limit: Duration,
        confirm_limit: Duration,
    ) -> Result<Self, CallError> {
        let connection = link.connection();
        let channels = (0..count).map(|_| open(Arc::clone(&connection), call_limit));
        let channels = try_join_all(channels).await?;
        Ok(Self {
            connection,
            lanes: channels.into_iter().map(Lane::Free).collect(),
            waiting: VecDeque::new(),
            call_limit,
            confirm_limit,
            blocked: false,
            flowing_since: Instant::now(),
        })
    }

    pub(crate) fn push(&mut self, id: u64, outgoing: Outgoing) {
        self.waiting.push_back((id, outgoing));
    }

    /// How many have no outcome yet.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.waiting.len() + self.in_flight().count()
    }

    fn in_flight(&self) -> impl Iterator<Item = &InFlight> {
        self.lanes.iter().filter_map(|lane| match lane {
            Lane::InFlight(in_flight) => Some(&**in_flight),
            Lane::Free(_) | Lane::Opening(_) => None,
        })
    }

    /// A blocked broker is slow, not dead: confirms are not overdue while it blocks.
    pub(crate) fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
        self.flowing_since = Instant::now();
    }

    /// The next outcome. `Pending` when nothing is in flight.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(u64, Outcome), Loss>> {
        for lane in &mut self.lanes {
            if let Lane::Opening(opening) = lane
                && let Poll::Ready(channel) = opening.as_mut().poll(cx)
            {
                *lane = Lane::Free(channel?);
            }
            if let Lane::Free(channel) = lane
                && let Some((id, outgoing)) = self.waiting.pop_front()
            {
                let in_flight = InFlight::start(channel.clone(), id, outgoing);
                *lane = Lane::InFlight(Box::new(in_flight));
            }
            let Lane::InFlight(in_flight) = lane else {
                continue;
            };
            let Poll::Ready(confirmation) = in_flight.confirmation.as_mut().poll(cx) else {
                continue;
            };
            let next = match &confirmation {
                Ok(_) => Lane::Free(in_flight.channel.clone()),
                Err(_) => Lane::Opening(Box::pin(open(
                    Arc::clone(&self.connection),
                    self.call_limit,
                ))),
            };
            let Lane::InFlight(over) = std::mem::replace(lane, next) else {
                continue;
            };
            let InFlight { id, outgoing, .. } = *over;
            let outcome = match refusal(confirmation)? {
                None => Ok(()),
                Some(why) => Err(Refused { why, outgoing }),
            };
            return Poll::Ready(Ok((id, outcome)));
        }
        Poll::Pending
    }

    /// Err when a confirm is overdue.
    pub(crate) fn check(&self) -> Result<(), Loss> {
        let overdue = |in_flight: &InFlight| {
            in_flight.since.max(self.flowing_since).elapsed() > self.confirm_limit
        };
        if !self.blocked && self.in_flight().any(overdue) {
            return Err(Loss::Silent {
                operation: "a publish",
                limit: self.confirm_limit,
            });
        }
        Ok(())
    }
}

async fn open(connection: Arc<Connection>, limit: Duration) -> Result<Channel, CallError> {
    let channel = within(limit, "channel.open", connection.create_channel()).await?;
    let select = channel.confirm_select(ConfirmSelectOptions::default());
    within(limit, "confirm.select", select).await?;
    Ok(channel)
}

impl InFlight {
    fn start(channel: Channel, id: u64, outgoing: Outgoing) -> InFlight {
        let (sent, to) = (outgoing.clone(), channel.clone());
        let confirmation = async move {
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let Outgoing {
                exchange,
                routing_key,
                body,
                properties,
            } = sent;
            let publish = to.basic_publish(exchange, routing_key, options, &body, properties);
            publish.await?.await
        };
        InFlight {
            id,
            since: Instant::now(),
            channel,
            outgoing,
            confirmation: Box::pin(confirmation),
        }
    }
}

/// Only an ack without a return means that a queue has it. A closed channel is a refusal of its one message.
fn refusal(confirmation: lapin::Result<Confirmation>) -> Result<Option<LetterRefusal>, Loss> {
    match confirmation {
        Ok(Confirmation::Ack(None)) => Ok(None),
        Ok(Confirmation::Ack(Some(_))) => Ok(Some(LetterRefusal::Returned)),
        Ok(Confirmation::Nack(_)) => Ok(Some(LetterRefusal::Nacked)),
        Ok(Confirmation::NotRequested) => Err(Loss::Broken {
            cause: "a publish channel is not in confirm mode".to_owned(),
        }),
        Err(error) if error.is_amqp_soft_error() => {
            let error = CallError::Failed(error);
            let size = |text: &str| text.contains("message size");
            Ok(Some(match error.reply_code() {
                Some(NOT_FOUND) => LetterRefusal::ExchangeGone,
                Some(ACCESS_REFUSED) => LetterRefusal::Denied,
                _ if error.reply_text().is_some_and(size) => LetterRefusal::TooLarge,
                code => LetterRefusal::Unacceptable {
                    code: code.unwrap_or_default(),
                },
            }))
        }
        Err(error) => Err(error.into()),
    }
}
