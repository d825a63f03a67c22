//! The measurements, as stored in `results.json`, and their medians.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::contestant::Contestant;
use crate::machine::Machine;

/// Each part is replaced as a whole when it is run again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Results {
    pub machine: Option<Machine>,
    pub api_ceiling: Option<ApiCeiling>,
    pub contestants: Vec<ContestantRun>,
    pub quota: Vec<QuotaRun>,
    pub latency: Vec<LatencyRun>,
    pub growth: Vec<GrowthRun>,
}

/// What the API answers without latency, asked by 16 connections.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ApiCeiling {
    pub calls_per_second: f64,
    pub ids_per_second: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ContestantRun {
    pub contestant: Contestant,
    pub latency_ms: u64,
    /// Runs of one round follow each other, so only they are divided by each other.
    pub round: u32,
    pub users: u32,
    pub ids_per_second: f64,
    pub cpu_micros_per_id: f64,
    /// None of those who make no calls, like the next.
    pub ids_per_call: Option<f64>,
    pub first_call_ms: Option<f64>,
    pub peak_rss_mb: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct QuotaRun {
    pub latency_ms: u64,
    pub jitter_ms: u64,
    pub in_flight: u32,
    pub seconds: f64,
    pub ids_per_second: f64,
    pub busiest_second: usize,
    pub ids_per_call: f64,
    /// Of one core.
    pub cpu_share: f64,
    pub peak_rss_mb: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LatencyRun {
    pub events_per_second: u32,
    pub events: u32,
    pub api_latency_ms: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub longest_ms: f64,
    /// Until the API has the call, its own time not included. Absent in older results.
    pub received_p50_ms: Option<f64>,
    pub received_p99_ms: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrowthRun {
    /// Of the backlog; empty for those that differ in length only.
    pub shape: String,
    pub users: u32,
    pub events: u32,
    pub seconds: f64,
    pub cpu_micros_per_id: f64,
    pub ids_per_call: f64,
    pub peak_rss_mb: f64,
}

impl Results {
    /// Nothing when the file is not there.
    pub fn read(path: &Path) -> anyhow::Result<Results> {
        match fs::read(path) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Results::default()),
            Err(error) => Err(error.into()),
        }
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(())
    }

    /// The runs of a contestant at a latency.
    pub fn runs(
        &self,
        contestant: Contestant,
        latency_ms: u64,
    ) -> impl Iterator<Item = &ContestantRun> {
        self.contestants
            .iter()
            .filter(move |run| run.contestant == contestant && run.latency_ms == latency_ms)
    }

    /// The median over the rounds of this contestant's value divided by that of `other`.
    pub fn ratio(
        &self,
        contestant: Contestant,
        other: Contestant,
        latency_ms: u64,
        value: fn(&ContestantRun) -> f64,
    ) -> Option<f64> {
        let ratios = self.runs(contestant, latency_ms).filter_map(|run| {
            let mut others = self.runs(other, latency_ms);
            let other = others.find(|other| other.round == run.round)?;
            Some(value(run) / value(other))
        });
        median(ratios)
    }
}

/// None of nothing; of an even number the mean of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        even if even % 2 == 0 => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

/// The smallest value that at least this share of all values does not exceed; `sorted` has one.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_value_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<f64> = (1..=1_000).map(f64::from).collect();
        assert_eq!(percentile(&sorted, 0.5), 500.0);
        assert_eq!(percentile(&sorted, 0.99), 990.0);
        assert_eq!(percentile(&sorted, 0.999), 999.0);
        assert_eq!(percentile(&[7.0], 0.999), 7.0);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let run = |contestant, round, ids_per_second| ContestantRun {
            contestant,
            latency_ms: 20,
            round,
            users: 1,
            ids_per_second,
            cpu_micros_per_id: 0.0,
            ids_per_call: None,
            first_call_ms: None,
            peak_rss_mb: 0.0,
        };
        let results = Results {
            contestants: vec![
                run(Contestant::Tagsweep, 1, 90.0),
                run(Contestant::BareLapin, 1, 100.0),
                run(Contestant::Tagsweep, 2, 45.0),
                run(Contestant::BareLapin, 2, 50.0),
            ],
            ..Results::default()
        };
        let (ours, bare) = (Contestant::Tagsweep, Contestant::BareLapin);
        let ratio = results.ratio(ours, bare, 20, |run| run.ids_per_second);
        assert_eq!(ratio, Some(0.9));
    }
}
