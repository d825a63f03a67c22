//! A queue with a single active consumer, like RabbitMQ's. It knows neither wires nor workers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;

use crate::plan::Requeue;

/// Names a session for good.
pub type SessionId = usize;

#[derive(Clone, Copy, Debug)]
pub struct Message {
    pub publication: usize,
    pub redelivered: bool,
    /// How often it came back to the queue, by a return or with a session.
    pub returned: u32,
}

/// A message that came back more often than the limit allows. There is no dead-letter exchange: it is gone.
#[derive(Clone, Copy, Debug)]
pub struct Dropped {
    pub publication: usize,
    /// The session that had it last, and since when.
    pub session: SessionId,
    pub since: Duration,
}

/// A message on its way to a consumer.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub session: SessionId,
    /// Counts all consumers that there ever were.
    pub consumer: u64,
    /// How often its session had asked for a consumer by then.
    pub asked: u32,
    pub tag: u64,
    pub message: Message,
}

/// A delivery that is held past the consumer timeout.
#[derive(Clone, Copy, Debug)]
pub struct Overdue {
    pub session: SessionId,
    /// How often the message came back before.
    pub returned: u32,
}

#[derive(Debug)]
struct Consumer {
    /// The earliest of all is the active one. None: it is cancelled, but its session still holds deliveries.
    since: Option<u64>,
    prefetch: usize,
    asked: u32,
    next_tag: u64,
    unacked: BTreeMap<u64, (Message, Duration)>,
}

#[derive(Debug)]
pub struct Broker {
    requeue: Requeue,
    delivery_limit: Option<u32>,
    next_consumer: u64,
    ready: VecDeque<Message>,
    consumers: BTreeMap<SessionId, Consumer>,
    dropped: Vec<Dropped>,
}

/// A frame of a session that the broker does not know any more is no mistake; one that names a delivery
/// it does not hold is.
pub type Settled = Result<Vec<usize>, String>;

impl Broker {
    pub fn new(requeue: Requeue, delivery_limit: Option<u32>) -> Broker {
        Broker {
            requeue,
            delivery_limit,
            next_consumer: 0,
            ready: VecDeque::new(),
            consumers: BTreeMap::new(),
            dropped: Vec::new(),
        }
    }

    pub fn publish(&mut self, publication: usize) {
        self.ready.push_back(Message {
            publication,
            redelivered: false,
            returned: 0,
        });
    }

    pub fn open(&mut self, session: SessionId) {
        let consumer = Consumer {
            since: None,
            prefetch: 0,
            asked: 0,
            next_tag: 0,
            unacked: BTreeMap::new(),
        };
        self.consumers.insert(session, consumer);
    }

    /// The session's consumer, if it has one, is cancelled; with a prefetch it consumes anew, behind all others.
    pub fn consume(&mut self, session: SessionId, prefetch: usize) {
        if let Some(consumer) = self.consumers.get_mut(&session) {
            self.next_consumer += 1;
            consumer.since = (prefetch > 0).then_some(self.next_consumer);
            consumer.prefetch = prefetch;
            consumer.asked += 1;
        }
    }

    pub fn is_consumed(&self) -> bool {
        self.consumers
            .values()
            .any(|consumer| consumer.since.is_some())
    }

    /// The session is over: all that it held comes back.
    pub fn close(&mut self, session: SessionId, rng: &mut Rng) {
        let Some(consumer) = self.consumers.remove(&session) else {
            return;
        };
        // The last goes back first, so that at the head of the queue they stand in their old order.
        for (message, since) in consumer.unacked.into_values().rev() {
            self.put_back(session, message, since, rng);
        }
    }

    /// What is delivered next, to the consumer that came first.
    pub fn deliver(&mut self, now: Duration) -> Option<Sent> {
        let consuming = self.consumers.iter_mut();
        let consuming =
            consuming.filter_map(|(session, consumer)| Some((consumer.since?, *session, consumer)));
        let (since, session, consumer) = consuming.min_by_key(|(since, _, _)| *since)?;
        if consumer.unacked.len() >= consumer.prefetch {
            return None;
        }
        let message = self.ready.pop_front()?;
        consumer.next_tag += 1;
        consumer.unacked.insert(consumer.next_tag, (message, now));
        Some(Sent {
            session,
            consumer: since,
            asked: consumer.asked,
            tag: consumer.next_tag,
            message,
        })
    }

    pub fn acknowledge_up_to(&mut self, session: SessionId, tag: u64) -> Settled {
        let Some(consumer) = self.consumers.get_mut(&session) else {
            return Ok(Vec::new());
        };
        if !consumer.unacked.contains_key(&tag) {
            return Err(format!("acknowledged up to {tag}, which is not held"));
        }
        let rest = consumer.unacked.split_off(&(tag + 1));
        let done = std::mem::replace(&mut consumer.unacked, rest);
        Ok(done.into_values().map(|(it, _)| it.publication).collect())
    }

    pub fn acknowledge(&mut self, session: SessionId, tag: u64) -> Settled {
        let Some(consumer) = self.consumers.get_mut(&session) else {
            return Ok(Vec::new());
        };
        let held = consumer.unacked.remove(&tag);
        let (message, _) = held.ok_or_else(|| format!("acknowledged {tag}, which is not held"))?;
        Ok(vec![message.publication])
    }

    pub fn hand_back(&mut self, session: SessionId, tag: u64, rng: &mut Rng) -> Settled {
        let Some(consumer) = self.consumers.get_mut(&session) else {
            return Ok(Vec::new());
        };
        let held = consumer.unacked.remove(&tag);
        let (message, since) =
            held.ok_or_else(|| format!("handed back {tag}, which is not held"))?;
        self.put_back(session, message, since, rng);
        Ok(Vec::new())
    }

    fn put_back(&mut self, session: SessionId, message: Message, since: Duration, rng: &mut Rng) {
        let message = Message {
            redelivered: true,
            returned: message.returned + 1,
            ..message
        };
        if self
            .delivery_limit
            .is_some_and(|limit| message.returned > limit)
        {
            let publication = message.publication;
            return self.dropped.push(Dropped {
                publication,
                session,
                since,
            });
        }
        match self.requeue {
            Requeue::Head => self.ready.push_front(message),
            Requeue::Tail => self.ready.push_back(message),
            Requeue::Anywhere => {
                let place = rng.usize(..=self.ready.len());
                self.ready.insert(place, message);
            }
        }
    }

    /// What was dropped since this was last asked.
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// The first session that has held a delivery since before `moment`, with the oldest such delivery.
    pub fn overdue(&self, moment: Duration) -> Option<Overdue> {
        self.consumers.iter().find_map(|(session, consumer)| {
            let held = consumer
                .unacked
                .values()
                .filter(|(_, since)| *since < moment);
            let (message, _) = held.min_by_key(|(_, since)| *since)?;
            Some(Overdue {
                session: *session,
                returned: message.returned,
            })
        })
    }

    pub fn knows(&self, session: SessionId) -> bool {
        self.consumers.contains_key(&session)
    }

    pub fn sessions(&self) -> Vec<SessionId> {
        self.consumers.keys().copied().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
            && self
                .consumers
                .values()
                .all(|consumer| consumer.unacked.is_empty())
    }
}
