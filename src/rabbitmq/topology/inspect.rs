//! What `tagsweep check` wants to know of the broker.

use bytes::Bytes;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use super::prepare;
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
        let (consume, _) = Link::open_any(options, "tagsweep check").await?;
        let (publish, _) = Link::open_any(options, "tagsweep check").await?;
        Ok((consume, publish))
    };
    let (link, publish) = match opened.await {
        Ok(links) => links,
        Err(loss) => return vec![finding(LOGIN, Err::<(), Loss>(loss), "")],
    };
    let mut findings = vec![finding(LOGIN, Ok::<_, Loss>(()), "logged in")];
    findings.extend(inspect_topology(&link, options).await);
    let route = try_dead_letter_route(&publish, options).await;
    findings.push(finding(
        DEAD_LETTER_ROUTE,
        route,
        "a queue took a message that expires at once",
    ));
    // Everything is known by now; how the goodbye goes changes nothing.
    let _ = tokio::join!(link.close(), publish.close());
    findings
}

async fn inspect_topology(link: &Link, options: &Options) -> Vec<Finding> {
    let topology = match prepare(link.connection(), options).await {
        Ok(topology) => topology,
        Err(loss) => {
            let loss = loss.explained(&link.farewell());
            return vec![finding(TOPOLOGY, Err(loss), "")];
        }
    };
    let mut findings = vec![finding(
        TOPOLOGY,
        Ok::<_, Loss>(()),
        "2 exchanges and 2 queues found",
    )];
    findings.extend(topology.warnings.iter().map(|warning| Finding {
        what: TOPOLOGY,
        outcome: Outcome::Warn,
        detail: warning.to_string(),
    }));
    findings.push(if options.declare {
        finding(BINDINGS, Ok::<_, Loss>(()), "all found")
    } else {
        Finding {
            what: BINDINGS,
            outcome: Outcome::Warn,
            detail: format!(
                "not known: AMQP cannot show bindings without making them; see that queue {:?} is bound to exchange {:?} for each of rabbitmq.routing_keys",
                options.queue, options.exchange
            ),
        }
    });
    findings
}

async fn try_dead_letter_route(link: &Link, options: &Options) -> Result<(), String> {
    let text = |loss: Loss| loss.explained(&link.farewell()).to_string();
    let timing = options.timing;
    let mut lane = Lanes::open(link, CHANNELS.into(), timing.call, timing.confirm)
        .await
        .map_err(|error| text(error.into()))?;
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
    let confirmed = tokio::time::timeout(timing.confirm, lane.next()).await;
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

fn finding<E: ToString>(what: &'static str, result: Result<(), E>, detail: &str) -> Finding {
    let (outcome, detail) = match result {
        Ok(()) => (Outcome::Ok, detail.to_owned()),
        Err(error) => (Outcome::Fail, error.to_string()),
    };
    Finding {
        what,
        outcome,
        detail,
    }
}
