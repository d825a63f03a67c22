//! Concurrent confirmed publishing that assigns each outcome to the right message.
//!
//! A lane is a channel with at most one message between publish and confirm. With several on one channel, lapin
//! attaches a returned message to whichever confirm completes first, so an unrouted message could be reported as
//! confirmed, and a confirmed one as unrouted.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, try_join_all},
    stream::FuturesUnordered,
};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};

use super::PUBLISH;
use crate::rabbitmq::{
    LetterRefusal, Loss, Timing,
    connection::{
        ACCESS_REFUSED, Link, NOT_FOUND,
        loss::{CallError, within},
    },
};

/// A message to publish. Always mandatory: an unrouted message is a failure.
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

pub(crate) type Outcome = Result<(), Refused>;

/// Published and answered, with a channel for the next message.
type Done = Result<(u64, Outcome, Channel), Loss>;

pub(crate) struct Lanes {
    connection: Arc<Connection>,
    free: Vec<Channel>,
    in_flight: FuturesUnordered<BoxFuture<'static, Done>>,
    /// When those in flight were published.
    since: BTreeMap<u64, Instant>,
    waiting: VecDeque<(u64, Outgoing)>,
    timing: Timing,
    blocked: bool,
    /// Confirms are only overdue counted from here.
    flowing_since: Instant,
}

impl Lanes {
    pub(crate) async fn open(link: &Link, count: usize) -> Result<Self, CallError> {
        let (connection, timing) = (link.connection(), link.timing);
        let channels = (0..count).map(|_| open(&connection, timing.call));
        Ok(Self {
            free: try_join_all(channels).await?,
            connection,
            in_flight: FuturesUnordered::new(),
            since: BTreeMap::new(),
            waiting: VecDeque::new(),
            timing,
            blocked: false,
            flowing_since: Instant::now(),
        })
    }

    pub(crate) fn push(&mut self, id: u64, outgoing: Outgoing) {
        self.waiting.push_back((id, outgoing));
    }

    /// Number of messages without an outcome.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    /// A blocked broker is slow, not dead: confirms are not overdue while it blocks.
    pub(crate) fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
        self.flowing_since = Instant::now();
    }

    /// The next outcome. Cancel-safe. Never ready while nothing is unconfirmed.
    pub(crate) async fn next(&mut self) -> Result<(u64, Outcome), Loss> {
        while !self.waiting.is_empty()
            && let Some(channel) = self.free.pop()
            && let Some((id, outgoing)) = self.waiting.pop_front()
        {
            self.since.insert(id, Instant::now());
            let connection = Arc::clone(&self.connection);
            let published = publish(connection, channel, id, outgoing, self.timing.call);
            self.in_flight.push(published.boxed());
        }
        let Some(done) = self.in_flight.next().await else {
            return pending().await;
        };
        let (id, outcome, channel) = done?;
        self.since.remove(&id);
        self.free.push(channel);
        Ok((id, outcome))
    }

    /// Err when a confirm is overdue.
    pub(crate) fn check(&self) -> Result<(), Loss> {
        let mut in_flight = self.since.values();
        let overdue =
            |since: &Instant| (*since).max(self.flowing_since).elapsed() > self.timing.confirm;
        if !self.blocked && in_flight.any(overdue) {
            return Err(Loss::Silent {
                operation: PUBLISH,
                limit: self.timing.confirm,
            });
        }
        Ok(())
    }
}

async fn open(connection: &Connection, limit: Duration) -> Result<Channel, CallError> {
    let channel = within(limit, "channel.open", connection.create_channel()).await?;
    let select = channel.confirm_select(ConfirmSelectOptions::default());
    within(limit, "confirm.select", select).await?;
    Ok(channel)
}

/// The broker refuses some messages by closing the channel, which says nothing about others: the lane is reopened.
async fn publish(
    connection: Arc<Connection>,
    channel: Channel,
    id: u64,
    outgoing: Outgoing,
    limit: Duration,
) -> Done {
    let confirmation = confirmation(&channel, &outgoing).await;
    let channel = match &confirmation {
        Err(error) if error.is_amqp_soft_error() => open(&connection, limit).await?,
        _ => channel,
    };
    let outcome = match refusal(confirmation)? {
        None => Ok(()),
        Some(why) => Err(Refused { why, outgoing }),
    };
    Ok((id, outcome, channel))
}

async fn confirmation(channel: &Channel, outgoing: &Outgoing) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let Outgoing {
        exchange,
        routing_key,
        body,
        properties,
    } = outgoing.clone();
    let publish = channel.basic_publish(exchange, routing_key, options, &body, properties);
    publish.await?.await
}

/// Only an ack without a return means that a queue has the message. A closed channel is a refusal of its only
/// message.
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
            let (code, text) = error.reply().unwrap_or_default();
            Ok(Some(match code {
                NOT_FOUND => LetterRefusal::ExchangeGone,
                ACCESS_REFUSED => LetterRefusal::Denied,
                _ if text.contains("message size") => LetterRefusal::TooLarge,
                code => LetterRefusal::Unacceptable { code },
            }))
        }
        Err(error) => Err(error.into()),
    }
}
