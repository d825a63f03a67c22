//! Puts the commit into `tagsweep --version`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/refs/heads");
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
