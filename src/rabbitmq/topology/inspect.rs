//! The broker checks of `tagsweep check`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use super::Scratch;
use crate::letter::CHECK;
use crate::rabbitmq::{
    Loss, Options, Part,
    connection::{CHANNELS, Link},
    publish::{Lanes, Outgoing, Refused},
};

/// The result of one check. The detail names the remedy if there is one, and never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: &'static str,
    pub outcome: Outcome,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Warn,
    Fail,
}

const LOGIN: &str = "broker login";
const BINDINGS: &str = "bindings";
const DEAD_LETTER_ROUTE: &str = "dead-letter route";
/// How long after a message its alarm may come.
const ALARM: Duration = Duration::from_millis(300);

/// Tries the login, each exchange and queue, the bindings, and the dead-letter route.
///
/// Only `declare` changes anything: it creates and binds what the worker would. The route is tested with a message
/// that expires at once and carries the header `tagsweep-check`.
pub async fn inspect(options: &Options, declare: bool) -> Vec<Finding> {
    let unusable = unusable_urls(options).await;
    // Two, as the worker has: a limit may let in one only.
    let opened = async {
        let link = Link::open_any(options, "tagsweep check").await?;
        Ok((link, Link::open_any(options, "tagsweep check").await?))
    };
    let (link, publish) = match opened.await {
        Ok(links) => links,
        Err(loss) => return vec![finding(LOGIN, Err::<_, Loss>(loss))],
    };
    let mut inspection = Inspection {
        scratch: Scratch::new(link.connection(), options.timing.call),
        link: &link,
        options,
        declare,
        findings: vec![finding(LOGIN, Ok::<_, Loss>(link.login.clone()))],
    };
    inspection.findings.extend(unusable);
    inspection.run(&publish).await;
    let findings = inspection.findings;
    // Everything is known by now; how the goodbye goes changes nothing.
    let _ = tokio::join!(link.close(), publish.close());
    findings
}

/// Of several URLs, those that would not help if the others failed. Each is closed before the next is tried: a limit
/// may let in few.
async fn unusable_urls(options: &Options) -> Vec<Finding> {
    let mut found = Vec::new();
    if options.urls.len() == 1 {
        return found;
    }
    for position in 0..options.urls.len() {
        match Link::open(options, position, "tagsweep check").await {
            Ok(link) => drop(link.close().await),
            Err(loss) => found.push(Finding {
                what: LOGIN,
                outcome: Outcome::Warn,
                detail: format!("URL {}: {loss}", position + 1),
            }),
        }
    }
    found
}

struct Inspection<'a> {
    scratch: Scratch,
    link: &'a Link,
    options: &'a Options,
    declare: bool,
    findings: Vec<Finding>,
}

