//! The charts of the report.

use super::{growth_cells, latencies, of, thousands};
use crate::chart::{Bar, Chart, Colour, Group, draw as svg};
use crate::contestant::Contestant;
use crate::results::{ContestantRun, GrowthRun, Results, median};

/// Those that there are results for: the file's name and its text.
pub(super) fn draw(results: &Results) -> Vec<(&'static str, String)> {
    let mut charts = Vec::new();
    if !results.contestants.is_empty() {
        charts.push(("speed.svg", svg(&speed(results))));
        charts.push(("cpu.svg", svg(&cpu(results))));
    }
    if !results.latency.is_empty() {
        charts.push(("latency.svg", svg(&latency(results))));
    }
    if !results.growth.is_empty() {
        charts.push(("growth.svg", svg(&growth(results))));
    }
    charts
}

fn speed(results: &Results) -> Chart {
    Chart {
        title: "User IDs cleared per second".into(),
        subtitle: "No quota; the same queue and API for everybody. More is better.".into(),
        groups: by_latency(results, |run| run.ids_per_second),
        label: thousands,
    }
}

fn cpu(results: &Results) -> Chart {
    Chart {
        title: "CPU time per user ID".into(),
        subtitle: "User and system time of the process with its children. Less is better.".into(),
        groups: by_latency(results, |run| run.cpu_micros_per_id),
        label: |value| format!("{value:.1} µs"),
    }
}

fn by_latency(results: &Results, value: fn(&ContestantRun) -> f64) -> Vec<Group> {
    let group = |latency_ms| Group {
        title: format!("The API takes {latency_ms} ms"),
        bars: Contestant::ALL
            .into_iter()
            .filter_map(|contestant| {
                Some(Bar {
                    name: contestant.title().to_owned(),
                    value: of(results, contestant, latency_ms, value)?,
                    colour: match contestant {
                        Contestant::Tagsweep => Colour::Ours,
                        Contestant::BareLapin => Colour::Mark,
                        _ => Colour::Peer,
                    },
                })
            })
            .collect(),
    };
    latencies(results).into_iter().map(group).collect()
}

fn latency(results: &Results) -> Chart {
    let group = |run: &crate::results::LatencyRun| {
        let bar = |name: &str, value| Bar {
            name: name.to_owned(),
            value,
            colour: Colour::Ours,
        };
        Group {
            title: format!(
                "{} events a second",
                thousands(run.events_per_second.into())
            ),
            bars: vec![
                bar("p50", run.p50_ms),
                bar("p99", run.p99_ms),
                bar("p99.9", run.p999_ms),
            ],
        }
    };
    Chart {
        title: "From publish to cleared".into(),
        subtitle: "Windows that are not full start 500 ms (max_wait) apart; the API takes 20 ms. Less is better.".into(),
        groups: results.latency.iter().map(group).collect(),
        label: |value| format!("{value:.0} ms"),
    }
}

fn growth(results: &Results) -> Chart {
    let bars = |value: fn(&GrowthRun) -> f64| {
        growth_cells(&results.growth)
            .into_iter()
            .filter_map(|cell| {
                Some(Bar {
                    name: cell.title(),
                    value: median(cell.runs.iter().copied().map(value))?,
                    colour: Colour::Ours,
                })
            })
            .collect()
    };
    Chart {
        title: "Peak memory by backlog".into(),
        subtitle: "Resident set of tagsweep at its peak. Flat is better.".into(),
        groups: vec![Group {
            title: "Users in the queue".into(),
            bars: bars(|run| run.peak_rss_mb),
        }],
        label: |value| format!("{value:.1} MB"),
    }
}
