//! Somebody who publishes an event again until the broker has confirmed it.

use std::cell::Cell;
use std::time::Duration;

use testkit::amqp::Amqp;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::stage::{EXCHANGE, Stage, deleted};

/// Events are published in sets of this many, and a set is repeated as a whole.
const SET: usize = 20;
const PERIOD: Duration = Duration::from_millis(20);
/// From publish to confirm, before it is tried on another node.
const LIMIT: Duration = Duration::from_secs(5);

/// A steady load of 1,000 events a second, each for a user of its own, at least once each.
pub struct Publisher<'a> {
    stage: &'a Stage,
    urls: &'a [String],
    begun: Cell<usize>,
    repeated: Cell<usize>,
    ended: Cell<bool>,
}

impl<'a> Publisher<'a> {
    pub fn new(stage: &'a Stage, urls: &'a [String]) -> Publisher<'a> {
        Publisher {
            stage,
            urls,
            begun: Cell::new(0),
            repeated: Cell::new(0),
            ended: Cell::new(false),
        }
    }

    /// Publishes until [`end`](Self::end); then every user below [`begun`](Self::begun) has an
    /// event that was confirmed.
    pub async fn run(&self) {
        let mut urls = self.urls.iter().cycle();
        let mut connection = None;
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.ended.get() {
            ticks.tick().await;
            let first = self.begun.get();
            let users = first..first + SET;
            self.stage.import(users.clone());
            self.begun.set(users.end);
            loop {
                let amqp = match connection.take() {
                    Some(amqp) => amqp,
                    None => match Amqp::connect(urls.next().expect("it never ends")).await {
                        Ok(amqp) => amqp,
                        Err(_) => {
                            ticks.tick().await;
                            continue;
                        }
                    },
                };
                let events = users.clone().map(|user| deleted(&[user]));
                if let Ok(Ok(_)) = timeout(LIMIT, amqp.publish(EXCHANGE, events)).await {
                    connection = Some(amqp);
                    break;
                }
                self.repeated.set(self.repeated.get() + SET);
            }
        }
    }

    pub fn end(&self) {
        self.ended.set(true);
    }

    /// Users below this have an event on the way at least.
    pub fn begun(&self) -> usize {
        self.begun.get()
    }

    /// Events that were published again, as nobody knows whether they had arrived.
    pub fn repeated(&self) -> usize {
        self.repeated.get()
    }
}
