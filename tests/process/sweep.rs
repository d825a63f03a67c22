//! `tagsweep sweep`.

mod formats;
mod streams;
mod terminal;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use im_simulator::{Options, Simulator, Stats};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{PATIENCE, Program};
use crate::stage::{SECRET_KEY, user};

/// One user a line.
fn ids(users: usize) -> String {
    (0..users).map(user).collect::<Vec<_>>().join("\n")
}

/// A folder for a list and the files beside it, and the simulator.
struct Stage {
    folder: TempDir,
    simulator: Simulator,
}

impl Stage {
    async fn new() -> Stage {
        Stage::with(Options::default()).await
    }

    async fn with(options: Options) -> Stage {
        let simulator = Simulator::start(Options {
            secret_key: SECRET_KEY.to_owned(),
            ..options
        });
        Stage {
            folder: TempDir::new().unwrap(),
            simulator: simulator.await.unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A list of users whom the app knows.
    fn list(&self, name: &str, users: usize) {
        self.simulator.import_users((0..users).map(user));
        self.write(name, ids(users));
    }

    /// There is no [rabbitmq], and no other section but these.
    fn program(&self) -> Program {
        Program::new("sweep")
            .set("im.base_url", self.simulator.url())
            .set("im.sdk_app_id", 1_400_000_000)
            .set("im.secret_key", SECRET_KEY)
            .set("window.max_wait", "50ms")
    }

    fn sweep(&self, name: &str) -> Program {
        self.program().argument(self.path(name).to_str().unwrap())
    }

    fn failures(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Each of the users is cleared, none more often than once.
    fn assert_cleared_once(&self, users: impl IntoIterator<Item = usize>) {
        for number in users {
            let clears = self.simulator.clears(&user(number)).count;
            assert_eq!(clears, 1, "user {number}");
        }
    }

    async fn cleared(&self, users: u64) -> Stats {
        let enough = |stats: &Stats| stats.distinct_users_cleared >= users;
        self.simulator.wait_for(PATIENCE, enough).await.unwrap()
    }
}

#[tokio::test]
async fn sweep_clears_every_user_of_a_list_once_and_a_finished_journal_makes_no_calls() {
    let stage = Stage::new().await;
    let ids: Vec<String> = (0..250).map(user).collect();
    stage.simulator.import_users(ids.clone());
    let list = format!(
        "# to be erased\n\n {} \r\n{}\npii-00007\n",
        ids[0],
        ids[1..].join("\n")
    );
    stage.write("users.txt", list);
    let sweep = stage
        .sweep("users.txt")
        .argument("--yes")
        .argument("--json");
    let ended = sweep.run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut report = ended.json();
    let seconds = report["seconds"].take();
    assert!(
        seconds.as_f64().unwrap() >= 1.0,
        "the first call waits for a second"
    );
    let expected = json!({
        "lines": 251, "users": 250, "repeated": 1, "invalid": 0, "cleared": 250, "missing": 0, "failed": 0,
        "calls": 3, "seconds": null, "resumed_at": null,
    });
    assert_eq!(report, expected);
    stage.assert_cleared_once(0..250);
    assert!(!stage.path("users.txt.failed.ndjson").exists());

    let again = sweep.run().await;
    assert_eq!((again.code, again.stdout), (Some(0), ended.stdout));
    assert_eq!(stage.simulator.stats().calls, 3);
}

#[tokio::test]
async fn who_fails_is_in_the_file_of_failures_and_is_tried_again_by_sweeping_that() {
    let stage = Stage::new().await;
    let known = (0..120).filter(|number| *number != 7);
    stage.simulator.import_users(known.map(user));
    stage.write("users.txt", ids(120));
    let mut list = std::fs::read_to_string(stage.path("users.txt")).unwrap();
    list += "\npii-ä\n";
    list += &format!("pii-{}", "x".repeat(40));
    stage.write("users.txt", list);
    let sweep = stage
        .sweep("users.txt")
        .set("im.missing_account", "dead-letter")
        .argument("--yes")
        .argument("--json");
    let ended = sweep.run().await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let report = ended.json();
    assert_eq!(report["cleared"], 119, "{report}");
    assert_eq!(
        (&report["failed"], &report["invalid"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(sweep.run().await.code, Some(3), "as the first time");

    let name = "users.txt.failed.ndjson";
    let failures: BTreeSet<String> = stage.failures(name).iter().map(Value::to_string).collect();
    let expected = [
        json!({"user": user(7), "reason": "unknown-account", "code": 70107, "line": 8}),
        json!({"user": "pii-ä", "reason": "invalid-user-id", "code": null, "line": 121}),
        json!({"user": format!("pii-{}", "x".repeat(40)), "reason": "invalid-user-id", "code": null, "line": 122}),
    ];
    assert_eq!(failures, expected.iter().map(Value::to_string).collect());
    let mode = stage.path(name).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds user IDs");

    stage.simulator.import_users([user(7)]);
    let ended = stage
        .sweep(name)
        .argument("--yes")
        .argument("--json")
        .run()
        .await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(ended.json()["cleared"], 1);
    stage.assert_cleared_once(0..120);
}

/// Kills the sweep so often, on a list of so many users.
async fn killed(kills: u64, users: usize) {
    let stage = Stage::with(Options {
        calls_per_second: None,
        latency: Duration::from_millis(20),
        ..Options::default()
    });
    let stage = stage.await;
    let bad = users / 2;
    let others = (0..users).filter(|number| *number != bad);
    stage.simulator.import_users(others.map(user));
    stage.write(
        "users.txt",
        (0..users).map(user).collect::<Vec<_>>().join("\n"),
    );
    let sweep = stage
        .sweep("users.txt")
        .argument("--yes")
        .argument("--json");
    let sweep = sweep
        .set("im.calls_per_second", 10_000)
        .set("im.missing_account", "dead-letter");
    for kill in 1..=kills {
        let running = sweep.start();
        stage.cleared(kill * users as u64 / (kills + 1)).await;
        running.kill().await;
    }
    let ended = sweep.run().await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let report = ended.json();
    assert_eq!(report["users"], users, "{report}");
    assert_eq!(report["cleared"], users - 1, "{report}");
    assert!(
        report["resumed_at"].as_u64().is_some_and(|line| line > 1),
        "{report}"
    );
    let failures = stage.failures("users.txt.failed.ndjson");
    assert_eq!(failures.len(), 1, "each failure is there once");
    assert_eq!(failures[0]["user"], user(bad));

    let counts = stage.simulator.clear_counts();
    let cleared: usize = counts
        .iter()
        .filter(|(times, _)| **times > 0)
        .map(|(_, users)| users)
        .sum();
    assert_eq!(cleared, users - 1, "none is missed");
    let again: u64 = counts
        .iter()
        .map(|(times, users)| u64::from(times.saturating_sub(1)) * *users as u64)
        .sum();
    let in_flight = 16 * 100;
    assert!(
        again <= kills * in_flight,
        "{again} calls for users who were cleared before"
    );
}

/// `SWEEP_KILLS=20 SWEEP_USERS=200000` for the whole of it.
#[tokio::test]
async fn a_sweep_that_is_killed_again_and_again_misses_nobody_and_repeats_only_what_was_in_flight()
{
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|number| number.parse().ok())
    };
    let kills = number("SWEEP_KILLS").unwrap_or(4);
    let users = number("SWEEP_USERS").unwrap_or(40_000);
    killed(kills as u64, users).await;
}

#[tokio::test]
async fn the_quota_holds_over_a_kill_and_a_restart() {
    let stage = Stage::new().await;
    stage.list("users.txt", 30_000);
    let sweep = stage.sweep("users.txt").argument("--yes");
    let running = sweep.start();
    stage.cleared(10_000).await;
    running.kill().await;
    assert_eq!(sweep.run().await.code, Some(0));
    let stats = stage.simulator.stats();
    assert!(
        stats.largest_second <= 100,
        "{} calls in a second",
        stats.largest_second
    );
    assert!(stats.refusals.is_empty(), "{:?}", stats.refusals);
}

#[tokio::test]
async fn on_a_signal_a_sweep_finishes_its_calls_and_goes_on_from_there_in_the_next_run() {
    let stage = Stage::with(Options {
        latency: Duration::from_millis(200),
        ..Options::default()
    });
    let stage = stage.await;
    stage.list("users.txt", 20_000);
    let sweep = stage.sweep("users.txt").argument("--yes");
    let running = sweep.start();
    stage.cleared(1_000).await;
    running.signal("INT").await;
    let (code, said) = running.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("the same command goes on where it ended"),
        "{said}"
    );
    assert!(
        stage.simulator.stats().distinct_users_cleared < 20_000,
        "it stopped early"
    );
    let ended = sweep.argument("--json").run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["cleared"], 20_000);
    stage.assert_cleared_once(0..20_000);
}

#[tokio::test]
async fn nothing_is_called_in_a_dry_run_nor_without_a_confirmation() {
    let stage = Stage::new().await;
    stage.list("users.txt", 1_000);
    let ended = stage.sweep("users.txt").argument("--dry-run").run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for text in [
        "1,000 users",
        "about 10 calls",
        "shares this quota",
        "users.txt.failed.ndjson",
    ] {
        assert!(ended.stdout.contains(text), "{text}: {ended:?}");
    }
    let ended = stage
        .sweep("users.txt")
        .argument("--dry-run")
        .argument("--json")
        .run()
        .await;
    let report = ended.json();
    assert_eq!(
        (&report["users"], &report["cleared"]),
        (&json!(1_000), &json!(0))
    );
    let ended = stage.sweep("users.txt").run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("use --yes"), "{ended:?}");
    assert_eq!(stage.simulator.stats().calls, 0);
    let files = std::fs::read_dir(stage.folder.path()).unwrap().count();
    assert_eq!(files, 1, "no journal");
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_before_any_call() {
    let stage = Stage::new().await;
    stage.list("users.txt", 10);
    let sweep = stage.sweep("users.txt").argument("--yes");
    assert_eq!(sweep.run().await.code, Some(0));
    let calls = stage.simulator.stats().calls;
    stage.list("users.txt", 11);
    let foreign = stage.path("foreign");
    std::fs::write(&foreign, "somebody's notes").unwrap();
    let foreign = foreign.to_str().unwrap();
    stage.write("table.csv", "id\npii-00000\n");
    for (name, arguments, code, text) in [
        (
            "users.txt",
            "",
            1,
            "the journal of another list (the content differs)",
        ),
        (
            "users.txt",
            &*format!("--journal {foreign}"),
            1,
            "is no journal of tagsweep",
        ),
        (
            "users.txt",
            &*format!("--failed {}", stage.path("users.txt").display()),
            1,
            "is the list itself",
        ),
        (
            "users.txt",
            "--failed /nowhere/failed",
            1,
            "/nowhere/failed: its folder does not exist",
        ),
        ("users.txt", "--column id", 1, "--column is for CSV only"),
        ("table.csv", "", 1, "CSV needs --column"),
        ("table.csv", "--column user", 1, "names no column \"user\""),
        ("users.txt", "--format ndjson --users $.[", 1, "--users: "),
        ("gone.txt", "", 1, "gone.txt: No such file"),
        ("users.txt", "--set im.sdk_app_id=0", 78, "im.sdk_app_id"),
    ] {
        let mut sweep = stage.sweep(name).argument("--yes");
        for argument in arguments.split_whitespace() {
            sweep = sweep.argument(argument);
        }
        let ended = sweep.run().await;
        assert_eq!(ended.code, Some(code), "{name} {arguments}: {ended:?}");
        assert!(ended.stderr.contains(text), "{name} {arguments}: {ended:?}");
    }
    assert_eq!(stage.simulator.stats().calls, calls);
    assert_eq!(
        std::fs::read_to_string(foreign).unwrap(),
        "somebody's notes"
    );
}
