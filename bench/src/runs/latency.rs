//! Latency at a low rate: from before an event is published until the API has the call, and until
//! it has answered.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use testkit::amqp::Outgoing;
use tokio::time::{sleep, sleep_until};

use super::Scale;
use crate::api::{Latency, Record};
use crate::backlog::{self, Backlog, EXCHANGE, Format};
use crate::contestant::Contestant;
use crate::queue::{self, QUEUE};
use crate::results::{LatencyRun, percentile};
use crate::stage::{Stage, Trial};

const API_LATENCY_MS: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn run(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<LatencyRun>> {
    let trickles: &[(u32, u32)] = scale.pick(
        &[(1, 60), (10, 60), (100, 30), (1_000, 30)],
        &[(10, 2), (1_000, 1)],
    );
    let mut runs = Vec::new();
    for (events_per_second, seconds) in trickles {
        let run = trickle(stage, *events_per_second, events_per_second * seconds).await?;
        eprintln!(
            "latency, {events_per_second} events/s: p50 {:.1} ms, p99 {:.1} ms; at the API after {:.1} ms (p50)",
            run.p50_ms,
            run.p99_ms,
            run.received_p50_ms.unwrap_or_default(),
        );
        runs.push(run);
    }
    Ok(runs)
}

async fn trickle(stage: &Stage, per_second: u32, events: u32) -> anyhow::Result<LatencyRun> {
    let latency = Latency::millis(API_LATENCY_MS, 0);
    // User 0 opens the worker's session and connection; the others are measured.
    let users = events + 1;
    let trial = Trial {
        contestant: Contestant::Tagsweep,
        backlog: Backlog::of(users, Format::Event),
        latency,
        in_flight: 16,
        calls_per_second: 100,
    };
    queue::make_anew(&stage.node, trial.contestant).await?;
    let began = stage.api.begin(users, latency);
    let process = stage.start(&trial, users)?;
    let url = stage.node.url();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    publish(&channel, backlog::event(0, 1)).await?;
    cleared(stage, 1).await?;

    let published = publish_evenly(&channel, per_second, events).await?;
    cleared(stage, users).await?;
    stage.settled().await?;
    stage.end(process, trial.contestant).await?;
    connection.close(200, "done".into()).await?;

    let waits = |time: fn(&Record, u32) -> Option<Duration>| -> anyhow::Result<Vec<f64>> {
        let mut waits = Vec::new();
        for (user, at) in (1..).zip(&published) {
            let time = stage.api.record(|record| time(record, user));
            let time = began + time.context("a user was not cleared")?;
            waits.push((time - *at).as_secs_f64() * 1e3);
        }
        waits.sort_by(f64::total_cmp);
        Ok(waits)
    };
    let received = waits(Record::received_at)?;
    let waits = waits(Record::cleared_at)?;
    Ok(LatencyRun {
        events_per_second: per_second,
        events,
        api_latency_ms: API_LATENCY_MS,
        p50_ms: percentile(&waits, 0.5),
        p99_ms: percentile(&waits, 0.99),
        p999_ms: percentile(&waits, 0.999),
        longest_ms: percentile(&waits, 1.0),
        received_p50_ms: Some(percentile(&received, 0.5)),
        received_p99_ms: Some(percentile(&received, 0.99)),
    })
}

/// Publishes users 1 to `events` with even gaps and says when each was on its way.
async fn publish_evenly(
    channel: &Channel,
    per_second: u32,
    events: u32,
) -> anyhow::Result<Vec<Instant>> {
    let gap = Duration::from_secs(1) / per_second;
    let began = tokio::time::Instant::now();
    let mut published = Vec::with_capacity(events as usize);
    for user in 1..=events {
        sleep_until(began + gap * user).await;
        let event = backlog::event(user, 1);
        published.push(Instant::now());
        publish(channel, event).await?;
    }
    Ok(published)
}

async fn publish(channel: &Channel, event: Outgoing) -> anyhow::Result<()> {
    channel
        .basic_publish(
            EXCHANGE.into(),
            event.routing_key.as_str().into(),
            BasicPublishOptions::default(),
            &event.body,
            event.properties,
        )
        .await?;
    Ok(())
}

async fn cleared(stage: &Stage, users: u32) -> anyhow::Result<()> {
    let began = Instant::now();
    while stage.api.record(Record::distinct) < users {
        if began.elapsed() > PATIENCE {
            bail!("{QUEUE} is not worked off");
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
