//! The promises of the engine, on thousands of bad days: see `simulation/`.

use std::fs;
use std::process::Command;
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

/// `make planted-bugs` runs seldom; a bug that cannot be planted any more would show only there.
#[test]
fn each_planted_bug_can_still_be_planted() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut patches = 0;
    for entry in fs::read_dir(format!("{root}/simulation/planted")).expect("planted bugs") {
        let path = entry.expect("a file").path();
        // As `patch` does, it lets the lines around it change.
        let apply = ["apply", "--check", "-C1"];
        let checked = Command::new("git")
            .args(apply)
            .arg(&path)
            .current_dir(root)
            .output();
        let checked = checked.expect("git runs");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{}: {said}", path.display());
        patches += 1;
    }
    assert!(patches > 40, "{patches}");
}
