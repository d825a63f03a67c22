//! Measures whether a longer backlog, or one of another shape, costs more per user.

use anyhow::Context;

use super::Scale;
use crate::api::Latency;
use crate::backlog::{Backlog, Format};
use crate::contestant::{Contestant, NO_QUOTA};
use crate::results::GrowthRun;
use crate::runs::contestants::in_flight;
use crate::stage::{Stage, Trial};

const LATENCY_MS: u64 = 20;
/// A round takes ten minutes, most of them to fill the queue.
const ROUNDS: u32 = 2;

pub async fn run(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<GrowthRun>> {
    let mut runs = Vec::new();
    for _ in 0..scale.repeat.min(ROUNDS) {
        for (shape, backlog) in backlogs(scale) {
            let trial = Trial {
                contestant: Contestant::Tagsweep,
                backlog,
                latency: Latency::millis(LATENCY_MS, 0),
                in_flight: in_flight(LATENCY_MS),
                calls_per_second: NO_QUOTA,
            };
            let outcome = stage.run(&trial).await?;
            let run = GrowthRun {
                shape: shape.to_owned(),
                users: backlog.users,
                events: backlog.events(),
                seconds: outcome.working.as_secs_f64(),
                cpu_micros_per_id: outcome.cpu_micros_per_user(),
                ids_per_call: outcome.ids_per_call().context("no calls")?,
                peak_rss_mb: outcome.peak_rss_mb(),
            };
            eprintln!(
                "growth, {} users {shape}: {:.1} s, {:.1} µs of CPU per ID, {:.1} MB",
                run.users, run.seconds, run.cpu_micros_per_id, run.peak_rss_mb,
            );
            runs.push(run);
        }
    }
    Ok(runs)
}

fn backlogs(scale: Scale) -> Vec<(&'static str, Backlog)> {
    let sizes: &[u32] = scale.pick(&[10_000, 100_000, 1_000_000, 5_000_000], &[1_000, 10_000]);
    let long = |users| Backlog::of(users, Format::Event);
    let mut backlogs: Vec<_> = sizes.iter().map(|users| ("", long(*users))).collect();
    let shaped = long(scale.pick(1_000_000, 10_000));
    for (shape, users_per_event, twice) in [
        ("10 users an event", 10, false),
        ("1,000 users an event", 1_000, false),
        ("every event twice", 1, true),
    ] {
        backlogs.push((
            shape,
            Backlog {
                users_per_event,
                twice,
                ..shaped
            },
        ));
    }
    backlogs
}
