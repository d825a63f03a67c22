//! The worker's process, and what can befall it: signals, a full disk below its log, names that vanish.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{PipeReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::secrets;
use crate::stage::PATIENCE;

/// Names are looked up in a file of ours and nowhere else; the files are the process's own, in a mount
/// namespace. The arguments are the two files, then the program.
const WITH_OWN_NAMES: &str = r#"
mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/nsswitch.conf || exit 70
shift 2
exec "$@"
"#;

/// Whatever ends the tests also ends a worker, a stopped one too.
const MORTAL: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];

/// What a pipe holds, on Linux.
const PIPE: usize = 64 * 1024;

/// What is special about the place that a worker runs in.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    Ordinary,
    /// Nothing can be written to its log.
    FullDisk,
    /// Its log is a full pipe that nobody reads.
    StuckReader,
    /// With the hosts and nsswitch.conf of this folder.
    OwnNames(&'a Path),
}

/// A running worker. Dropping it kills it.
pub struct Worker {
    child: Child,
    log: PathBuf,
    /// The other end of a log that nobody reads.
    _unread: Option<PipeReader>,
}

impl Worker {
    pub fn start(settings: &BTreeMap<String, String>, place: Place<'_>) -> Worker {
        let log = secrets::folder().join(format!("{}.log", testkit::rabbitmq::unique("faults")));
        let file = File::create(&log).unwrap();
        let mut unread = None;
        let (mut command, output) = match place {
            Place::Ordinary => (Command::new(MORTAL[0]), Stdio::from(file)),
            Place::FullDisk => {
                let full = File::options().write(true).open("/dev/full");
                (Command::new(MORTAL[0]), full.unwrap().into())
            }
            Place::StuckReader => {
                let (reader, mut writer) = std::io::pipe().unwrap();
                writer.write_all(&[b'\n'; PIPE]).unwrap();
                unread = Some(reader);
                (Command::new(MORTAL[0]), writer.into())
            }
            Place::OwnNames(folder) => {
                let mut command = namespace();
                command.args(["/bin/sh", "-c", WITH_OWN_NAMES, "sh"]);
                command.args([folder.join("hosts"), folder.join("nsswitch.conf")]);
                command.arg(MORTAL[0]);
                (command, file.into())
            }
        };
        command
            .args(&MORTAL[1..])
            .args([env!("CARGO_BIN_EXE_tagsweep"), "run"])
            .env_clear()
            // No test reads what this machine has in /etc.
            .env("CONFIGURATION_DIRECTORY", "/none")
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .kill_on_drop(true);
        let child = command.spawn().unwrap();
        Worker {
            child,
            log,
            _unread: unread,
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The end of the log as it is now, for [`says_since`](Worker::says_since).
    pub fn mark(&self) -> u64 {
        self.log.metadata().unwrap().len()
    }

    /// Waits until the log says `text` after `mark`.
    pub async fn says_since(&self, mark: u64, text: &str) {
        let what = format!("{} says {text:?} after byte {mark}", self.log.display());
        testkit::eventually(PATIENCE, &what, async || {
            let mut log = File::open(&self.log).unwrap();
            log.seek(SeekFrom::Start(mark)).unwrap();
            let mut said = String::new();
            log.read_to_string(&mut said).unwrap();
            said.contains(text).then_some(())
        })
        .await;
    }

    /// Sends `TERM`, `STOP` or another signal.
    pub async fn signal(&self, name: &str) {
        let process = self.child.id().expect("it runs").to_string();
        let kill = Command::new("kill")
            .args(["-s", name, &process])
            .status()
            .await;
        assert!(kill.unwrap().success());
    }

    /// Ends it as a crash or a power cut would.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
        self.assert_log_is_clean();
    }

    /// Asks it to end, and says with which code it did.
    pub async fn drain(mut self) -> Option<i32> {
        self.signal("TERM").await;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it does not end: {}", self.log.display()));
        self.assert_log_is_clean();
        status.unwrap().code()
    }

    fn assert_log_is_clean(&self) {
        secrets::assert_clean(&self.log);
        assert!(!self.log().contains("panicked"), "{}", self.log.display());
    }
}

/// A program in a mount namespace of its own. Root needs no other one; anybody else becomes root in a user
/// namespace, where the machine allows that.
fn namespace() -> Command {
    let mut command = Command::new("unshare");
    let user = if is_root() {
        None
    } else {
        Some("--map-root-user")
    };
    command.arg("--mount").args(user);
    command
}

/// Whether this machine lets us have a mount namespace.
pub async fn has_namespaces() -> bool {
    let mut command = namespace();
    command.args(["mount", "--bind", "/etc/hosts", "/etc/hosts"]);
    command.stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
