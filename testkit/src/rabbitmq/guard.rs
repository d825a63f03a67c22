//! The guard: a shell that outlives the process that started a node, to end the node.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{self, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, process};

use anyhow::Context;

/// Every process of a node carries this variable with the node's folder in its
/// environment, which it hands down to whatever it starts. Process groups would
/// not do: `epmd` makes itself a daemon and the Erlang VM's helpers are put in
/// sessions of their own.
pub(super) const MARK: &str = "TESTKIT_NODE";

/// Waits until its owner closes the pipe or dies, then kills every process that
/// bears the mark and removes the folder. It looks until it has found none twice
/// in a row, as a process that is just being replaced by another program
/// shows no environment for a moment. Neither does one that has ended and was
/// not waited for yet; that one counts as gone.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r _
looks=0
clean=0
while [ "$clean" -lt 2 ] && [ "$looks" -lt 500 ]; do
    clean=$((clean + 1))
    looks=$((looks + 1))
    for environ in $(grep -lsF -- "$1=$2" /proc/[0-9]*/environ); do
        clean=0
        pid=${environ#/proc/}
        kill -KILL "${pid%/environ}" 2>/dev/null
    done
    sleep 0.02
done
rm -rf -- "$2"
"#;

/// The running guard and the folder that it removes. Dropping it ends the node
/// and returns when nothing is left of it.
#[derive(Debug)]
pub(super) struct Guard {
    shell: Child,
    folder: PathBuf,
}

impl Guard {
    /// Starts the guard first and creates the folder then, so that there is no
    /// moment in which dying would leave something behind.
    pub(super) fn start() -> anyhow::Result<Self> {
        let name = format!(
            "testkit-rabbitmq-{}-{:08x}",
            process::id(),
            fastrand::u32(..)
        );
        let folder = path::absolute(env::temp_dir().join(name))?;
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "testkit-guard", MARK])
            .arg(&folder)
            .current_dir("/")
            .env_remove(MARK)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C on the terminal must end the owner, not the guard.
            .process_group(0)
            .spawn()
            .context("cannot start /bin/sh as the guard of a RabbitMQ node")?;
        let guard = Self { shell, folder };
        DirBuilder::new()
            .mode(0o700)
            .create(&guard.folder)
            .with_context(|| format!("cannot create {}", guard.folder.display()))?;
        Ok(guard)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The guard ends by itself; an error here means that there is none.
        let _ = self.shell.wait();
    }
}
