//! The performance targets, and whether they are met.

use super::{growth_cells, of, table, thousands};
use crate::contestant::Contestant;
use crate::results::{QuotaRun, Results, median};

/// The latency that targets without a quota are set for.
const LATENCY_MS: u64 = 20;
const MAX_WAIT_MS: f64 = 500.0;

struct Target {
    what: &'static str,
    wished: String,
    measured: String,
    met: bool,
}

/// Those that there are results for.
pub(super) fn written(results: &Results) -> String {
    let mut targets = speed(results).unwrap_or_default();
    targets.extend(quota(&results.quota));
    targets.extend(first_of_a_quiet_spell(results));
    targets.extend(latency(results));
    targets.extend(growth(results));
    targets.extend(binary(results));
    let row = |target: Target| {
        let met = if target.met { "yes" } else { "**no**" };
        let what = target.what.to_owned();
        vec![what, target.wished, target.measured, met.to_owned()]
    };
    let rows: Vec<_> = targets.into_iter().map(row).collect();
    table(&["", "target", "measured", "met"], &rows)
}

fn at_least(what: &'static str, wished: f64, measured: f64, print: fn(f64) -> String) -> Target {
    Target {
        what,
        wished: format!("≥ {}", print(wished)),
        measured: print(measured),
        met: measured >= wished,
    }
}

fn at_most(what: &'static str, wished: f64, measured: f64, print: fn(f64) -> String) -> Target {
    Target {
        what,
        wished: format!("≤ {}", print(wished)),
        measured: print(measured),
        met: measured <= wished,
    }
}

fn times(ratio: f64) -> String {
    format!("{ratio:.2} ×")
}

fn millis(value: f64) -> String {
    format!("{value:.0} ms")
}

fn megabytes(value: f64) -> String {
    format!("{value:.1} MB")
}

fn speed(results: &Results) -> Option<Vec<Target>> {
    let ours = Contestant::Tagsweep;
    let bare = Contestant::BareLapin;
    let ceiling = results.ratio(ours, bare, LATENCY_MS, |run| run.ids_per_second)?;
    let cpu = |of, to| results.ratio(of, to, LATENCY_MS, |run| run.cpu_micros_per_id);
    let rss = of(results, ours, LATENCY_MS, |run| run.peak_rss_mb)?;
    let first_calls = results
        .runs(ours, LATENCY_MS)
        .filter_map(|run| run.first_call_ms);
    let first_call = median(first_calls)?;
    let peers = Contestant::ALL.into_iter().filter(|peer| peer.is_peer());
    let best_peer = peers
        .filter_map(|peer| cpu(peer, ours))
        .min_by(f64::total_cmp);
    let mut targets = vec![
        at_least(
            "no quota, 20 ms: IDs/s, relative to the bare consumer",
            0.95,
            ceiling,
            times,
        ),
        at_most(
            "no quota, 20 ms: CPU per ID, relative to the bare consumer",
            1.35,
            cpu(ours, bare)?,
            times,
        ),
    ];
    targets.extend(best_peer.map(|ratio| {
        let what = "no quota, 20 ms: CPU per ID of the best peer, relative to tagsweep";
        at_least(what, 3.5, ratio, times)
    }));
    targets.push(at_most("no quota, 20 ms: peak RSS", 24.0, rss, megabytes));
    targets.push(at_most("start to first call", 250.0, first_call, millis));
    Some(targets)
}

/// Of the worst run each.
fn quota(runs: &[QuotaRun]) -> Vec<Target> {
    if runs.is_empty() {
        return Vec::new();
    }
    let least = |value: fn(&QuotaRun) -> f64| runs.iter().map(value).fold(f64::INFINITY, f64::min);
    let most = |value: fn(&QuotaRun) -> f64| runs.iter().map(value).fold(0.0, f64::max);
    vec![
        at_least(
            "quota, every run: IDs/s",
            9_800.0,
            least(|run| run.ids_per_second),
            thousands,
        ),
        at_most(
            "quota, every run: calls in the busiest second",
            100.0,
            most(|run| run.busiest_second as f64),
            thousands,
        ),
        at_least(
            "quota, every run: IDs per call",
            99.9,
            least(|run| run.ids_per_call),
            |value| format!("{value:.1}"),
        ),
        at_most(
            "quota, every run: CPU of one core",
            10.0,
            most(|run| run.cpu_share * 100.0),
            |value| format!("{value:.1} %"),
        ),
        at_most(
            "quota, every run: peak RSS",
            20.0,
            most(|run| run.peak_rss_mb),
            megabytes,
        ),
    ]
}

fn first_of_a_quiet_spell(results: &Results) -> Option<Target> {
    let mut runs = results.latency.iter();
    let run = runs.find(|run| run.events_per_second == 1)?;
    let what = "one event a second: median from publish to the API's receipt";
    Some(at_most(what, 20.0, run.received_p50_ms?, millis))
}

fn latency(results: &Results) -> Option<Target> {
    let worst = results
        .latency
        .iter()
        .max_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms))?;
    let most = MAX_WAIT_MS + worst.api_latency_ms as f64 + 10.0;
    let what = "trickle: p99 from publish to cleared";
    Some(at_most(what, most, worst.p99_ms, millis))
}

/// From 10,000 users on: how far the furthest is from the middle of the smallest and the largest.
fn growth(results: &Results) -> Option<Target> {
    let cells = growth_cells(&results.growth);
    let long = cells.iter().filter(|cell| cell.runs[0].shape.is_empty());
    let peaks: Vec<f64> = long
        .filter_map(|cell| median(cell.runs.iter().map(|run| run.peak_rss_mb)))
        .collect();
    let least = peaks.iter().copied().min_by(f64::total_cmp)?;
    let most = peaks.iter().copied().max_by(f64::total_cmp)?;
    let spread = (most - least) / (most + least) * 100.0;
    let print = |value| format!("± {value:.0} %");
    Some(at_most(
        "peak RSS from 10,000 to 5,000,000 users",
        10.0,
        spread,
        print,
    ))
}

fn binary(results: &Results) -> Option<Target> {
    let machine = results.machine.as_ref()?;
    Some(at_most(
        "stripped binary",
        12.0,
        machine.binary_mb?,
        megabytes,
    ))
}
