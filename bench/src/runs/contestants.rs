//! All contestants on the same work at full speed.

use super::Scale;
use crate::api::Latency;
use crate::backlog::Backlog;
use crate::contestant::{Contestant, NO_QUOTA};
use crate::results::ContestantRun;
use crate::stage::{Stage, Trial};

/// The rounds: in each, every contestant at every latency, and another one first each time.
pub async fn run(
    stage: &Stage,
    scale: Scale,
    contestants: &[Contestant],
    latencies: &[u64],
) -> anyhow::Result<Vec<ContestantRun>> {
    let mut runs = Vec::new();
    for round in 0..scale.repeat {
        for (place, latency_ms) in latencies.iter().enumerate() {
            let mut order = contestants.to_vec();
            order.rotate_left((round as usize + place) % contestants.len());
            for contestant in order {
                match one(stage, scale, contestant, *latency_ms, round).await {
                    Ok(run) => runs.push(run),
                    // An hour's work is not thrown away for it; the report says of how many runs its medians are.
                    Err(error) if contestant.is_peer() => eprintln!("no result: {error:#}"),
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(runs)
}

async fn one(
    stage: &Stage,
    scale: Scale,
    contestant: Contestant,
    latency_ms: u64,
    round: u32,
) -> anyhow::Result<ContestantRun> {
    let users = scale.pick(contestant.backlog(), 10_000);
    let trial = Trial {
        contestant,
        backlog: Backlog::of(users, contestant.format()),
        latency: Latency::millis(latency_ms, 0),
        in_flight: in_flight(latency_ms),
        calls_per_second: NO_QUOTA,
    };
    let outcome = stage.run(&trial).await?;
    let run = ContestantRun {
        contestant,
        latency_ms,
        round,
        users,
        ids_per_second: outcome.users_per_second(),
        cpu_micros_per_id: outcome.cpu_micros_per_user(),
        ids_per_call: outcome.ids_per_call(),
        peak_rss_mb: outcome.peak_rss_mb(),
        first_call_ms: outcome.first_call.map(|first| first.as_secs_f64() * 1e3),
    };
    eprintln!(
        "round {round}, {latency_ms} ms, {}: {:.0} IDs/s, {:.1} µs of CPU per ID",
        contestant.title(),
        run.ids_per_second,
        run.cpu_micros_per_id,
    );
    Ok(run)
}

/// The same for everybody. At most `in_flight` × 100 IDs can be cleared within one latency: 320,000 a second at
/// 20 ms, 128,000 at 200 ms.
pub fn in_flight(latency_ms: u64) -> u32 {
    if latency_ms < 100 { 64 } else { 256 }
}
