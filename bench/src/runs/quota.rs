//! tagsweep under the quota of the real API.

use anyhow::Context;

use super::Scale;
use crate::api::Latency;
use crate::backlog::{Backlog, Format};
use crate::contestant::Contestant;
use crate::results::QuotaRun;
use crate::stage::{Stage, Trial};

const CALLS_PER_SECOND: u32 = 100;
/// Every run is told, so the worst one counts and no median: three of a minute each show it.
const ROUNDS: u32 = 3;

pub async fn run(stage: &Stage, scale: Scale) -> anyhow::Result<Vec<QuotaRun>> {
    let seconds = scale.pick(60, 3);
    let mut runs = Vec::new();
    for _ in 0..scale.repeat.min(ROUNDS) {
        // 16 calls at once are the default; 100 calls a second that take up to half one need more.
        for (latency_ms, jitter_ms, in_flight) in [(20, 20, 16), (400, 100, 64)] {
            let trial = Trial {
                contestant: Contestant::Tagsweep,
                backlog: Backlog::of(seconds * CALLS_PER_SECOND * 100, Format::Event),
                latency: Latency::millis(latency_ms, jitter_ms),
                in_flight,
                calls_per_second: CALLS_PER_SECOND,
            };
            let outcome = stage.run(&trial).await?;
            let run = QuotaRun {
                latency_ms,
                jitter_ms,
                in_flight,
                seconds: outcome.working.as_secs_f64(),
                ids_per_second: outcome.ids_per_second_between_calls,
                busiest_second: outcome.busiest_second,
                ids_per_call: outcome.ids_per_call().context("no calls")?,
                cpu_share: outcome.cpu_share(),
                peak_rss_mb: outcome.peak_rss_mb(),
            };
            eprintln!(
                "quota, {latency_ms} ms: {:.0} IDs/s, busiest second {} calls, {:.1} % of a core",
                run.ids_per_second,
                run.busiest_second,
                run.cpu_share * 100.0,
            );
            runs.push(run);
        }
    }
    Ok(runs)
}
