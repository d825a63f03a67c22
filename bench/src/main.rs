//! The benchmark: compares speed and cost of tagsweep with other workers that do the same work.
//!
//! It starts its own broker and an API that only counts, runs contestants on them one at a time,
//! and writes `RESULTS.md`, the charts and `results.json`, which holds every single run. It
//! measures contestants only from outside: the cost of their processes, and what the API and the
//! queue have seen.

mod api;
mod backlog;
mod chart;
mod contestant;
mod machine;
mod process;
mod queue;
mod report;
mod results;
mod runs;
mod stage;
mod user;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use testkit::rabbitmq::Node;

use self::api::Api;
use self::contestant::{Contestant, Places};
use self::machine::Machine;
use self::results::Results;
use self::runs::Scale;
use self::stage::Stage;

/// Measures tagsweep and its peers and writes bench/RESULTS.md.
#[derive(Debug, Parser)]
struct Options {
    /// The parts to run; the results of others stay as they are.
    #[arg(long, value_delimiter = ',', default_values_t = Part::ALL)]
    runs: Vec<Part>,
    /// Only these, in the part `contestants`.
    #[arg(long, value_delimiter = ',', default_values_t = Contestant::ALL)]
    contestants: Vec<Contestant>,
    /// Milliseconds that the API takes, in the part `contestants`.
    #[arg(long, value_delimiter = ',', default_values_t = [5, 20, 200])]
    latencies: Vec<u64>,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Only see that everything works: minutes instead of an hour.
    #[arg(long)]
    quick: bool,
    /// The folder to write into, instead of this package's own and the README.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Run nothing, and write the report once more from results.json.
    #[arg(long)]
    report: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Contestants,
    Quota,
    Latency,
    Growth,
}

impl Part {
    const ALL: [Part; 4] = [Part::Contestants, Part::Quota, Part::Latency, Part::Growth];
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&contestant::option_name(self))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = places(own)?;
    let folder = options.out.as_deref().unwrap_or(own);
    fs::create_dir_all(folder)?;
    let kept = folder.join("results.json");
    let mut results = Results::read(&kept)?;
    if !options.report {
        measure(&options, places, &mut results, &kept).await?;
    }
    report::write(&results, folder)?;
    if options.out.is_none() {
        report::quote(&results, &own.with_file_name("README.md"))?;
    }
    Ok(())
}

/// Runs the parts that are asked for and keeps the results after each.
async fn measure(
    options: &Options,
    places: Places,
    results: &mut Results,
    kept: &Path,
) -> anyhow::Result<()> {
    let logs = places.installed.join("logs");
    fs::create_dir_all(&logs)?;
    let stage = Stage {
        node: Node::start().await?,
        api: Api::start()?,
        places,
        logs,
    };
    let scale = Scale {
        repeat: if options.quick { 1 } else { options.repeat },
        quick: options.quick,
    };
    results.machine = Some(Machine::look(&stage.node, &stage.places).await?);
    results.api_ceiling = Some(runs::ceiling::run(&stage.api, scale).await?);
    for part in &options.runs {
        match part {
            Part::Contestants => {
                results.contestants =
                    runs::contestants::run(&stage, scale, &options.contestants, &options.latencies)
                        .await?;
            }
            Part::Quota => results.quota = runs::quota::run(&stage, scale).await?,
            Part::Latency => results.latency = runs::latency::run(&stage, scale).await?,
            Part::Growth => results.growth = runs::growth::run(&stage, scale).await?,
        }
        results.write(kept)?;
    }
    Ok(())
}

/// This program lies in `release`, below the folder that everything is built in.
fn places(own: &Path) -> anyhow::Result<Places> {
    let program = std::env::current_exe()?;
    let binaries = program.parent().context("a program is in a folder")?;
    let target = binaries.parent().context("it is a folder of a profile")?;
    Ok(Places {
        binaries: binaries.to_owned(),
        installed: target.join("bench"),
        peers: PathBuf::from(own).join("peers"),
    })
}
