//! What `tagsweep check` wants to know of the broker.

use bytes::Bytes;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use super::{Topology, prepare};
use crate::rabbitmq::{
    Loss, Options,
    connection::{CHANNELS, Link},
    publish::{Lanes, Outgoing, Refused},
};

/// What one look at the broker showed. The detail names the remedy where there is something to
/// do, and never a secret.
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
const TOPOLOGY: &str = "queues and exchanges";
const BINDINGS: &str = "bindings";
const DEAD_LETTER_ROUTE: &str = "dead-letter route";

/// Tries the login, the queues and exchanges, the bindings, and the dead-letter route.
///
/// With `options.declare` it makes what is missing, as the worker would. The route is tried with
/// a message that expires at once and carries the header `tagsweep-check`.
pub async fn inspect(options: &Options) -> Vec<Finding> {
    // Two, as the worker has: a limit may let in one only.
    let opened = async {
        let link = Link::open_any(options, "tagsweep check").await?;
        Ok((link, Link::open_any(options, "tagsweep check").await?))
    };
    let (link, publish) = match opened.await {
        Ok(links) => links,
        Err(loss) => return vec![finding(LOGIN, Outcome::Fail, Loss::to_string(&loss))],
    };
    let mut findings = vec![finding(LOGIN, Outcome::Ok, "logged in")];
    match prepare(link.connection(), options).await {
        Ok(topology) => findings.extend(found(&topology, options)),
        Err(loss) => {
            let loss = loss.explained(&link.farewell);
            findings.push(finding(TOPOLOGY, Outcome::Fail, loss.to_string()));
        }
    }
    findings.push(match try_dead_letter_route(&publish, options).await {
        Ok(()) => {
            let taken = "a queue took a message that expires at once";
            finding(DEAD_LETTER_ROUTE, Outcome::Ok, taken)
        }
        Err(why) => finding(DEAD_LETTER_ROUTE, Outcome::Fail, why),
    });
    // Everything is known by now; how the goodbye goes changes nothing.
    let _ = tokio::join!(link.close(), publish.close());
    findings
}

fn found(topology: &Topology, options: &Options) -> Vec<Finding> {
    let all = finding(TOPOLOGY, Outcome::Ok, "2 exchanges and 2 queues found");
    let warnings = topology.warnings.iter();
    let warnings = warnings.map(|warning| finding(TOPOLOGY, Outcome::Warn, warning.to_string()));
    let bindings = match options.declare {
        true => finding(BINDINGS, Outcome::Ok, "all found"),
        false => {
            let unknown = format!(
                "not known: AMQP cannot show bindings without making them; see that queue {:?} is bound to exchange {:?} for each of rabbitmq.routing_keys",
                options.queue, options.exchange
            );
            finding(BINDINGS, Outcome::Warn, unknown)
        }
    };
    std::iter::once(all)
        .chain(warnings)
        .chain([bindings])
        .collect()
}

async fn try_dead_letter_route(link: &Link, options: &Options) -> Result<(), String> {
    let text = |loss: Loss| loss.explained(&link.farewell).to_string();
    let opened = Lanes::open(link, CHANNELS.into()).await;
    let mut lane = opened.map_err(|error| text(error.into()))?;
    let mut headers = FieldTable::default();
    headers.insert("tagsweep-check".into(), AMQPValue::Boolean(true));
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
    outcome.map_err(|Refused { why, .. }| {
        format!(
            "exchange {:?}: {why}; see that queue {:?} is bound to it and not full",
            options.dead_letter_exchange, options.dead_letter_queue
        )
    })
}

fn finding(what: &'static str, outcome: Outcome, detail: impl Into<String>) -> Finding {
    Finding {
        what,
        outcome,
        detail: detail.into(),
    }
}
