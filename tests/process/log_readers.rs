//! Whoever reads the log may be slow, stuck or gone: the worker works on, and ends when it is asked to.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::program::{Program, get};
use crate::secrets;
use crate::stage::*;

/// What a pipe holds, on Linux.
const PIPE: usize = 64 * 1024;
/// More lines than wait to be written.
const CALLS: usize = 2_000;

fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'\n'; PIPE]).unwrap();
    (reader, writer)
}

/// One line of the log for each user.
fn talkative(stage: &Stage) -> Program {
    stage
        .program("run")
        .set("log.level", "debug")
        .set("window.max_ids", 1)
        .set("im.calls_per_second", 1000)
}

async fn ends_in_order(mut worker: Child) {
    let process = worker.id().unwrap().to_string();
    let kill = Command::new("kill")
        .args(["-s", "TERM", &process])
        .status()
        .await;
    assert!(kill.unwrap().success());
    // Far below the grace period.
    let end = within(Duration::from_secs(20), worker.wait()).await;
    assert_eq!(end.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_reader_that_is_stuck_holds_up_nothing_and_learns_later_how_many_lines_it_missed() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..CALLS);
    let (mut reader, writer) = full_pipe();
    // The log that would tell its address cannot be read.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free.local_addr().unwrap();
    drop(free);
    let worker = talkative(&stage)
        .set("admin.listen", admin)
        .start_into(writer);
    stage.delete(0..CALLS).await;
    stage.cleared(CALLS as u64).await;
    let metrics = get(&format!("http://{admin}/metrics")).await;
    let dropped = metrics
        .lines()
        .find_map(|line| line.strip_prefix("tagsweep_log_lines_dropped_total "))
        .unwrap();
    assert!(dropped.parse::<u64>().unwrap() > 0, "{dropped}");
    // It reads again, what waited and what comes.
    let reading = std::thread::spawn(move || {
        let mut log = String::new();
        reader.read_to_string(&mut log).map(|_| log)
    });
    stage.import(CALLS..CALLS + 50);
    stage.delete(CALLS..CALLS + 50).await;
    stage.cleared(CALLS as u64 + 50).await;
    ends_in_order(worker).await;
    let log = reading.join().unwrap().unwrap();
    secrets::assert_clean_text("the log", &log);
    let told = log.lines().find(|line| line.contains("log lines dropped"));
    let told: serde_json::Value = serde_json::from_str(told.expect(&log)).unwrap();
    assert!(
        told["lines"].as_u64().unwrap() >= dropped.parse().unwrap(),
        "{told}"
    );
    assert!(log.contains("\"message\":\"ended\""), "{log}");
}

#[tokio::test]
async fn a_log_that_nobody_ever_reads_does_not_hold_up_the_end() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..CALLS);
    let (reader, writer) = full_pipe();
    let worker = talkative(&stage).start_into(writer);
    stage.delete(0..CALLS).await;
    stage.cleared(CALLS as u64).await;
    ends_in_order(worker).await;
    drop(reader);
    stage.waits_in_the_queue(0).await;
}

#[tokio::test]
async fn a_reader_that_has_gone_changes_nothing() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..CALLS);
    let (reader, writer) = std::io::pipe().unwrap();
    let worker = talkative(&stage).start_into(writer);
    drop(reader);
    stage.delete(0..CALLS).await;
    stage.cleared(CALLS as u64).await;
    ends_in_order(worker).await;
    stage.waits_in_the_queue(0).await;
}

/// A fatal error is said on the same pipe, after the log.
#[tokio::test]
async fn a_failure_that_nobody_can_be_told_of_is_still_an_end() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (_reader, writer) = full_pipe();
    let address = taken.local_addr().unwrap();
    let mut worker = sound("run").set("admin.listen", address).start_into(writer);
    let end = within(Duration::from_secs(20), worker.wait()).await;
    assert_eq!(end.unwrap().code(), Some(1));
}
