//! The program of `make simulate SEEDS=200000`; `SEED=7` replays one run.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

#[derive(Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Only this one.
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Go on after a failure, and count the failures of each kind.
    #[arg(long)]
    count: bool,
    /// Tell the failing run as it is, and do not look for a shorter one.
    #[arg(long)]
    whole: bool,
}

fn main() -> ExitCode {
    let Arguments {
        seeds,
        first,
        seed,
        count,
        whole,
    } = Arguments::parse();
    let seeds = seed.map_or(first..first + seeds, |seed| seed..seed + 1);
    // The engine's panics are caught and told as broken promises.
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    if count {
        let failures = simulation::count_failures(seeds.clone());
        for (kind, failed) in &failures {
            let shown = &failed[..failed.len().min(8)];
            println!("{:>6}  {kind}  (seeds {shown:?})", failed.len());
        }
        println!(
            "{} seeds in {:.1} s",
            seeds.end - seeds.start,
            started.elapsed().as_secs_f64()
        );
        return if failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    match simulation::run_all(seeds.clone()) {
        Ok(total) => {
            let took = started.elapsed();
            println!(
                "{} seeds in {:.1} s: {}",
                seeds.end - seeds.start,
                took.as_secs_f64(),
                total.describe(took)
            );
            ExitCode::SUCCESS
        }
        Err((seed, violation)) => {
            println!(
                "seed {seed}: {violation}\n\nLooking for the shortest run that breaks a promise ...\n"
            );
            println!("{}", simulation::report(seed, !whole));
            ExitCode::FAILURE
        }
    }
}
