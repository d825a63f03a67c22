//! Puts the commit into `tagsweep --version`.

use std::path::Path;
use std::process::Command;

fn main() {
    // In a work tree of its own, these are not below .git. The log grows with each commit.
    for file in ["HEAD", "logs/HEAD"] {
        // Naming a file that is not there would make every build start anew.
        if let Some(path) = git(&["rev-parse", "--git-path", file])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=TAGSWEEP_COMMIT");
    // A build outside the repository, such as in a container, hands the commit in.
    let commit = std::env::var("TAGSWEEP_COMMIT").ok();
    let commit = commit.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    println!(
        "cargo::rustc-env=TAGSWEEP_COMMIT={}",
        commit.as_deref().unwrap_or("unknown")
    );
}

/// What git prints, if it prints anything.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let printed = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !printed.is_empty()).then_some(printed)
}
