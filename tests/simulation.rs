//! The promises of the engine, on thousands of bad days: see `simulation/`.

use std::time::Instant;

use simulation::{Plan, Trace};

#[test]
fn the_promises_hold_on_two_thousand_bad_days() {
    let started = Instant::now();
    match simulation::run_all(0..2_000) {
        Ok(total) => println!("2000 seeds: {}", total.describe(started.elapsed())),
        Err((seed, violation)) => {
            panic!(
                "seed {seed}: {violation}\n\n{}",
                simulation::report(seed, true)
            )
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..100 {
        let plan = Plan::from_seed(seed);
        let run = || {
            simulation::run(&plan, &mut Trace::default())
                .map(|summary| (summary.steps, summary.digest))
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}
