//! What the README quotes: the chart and the three most telling rows.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::{contestant_row, of, table};
use crate::contestant::Contestant;
use crate::results::Results;

const BEGIN: &str = "<!-- Written by `make bench`. -->\n";
const END: &str = "<!-- The end of what `make bench` writes. -->";
const LATENCY_MS: u64 = 20;

/// Puts it between the two comments of the file.
///
/// # Errors
/// When the comments are not there.
pub fn quote(results: &Results, readme: &Path) -> anyhow::Result<()> {
    let Some(quotation) = quotation(results) else {
        return Ok(());
    };
    let text = fs::read_to_string(readme)?;
    let missing = || format!("{} has no place for it", readme.display());
    let (before, rest) = text.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    fs::write(readme, format!("{before}{BEGIN}{quotation}{END}{after}"))?;
    Ok(())
}

/// None when there is nothing to compare.
fn quotation(results: &Results) -> Option<String> {
    let speed = |peer| of(results, peer, LATENCY_MS, |run| run.ids_per_second);
    let (_, best_peer) = Contestant::ALL
        .into_iter()
        .filter(|contestant| contestant.is_peer())
        .filter_map(|peer| Some((speed(peer)?, peer)))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    let rows: Option<Vec<_>> = [Contestant::BareLapin, Contestant::Tagsweep, best_peer]
        .into_iter()
        .map(|contestant| contestant_row(results, contestant, LATENCY_MS))
        .collect();
    let head = [
        "API takes 20 ms, no quota",
        "IDs/s",
        "of the ceiling",
        "CPU per ID",
        "IDs per call",
        "peak RSS",
        "users",
        "runs",
    ];
    Some(format!(
        "![IDs per second](bench/charts/speed.svg)\n\n{}\nAll of it, how it was measured, and tagsweep at the quota: \
         [bench/RESULTS.md](bench/RESULTS.md).\n",
        table(&head, &rows?)
    ))
}
