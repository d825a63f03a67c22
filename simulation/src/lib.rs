//! Simulation: runs the engine against a broker, an API, operators and a clock with random faults,
//! millions of steps a minute. Everything is drawn from a seed: same seed, same run.
//!
//! [`plan`] defines a run: bad users, the [`weather`] of the API, incoming events. [`world`]
//! executes it with [`broker`], [`api`] and the engines. [`promises`] checks the guarantees for
//! each user, [`account`] the cost of the whole run; both know only the plan and the contract, not
//! the engine's rules. [`mod@shrink`] reduces a plan that breaks a guarantee.

// The very sources of the worker, compiled once more: here they are optimised in every build, and a change of
// them costs seconds until it is simulated.
#[path = "../../src"]
mod worker_sources {
    pub mod engine;
    pub mod event;
}
pub use worker_sources::{engine, event};

mod account;
mod api;
mod broker;
mod codes;
mod names;
pub mod plan;
mod promises;
mod shrink;
mod summary;
mod trace;
mod weather;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use plan::Plan;
pub use summary::Summary;
pub use trace::Trace;
pub use world::Violation;

/// Plays the plan to its end. A panic of the engine is a broken promise like any other.
pub fn run(plan: &Plan, trace: &mut Trace) -> Result<Summary, Violation> {
    catch_unwind(AssertUnwindSafe(|| world::run(plan, trace))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Runs all seeds on all processors. The first failure, in order of seeds, is the one that is told.
pub fn run_all(seeds: Range<u64>) -> Result<Summary, (u64, Violation)> {
    let total = Mutex::new(Summary::default());
    let failed: Mutex<Option<(u64, Violation)>> = Mutex::new(None);
    on_all_processors(seeds, |seed| {
        match run(&Plan::from_seed(seed), &mut Trace::default()) {
            Ok(summary) => lock(&total).add(&summary),
            Err(violation) => {
                let mut failed = lock(&failed);
                if failed.as_ref().is_none_or(|(other, _)| seed < *other) {
                    *failed = Some((seed, violation));
                }
            }
        }
        lock(&failed).is_none()
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// Runs all seeds to the end, and tells for each kind of broken promise the seeds that break it.
pub fn count_failures(seeds: Range<u64>) -> BTreeMap<String, Vec<u64>> {
    let failures: Mutex<BTreeMap<String, Vec<u64>>> = Mutex::new(BTreeMap::new());
    on_all_processors(seeds, |seed| {
        if let Err(violation) = run(&Plan::from_seed(seed), &mut Trace::default()) {
            let kind = shrink::kind(&violation);
            lock(&failures).entry(kind).or_default().push(seed);
        }
        true
    });
    failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Plays each seed, until `play` says that it is enough.
fn on_all_processors(seeds: Range<u64>, play: impl Fn(u64) -> bool + Sync) {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || !play(seed) {
                        return;
                    }
                }
            });
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A failing run, or the shortest that fails like it: its plan, its last happenings, and the line that
/// plays it again.
pub fn report(seed: u64, shrunk: bool) -> String {
    let mut plan = Plan::from_seed(seed);
    if shrunk {
        plan = shrink::shrink(plan);
    }
    let mut trace = Trace::wanted();
    let end = run(&plan, &mut trace);
    let lines: Vec<&str> = trace.lines().collect();
    format!(
        "{}\n\n{}\n\n{}\n\nPlay it again: make simulate SEED={seed}",
        shrink::describe(&plan),
        lines.join("\n"),
        end.err().unwrap_or_default(),
    )
}
