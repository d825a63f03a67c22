//! `tagsweep sweep`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use im_simulator::{Options, Simulator, Stats};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{PATIENCE, Program};
use crate::stage::{SECRET_KEY, user};

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
        let ids: Vec<String> = (0..users).map(user).collect();
        self.simulator.import_users(ids.clone());
        self.write(name, ids.join("\n"));
    }

    /// There is no [rabbitmq], and no other section but these.
    fn sweep(&self, name: &str) -> Program {
        Program::new("sweep")
            .set("im.base_url", self.simulator.url())
            .set("im.sdk_app_id", 1_400_000_000)
            .set("im.secret_key", SECRET_KEY)
            .set("window.max_wait", "50ms")
            .argument(self.path(name).to_str().unwrap())
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
    stage.list("users.txt", 120);
    let mut list = std::fs::read_to_string(stage.path("users.txt")).unwrap();
    list += "\npii-ä\n";
    list += &format!("pii-{}", "x".repeat(40));
    stage.write("users.txt", list);
    stage.simulator.reject_user(user(7), 90001);
    let sweep = stage
        .sweep("users.txt")
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
        json!({"user": user(7), "reason": "rejected-by-api", "code": 90001, "line": 8}),
        json!({"user": "pii-ä", "reason": "invalid-user-id", "code": null, "line": 121}),
        json!({"user": format!("pii-{}", "x".repeat(40)), "reason": "invalid-user-id", "code": null, "line": 122}),
    ];
    assert_eq!(failures, expected.iter().map(Value::to_string).collect());
    let mode = stage.path(name).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds user IDs");

    stage.simulator.accept_user(&user(7));
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
