//! Whatever ends the owner of a node, nothing of the node stays behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use testkit::eventually;
use testkit::rabbitmq::Node;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(180);
const NOBODY: u32 = 65534;

/// Processes whose environment or command line names `path`.
fn processes_of(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let names = |file: PathBuf| {
        let text = fs::read(file).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(path)
    };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let process = entry.unwrap().path();
        if names(process.join("environ")) || names(process.join("cmdline")) {
            found.push(fs::read_to_string(process.join("comm")).unwrap_or_default());
        }
    }
    found
}

/// A process that owns a node, with a folder for temporary files of its own.
struct Owner {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    temporary: TempDir,
}

impl Owner {
    fn start(user: Option<u32>) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        // A copy, as the build folder may be closed to other users. Not by this process: another test may start a program
        // meanwhile, which inherits the open file for a moment, and until then the copy cannot be run.
        let program = temporary.path().join("rabbitmq-node");
        let mut copy = std::process::Command::new("cp");
        copy.arg(env!("CARGO_BIN_EXE_rabbitmq-node")).arg(&program);
        assert!(copy.status().unwrap().success());
        let folder = temporary.path().join("tmp");
        fs::create_dir(&folder).unwrap();
        let mut command = std::process::Command::new(program);
        command
            .env("TMPDIR", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(user) = user {
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(temporary.path(), open).unwrap();
            chown(&folder, Some(user), Some(user)).unwrap();
            command.uid(user).gid(user);
        }
        let mut process = Command::from(command).kill_on_drop(true).spawn().unwrap();
        Self {
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
            temporary,
        }
    }

    fn folder(&self) -> PathBuf {
        self.temporary.path().join("tmp")
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line())
            .await
            .unwrap()
            .unwrap();
        line.expect("the node starts")
    }

    async fn assert_nothing_left(&self) {
        eventually(
            Duration::from_secs(20),
            "nothing is left of the node",
            async || {
                let processes = processes_of(&self.folder());
                let empty = fs::read_dir(self.folder()).unwrap().next().is_none();
                (processes.is_empty() && empty).then_some(())
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_dropped_node_is_gone_at_once_even_when_paused() {
    for paused in [false, true] {
        let mut node = Node::start().await.unwrap();
        let folder = node.folder().to_owned();
        let processes = processes_of(&folder);
        assert!(
            processes.iter().any(|name| name.contains("beam")),
            "{processes:?}"
        );
        assert!(
            processes.iter().any(|name| name.contains("epmd")),
            "{processes:?}"
        );
        if paused {
            node.pause().await.unwrap();
        }
        drop(node);
        assert_eq!(processes_of(&folder), Vec::<String>::new());
        assert!(!folder.exists());
    }
}

#[tokio::test]
async fn a_node_is_gone_after_its_owner_was_killed() {
    let mut owner = Owner::start(None);
    owner.line().await;
    assert!(!processes_of(&owner.folder()).is_empty());
    owner.process.kill().await.unwrap();
    owner.assert_nothing_left().await;
}

#[tokio::test]
async fn a_node_is_gone_after_its_owner_was_killed_while_it_started() {
    let mut owner = Owner::start(None);
    eventually(PATIENCE, "the Erlang VM runs", async || {
        let processes = processes_of(&owner.folder());
        processes
            .iter()
            .any(|name| name.contains("beam"))
            .then_some(())
    })
    .await;
    owner.process.kill().await.unwrap();
    owner.assert_nothing_left().await;
}

#[tokio::test]
async fn an_ordinary_user_can_run_a_node() {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut owner = Owner::start(is_root.then_some(NOBODY));
    let url = owner.line().await;
    assert!(url.starts_with("amqp://guest:guest@127.0.0.1:"), "{url}");
    drop(owner.process.stdin.take());
    timeout(PATIENCE, owner.process.wait())
        .await
        .unwrap()
        .unwrap();
    owner.assert_nothing_left().await;
}
