//! A contestant's process: its start, its cost including all children, and its end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::timeout;

/// How long a contestant may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a process and its descendants have used up since their start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of user and system together.
    pub cpu: Duration,
    /// Bytes. Of several processes that live, the sum of their peaks.
    pub peak_rss: u64,
}

/// A running contestant. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: u32,
    started: Instant,
}

impl Process {
    /// Starts it, with what it says in the file `log`.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn start(mut command: Command, log: &Path) -> anyhow::Result<Process> {
        let log = File::create(log)?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let program = command.get_program().to_owned();
        let started = Instant::now();
        let child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let pid = child.id().context("it has ended already")?;
        Ok(Process {
            child,
            pid,
            started,
        })
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// What it has used up so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let usage = usage_of_tree(self.pid)?;
        usage.context("the contestant has ended")
    }

    /// Asks it to end with SIGTERM and waits; kills it when it takes too long. Says whether it ended
    /// by itself, and not in failure.
    pub async fn end(mut self) -> anyhow::Result<bool> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no process ID")?, Signal::TERM)?;
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            self.child.kill().await?;
            return Ok(false);
        };
        let status = status?;
        Ok(status.success() || status.signal() == Some(Signal::TERM.as_raw()))
    }
}

struct Stat {
    parent: u32,
    /// With the children that have ended and were waited for.
    ticks: u64,
}

fn usage_of_tree(root: u32) -> anyhow::Result<Option<Usage>> {
    let stats = stats()?;
    if !stats.contains_key(&root) {
        return Ok(None);
    }
    let mut usage = Usage::default();
    let mut ticks = 0;
    for (pid, stat) in &stats {
        if descends(&stats, *pid, root) {
            ticks += stat.ticks;
            usage.peak_rss += peak_rss(*pid);
        }
    }
    let per_second = rustix::param::clock_ticks_per_second();
    usage.cpu = Duration::from_secs_f64(ticks as f64 / per_second as f64);
    Ok(Some(usage))
}

fn descends(stats: &BTreeMap<u32, Stat>, pid: u32, root: u32) -> bool {
    let parent = |pid: &u32| stats.get(pid).map(|stat| stat.parent);
    std::iter::successors(Some(pid), parent).any(|ancestor| ancestor == root)
}

/// Of every process of this machine.
fn stats() -> anyhow::Result<BTreeMap<u32, Stat>> {
    let mut stats = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // Processes end while we look.
        if let Ok(text) = fs::read_to_string(entry.path().join("stat")) {
            stats.insert(pid, parse_stat(&text).context("an odd /proc/PID/stat")?);
        }
    }
    Ok(stats)
}

/// See proc_pid_stat(5). The name, in parentheses, may hold anything.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let mut ticks = 0;
    for time in fields.get(11..15)? {
        ticks += time.parse::<u64>().ok()?;
    }
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks,
    })
}

/// In bytes; 0 for a process that has just ended.
fn peak_rss(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u64> = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_its_own_and_that_of_its_ended_children() {
        let stat = parse_stat("7 (a) b) S 3 7 7 0 -1 0 1 2 3 4 10 20 300 4000 20 0 1").unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 4330));
    }

    #[tokio::test]
    async fn cpu_of_a_child_is_counted_and_the_tree_ends_on_sigterm() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new("/bin/sh");
        // The child burns, and the parent waits for it.
        command.args([
            "-c",
            "trap 'kill $!; exit 0' TERM; (while :; do :; done) & wait",
        ]);
        let process = Process::start(command, &log).unwrap();
        let burnt = async || {
            let usage = process.usage().ok()?;
            (usage.cpu >= Duration::from_millis(100) && usage.peak_rss > 0).then_some(())
        };
        testkit::eventually(Duration::from_secs(60), "100 ms of CPU", burnt).await;
        assert!(process.end().await.unwrap());
    }
}