impl Inspection<'_> {
    async fn run(&mut self, publish: &Link) {
        let exchange = self.exchange(Part::Exchange).await;
        let queue = self.queue(Part::Queue).await;
        if exchange && queue {
            self.bindings().await;
        }
        let exchange = self.exchange(Part::DeadLetterExchange).await;
        let queue = self.queue(Part::DeadLetterQueue).await;
        // Without these it cannot work, and they were told.
        if exchange && queue {
            let route = self.dead_letter_route(publish).await;
            self.findings.push(finding(DEAD_LETTER_ROUTE, route));
        }
    }

    /// Checks that the exchange exists.
    async fn exchange(&mut self, part: Part) -> bool {
        let found = self.scratch.check_exchange(part, self.options).await;
        let created = self.declare && matches!(found, Err(Loss::Missing { .. }));
        let found = match found {
            Ok(()) if !self.declares() => Ok(()),
            Err(loss) if !created => Err(loss),
            _ => self.scratch.declare_exchange(part, self.options).await,
        };
        self.tell(part, created, found.map(|()| String::new()))
    }

    /// Checks that the queue exists and is usable.
    async fn queue(&mut self, part: Part) -> bool {
        let found = self.scratch.check_queue(part, self.options).await;
        let created = self.declare && matches!(found, Err(Loss::Missing { .. }));
        let holds = match found {
            Ok(queue) => {
                let (messages, consumers) = (queue.message_count(), queue.consumer_count());
                Ok(format!(
                    ": {messages} messages ready, {consumers} consumers"
                ))
            }
            Err(_) if created => Ok(String::new()),
            Err(loss) => Err(loss),
        };
        let declares = self.declares();
        let found = match holds {
            Ok(holds) => {
                let judged = self.scratch.judge(part, self.options, declares).await;
                judged.map(|()| holds)
            }
            Err(loss) => Err(loss),
        };
        self.tell(part, created, found)
    }

    /// Redeclaring what exists changes nothing, and shows whether the worker has the permission.
    fn declares(&self) -> bool {
        self.declare || self.options.declare
    }

    async fn bindings(&mut self) {
        let (queue, exchange) = (&self.options.queue, &self.options.exchange);
        let keys = self.options.routing_keys.join(", ");
        let binding = format!("{exchange:?} to {queue:?} with {keys}");
        if self.declare {
            let bound = self.scratch.bind_queue(self.options).await;
            self.tell_as(BINDINGS, bound.map(|()| format!("bound {binding}")));
            return;
        }
        let (outcome, detail) = match self.options.declare {
            true => (
                Outcome::Ok,
                format!("the worker binds {binding} when it starts"),
            ),
            false => (
                Outcome::Warn,
                format!(
                    "AMQP cannot list bindings: check that {binding} is bound, or bind it with `tagsweep check --declare`"
                ),
            ),
        };
        self.findings.push(Finding {
            what: BINDINGS,
            outcome,
            detail,
        });
    }

    async fn dead_letter_route(&mut self, publish: &Link) -> Result<String, String> {
        if self.declare {
            let route = self.scratch.declare_dead_letter_route(self.options).await;
            // Both are there and were told of.
            self.scratch.take_warnings();
            route.map_err(|loss| loss.explained(&self.link.farewell).to_string())?;
        }
        try_dead_letter_route(publish, self.options).await?;
        // AMQP does not tell to which queue.
        let unseen = match self.declares() {
            true => String::new(),
            false => format!(
                ": see that queue {:?} is bound to {:?}",
                self.options.dead_letter_queue, self.options.dead_letter_exchange
            ),
        };
        Ok(format!(
            "a message that expires at once was routed and confirmed{unseen}"
        ))
    }

    fn tell(&mut self, part: Part, created: bool, holds: Result<String, Loss>) -> bool {
        let name = self.options.name_of(part);
        let created = if created { "created " } else { "" };
        self.tell_as(
            part.name(),
            holds.map(|holds| format!("{created}{name:?}{holds}")),
        )
    }

    /// Adds a finding about a part, with its warnings.
    fn tell_as(&mut self, what: &'static str, found: Result<String, Loss>) -> bool {
        let is_there = found.is_ok();
        let found = found.map_err(|loss| match loss {
            Loss::Missing { name, .. } => format!("{name:?} does not exist: {}", self.remedy()),
            loss => loss.explained(&self.link.farewell).to_string(),
        });
        self.findings.push(finding(what, found));
        for warning in self.scratch.take_warnings() {
            self.findings.push(Finding {
                what,
                outcome: Outcome::Warn,
                detail: warning.to_string(),
            });
        }
        is_there
    }

    fn remedy(&self) -> &'static str {
        match self.options.declare {
            true => "`tagsweep check --declare` creates it, as `tagsweep run` would",
            false => "create it, or let `tagsweep check --declare` do so",
        }
    }
}

async fn try_dead_letter_route(link: &Link, options: &Options) -> Result<(), String> {
    let text = |loss: Loss| loss.explained(&link.farewell).to_string();
    let opened = Lanes::open(link, CHANNELS.into()).await;
    let mut lane = opened.map_err(|error| text(error.into()))?;
    let mut headers = FieldTable::default();
    headers.insert(CHECK.into(), AMQPValue::Boolean(true));
    let mut events = link.events();
    lane.push(
        0,
        Outgoing {
            exchange: options.dead_letter_exchange.as_str().into(),
            // As a letter has: permissions may depend on it.
            routing_key: options
                .routing_keys
                .first()
                .map_or("tagsweep.check", String::as_str)
                .into(),
            body: Bytes::new(),
            properties: BasicProperties::default()
                .with_expiration("0".into())
                .with_headers(headers),
        },
    );
    let confirmed = tokio::time::timeout(link.timing.confirm, lane.next()).await;
    let (_, outcome) = confirmed
        .map_err(|_| "no confirm in time: the broker may block publishers".to_owned())?
        .map_err(text)?;
    // A broker with an alarm says so after the first message, and takes no more.
    while let Ok(Some(event)) = tokio::time::timeout(ALARM, events.next()).await {
        if matches!(event, lapin::Event::ConnectionBlocked(_)) {
            return Err("the broker has a memory or disk alarm and takes no messages: see rabbitmqctl status".to_owned());
        }
    }
    outcome.map_err(|Refused { why, .. }| {
        format!(
            "exchange {:?}: {why}; see that queue {:?} is bound to it and not full",
            options.dead_letter_exchange, options.dead_letter_queue
        )
    })
}

fn finding<E: ToString>(what: &'static str, found: Result<String, E>) -> Finding {
    let (outcome, detail) = match found {
        Ok(detail) => (Outcome::Ok, detail),
        Err(error) => (Outcome::Fail, error.to_string()),
    };
    Finding {
        what,
        outcome,
        detail,
    }
}
