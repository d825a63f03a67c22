//! RESULTS.md, its charts, and the part of the README that quotes it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::contestant::Contestant;
use crate::results::{ContestantRun, GrowthRun, LatencyRun, QuotaRun, Results, median};

mod charts;
mod method;
mod readme;
mod targets;

pub use self::readme::quote;

/// Writes everything into `folder`.
pub fn write(results: &Results, folder: &Path) -> anyhow::Result<()> {
    let mut text = String::from("# How fast, and at what cost\n\n");
    text += method::INTRODUCTION;
    text += &machine(results).unwrap_or_default();
    text += "\n## Targets\n\n";
    text += &targets::written(results);
    text += &contestants(results);
    text += &quota(&results.quota);
    text += &latency(&results.latency);
    text += &growth(&results.growth);
    text += &method::written(results);
    let path = folder.join("RESULTS.md");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let charts = folder.join("charts");
    fs::create_dir_all(&charts)?;
    for (name, svg) in charts::draw(results) {
        fs::write(charts.join(name), svg)?;
    }
    eprintln!("{}", path.display());
    Ok(())
}

/// A Markdown table; the first column is text, the others are numbers.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|---|", head.join(" | "));
    text += &"--:|".repeat(head.len() - 1);
    text.push('\n');
    for row in rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

/// With commas between thousands.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn machine(results: &Results) -> Option<String> {
    let machine = results.machine.as_ref()?;
    Some(format!(
        "\nMachine: {}, {} cores, {:.0} GB of memory, Linux {}. RabbitMQ {}, {}, {}, Node.js {}; \
         the peers' versions are in [requirements.txt](peers/requirements.txt) and \
         [package-lock.json](peers/node/package-lock.json).\n",
        machine.processor,
        machine.cores,
        machine.memory_gb,
        machine.kernel,
        machine.rabbitmq,
        machine.tagsweep,
        machine.python,
        machine.node,
    ))
}

pub(crate) fn latencies(results: &Results) -> Vec<u64> {
    let mut latencies: Vec<u64> = results
        .contestants
        .iter()
        .map(|run| run.latency_ms)
        .collect();
    latencies.sort_unstable();
    latencies.dedup();
    latencies
}

/// Of all runs of a contestant at a latency.
pub(crate) fn of(
    results: &Results,
    contestant: Contestant,
    latency_ms: u64,
    value: impl Fn(&ContestantRun) -> f64,
) -> Option<f64> {
    median(results.runs(contestant, latency_ms).map(value))
}

fn contestants(results: &Results) -> String {
    let mut text = String::new();
    if results.contestants.is_empty() {
        return text;
    }
    let _ = writeln!(
        text,
        "\n## No quota\n\n![IDs per second](charts/speed.svg)\n![CPU per ID](charts/cpu.svg)\n\n\
         Medians. *Of the ceiling* is the median of the ratios to the bare consumer in the same round."
    );
    for latency_ms in latencies(results) {
        let _ = writeln!(text, "\n### The API takes {latency_ms} ms\n");
        let rows: Vec<_> = Contestant::ALL
            .into_iter()
            .filter_map(|contestant| contestant_row(results, contestant, latency_ms))
            .collect();
        let head = [
            "",
            "IDs/s",
            "of the ceiling",
            "CPU per ID",
            "IDs per call",
            "peak RSS",
            "users",
            "runs",
        ];
        text += &table(&head, &rows);
    }
    text
}

fn contestant_row(
    results: &Results,
    contestant: Contestant,
    latency_ms: u64,
) -> Option<Vec<String>> {
    let of = |value: fn(&ContestantRun) -> f64| of(results, contestant, latency_ms, value);
    let ratio = results.ratio(contestant, Contestant::BareLapin, latency_ms, |run| {
        run.ids_per_second
    });
    let runs = results.runs(contestant, latency_ms);
    let ids_per_call = median(runs.filter_map(|run| run.ids_per_call));
    let or_none = |number: Option<String>| number.unwrap_or_else(|| "–".to_owned());
    Some(vec![
        name(contestant),
        thousands(of(|run| run.ids_per_second)?),
        or_none(ratio.map(|ratio| format!("{ratio:.2}"))),
        format!("{:.1} µs", of(|run| run.cpu_micros_per_id)?),
        or_none(ids_per_call.map(|ids| format!("{ids:.1}"))),
        format!("{:.0} MB", of(|run| run.peak_rss_mb)?),
        thousands(of(|run| f64::from(run.users))?),
        results.runs(contestant, latency_ms).count().to_string(),
    ])
}

