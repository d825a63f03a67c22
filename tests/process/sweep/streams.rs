//! Lists that can be read only once: standard input and pipes with a name.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use super::*;

impl Stage {
    /// A pipe with a name, held open, so that its reader waits for more.
    fn pipe(&self) -> File {
        let path = self.path("pipe");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        // Open for both, it waits for nobody.
        File::options().read(true).write(true).open(&path).unwrap()
    }
}

#[tokio::test]
async fn a_journal_of_standard_input_costs_no_user_of_its_beginning() {
    let stage = Stage::new().await;
    // More than what tells one list from another.
    let users = 20_000;
    stage.simulator.import_users((0..users).map(user));
    let (journal, failed) = (stage.path("journal"), stage.path("failed"));
    let sweep = stage.program().argument("-").input(ids(users));
    let sweep = sweep
        .argument("--journal")
        .argument(journal.to_str().unwrap())
        .argument("--failed")
        .argument(failed.to_str().unwrap())
        .argument("--yes")
        .argument("--json");
    let ended = sweep.run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["cleared"], users);
    stage.assert_cleared_once(0..users);
    let calls = stage.simulator.stats().calls;
    assert_eq!(sweep.run().await.json()["cleared"], users);
    assert_eq!(stage.simulator.stats().calls, calls, "it has been swept");
}

#[tokio::test]
async fn the_users_of_a_pipe_are_cleared_as_they_come_and_a_signal_ends_the_wait_for_more() {
    let stage = Stage::new().await;
    stage.simulator.import_users((0..3).map(user));
    let mut pipe = stage.pipe();
    let running = stage.sweep("pipe").argument("--yes").start();
    pipe.write_all(ids(3).as_bytes()).unwrap();
    pipe.write_all(b"\n").unwrap();
    stage.cleared(3).await;
    running.signal("INT").await;
    let (code, said) = running.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the same command begins anew"), "{said}");
    stage.assert_cleared_once(0..3);
}

#[tokio::test]
async fn a_signal_ends_a_sweep_of_a_pipe_that_nothing_was_written_to() {
    let stage = Stage::new().await;
    let pipe = stage.pipe();
    let running = stage.sweep("pipe").argument("--yes").start();
    running.says("up to 100 calls per second").await;
    running.signal("TERM").await;
    let (code, said) = running.ended().await;
    assert_ne!(code, Some(0), "{said}");
    drop(pipe);
}
