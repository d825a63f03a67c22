//! The whole benchmark at its smallest, with the contestant that needs nothing installed.

use std::fs;
use std::process::Command;

#[test]
fn a_quick_run_measures_and_writes_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args([
            "--quick",
            "--runs",
            "contestants",
            "--contestants",
            "bare-lapin",
        ])
        .args(["--latencies", "20", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&read("results.json")).unwrap();
    let run = &kept["contestants"][0];
    assert_eq!(run["contestant"], "bare-lapin");
    assert_eq!(run["users"], 10_000);
    for measured in ["ids_per_second", "cpu_micros_per_id", "peak_rss_mb"] {
        assert!(run[measured].as_f64().unwrap() > 0.0, "{measured}: {run}");
    }
    assert!(kept["api_ceiling"]["ids_per_second"].as_f64().unwrap() > 0.0);
    let row = "| bare lapin consumer, no calls |";
    assert!(read("RESULTS.md").contains(row), "{}", read("RESULTS.md"));
    assert!(read("charts/speed.svg").contains("bare lapin consumer"));
}