fn name(contestant: Contestant) -> String {
    match contestant {
        Contestant::Tagsweep => format!("**{}**", contestant.title()),
        _ => contestant.title().to_owned(),
    }
}

fn quota(runs: &[QuotaRun]) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = runs
        .iter()
        .map(|run| {
            vec![
                format!(
                    "{} to {} ms",
                    run.latency_ms,
                    run.latency_ms + run.jitter_ms
                ),
                run.in_flight.to_string(),
                format!("{:.0} s", run.seconds),
                thousands(run.ids_per_second),
                run.busiest_second.to_string(),
                format!("{:.1}", run.ids_per_call),
                format!("{:.1} %", run.cpu_share * 100.0),
                format!("{:.1} MB", run.peak_rss_mb),
            ]
        })
        .collect();
    let head = [
        "the API takes",
        "`max_in_flight`",
        "time",
        "IDs/s",
        "busiest second",
        "IDs per call",
        "of one core",
        "peak RSS",
    ];
    format!(
        "\n## At the quota: 100 calls a second\n\nEvery run. The busiest second is the most calls that arrived at the \
         API within any one second.\n\n{}",
        table(&head, &rows)
    )
}

fn latency(runs: &[LatencyRun]) -> String {
    let Some(first) = runs.first() else {
        return String::new();
    };
    let rows: Vec<_> = runs
        .iter()
        .map(|run| {
            let millis = |value: f64| format!("{value:.1} ms");
            let or_none = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), millis);
            vec![
                thousands(run.events_per_second.into()),
                thousands(run.events.into()),
                or_none(run.received_p50_ms),
                or_none(run.received_p99_ms),
                millis(run.p50_ms),
                millis(run.p99_ms),
                millis(run.p999_ms),
                millis(run.longest_ms),
            ]
        })
        .collect();
    format!(
        "\n## In a trickle\n\n![From publish to cleared](charts/latency.svg)\n\nFrom before the event is published until \
         the API has the call (*received*), and until it has answered, {} ms later. All defaults, so `max_wait` is \
         500 ms and the quota 100 calls a second.\n\n{}",
        first.api_latency_ms,
        table(
            &[
                "events a second",
                "events",
                "received: p50",
                "received: p99",
                "p50",
                "p99",
                "p99.9",
                "longest"
            ],
            &rows
        )
    )
}

fn growth(runs: &[GrowthRun]) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = growth_cells(runs)
        .into_iter()
        .map(|cell| {
            let of = |value: fn(&GrowthRun) -> f64| {
                median(cell.runs.iter().copied().map(value)).unwrap_or_default()
            };
            vec![
                cell.title(),
                thousands(cell.runs[0].events.into()),
                format!("{:.1} s", of(|run| run.seconds)),
                thousands(f64::from(cell.runs[0].users) / of(|run| run.seconds)),
                format!("{:.1} µs", of(|run| run.cpu_micros_per_id)),
                format!("{:.1}", of(|run| run.ids_per_call)),
                format!("{:.1} MB", of(|run| run.peak_rss_mb)),
            ]
        })
        .collect();
    let head = [
        "users",
        "events",
        "time",
        "users/s",
        "CPU per user",
        "IDs per call",
        "peak RSS",
    ];
    format!(
        "\n## Longer backlogs, and other events\n\n![Peak RSS](charts/growth.svg)\n\nMedians of {}, no quota, the API \
         takes 20 ms. The CPU of the start counts too, which is much of it for the shortest.\n\n{}",
        growth_cells(runs)[0].runs.len(),
        table(&head, &rows)
    )
}

/// The runs of one backlog.
pub(crate) struct GrowthCell<'a> {
    pub(crate) runs: Vec<&'a GrowthRun>,
}

impl GrowthCell<'_> {
    pub(crate) fn title(&self) -> String {
        let users = thousands(self.runs[0].users.into());
        match self.runs[0].shape.as_str() {
            "" => users,
            shape => format!("{users}, {shape}"),
        }
    }
}

/// In the order in which they were run first; none is empty.
pub(crate) fn growth_cells(runs: &[GrowthRun]) -> Vec<GrowthCell<'_>> {
    let mut cells: Vec<GrowthCell<'_>> = Vec::new();
    for run in runs {
        let same = |cell: &&mut GrowthCell<'_>| {
            cell.runs[0].shape == run.shape && cell.runs[0].users == run.users
        };
        match cells.iter_mut().find(same) {
            Some(cell) => cell.runs.push(run),
            None => cells.push(GrowthCell { runs: vec![run] }),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        let texts = [0.0, 999.4, 1_000.0, 86_500.0, 5_000_000.0].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "86,500", "5,000,000"]);
    }
}
