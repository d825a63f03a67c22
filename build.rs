//! Puts the commit into `tagsweep --version`.

use std::path::Path;
use std::process::Command;

fn main() {
    for path in [".git/HEAD", ".git/refs/heads"] {
        // Naming a file that is not there would make every build start anew.
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=TAGSWEEP_COMMIT");
    let from_git = || {
        let output = Command::new("git")
            .args(["rev-parse", "--short=12", "HEAD"])
            .output()
            .ok()?;
        let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !commit.is_empty()).then_some(commit)
    };
    // A build outside the repository, such as in a container, hands the commit in.
    let commit = std::env::var("TAGSWEEP_COMMIT").ok().or_else(from_git);
    println!(
        "cargo::rustc-env=TAGSWEEP_COMMIT={}",
        commit.as_deref().unwrap_or("unknown")
    );
}
