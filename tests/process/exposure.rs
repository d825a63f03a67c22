//! What others on the machine can see of a worker: its arguments, its environment, its memory.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::program::{Program, Running};
use crate::stage::*;

/// A part of the key and of the broker's URL that is in each of their copies, whole or cut short.
const OF_THE_KEY: &str = "5ec2e75ec2e75ec2e75ec2e7";
const LOGIN: &str = "guest:guest@";

/// A worker that has its secrets from files and has made a call with them.
struct Worker {
    stage: Stage,
    running: Running,
    _files: TempDir,
}

impl Worker {
    async fn with_secret_files() -> Worker {
        let stage = Stage::new().await;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| -> PathBuf {
            let path = folder.path().join(name);
            fs::write(&path, format!("{content}\n")).unwrap();
            path
        };
        assert!(stage.vhost.url().contains(LOGIN));
        let running = Program::new("run")
            .set(
                "rabbitmq.url_file",
                file("url", &stage.vhost.url()).display(),
            )
            .set("im.secret_key_file", file("key", SECRET_KEY).display())
            .set("im.base_url", stage.simulator.url())
            .set("im.sdk_app_id", 1_400_000_000)
            .set("window.max_wait", "50ms")
            .start();
        running.says("broker session open").await;
        stage.import(0..1);
        stage.delete(0..1).await;
        stage.cleared(1).await;
        Worker {
            stage,
            running,
            _files: folder,
        }
    }

    fn shown_in(&self, what: &str) -> String {
        let shown = fs::read(format!("/proc/{}/{what}", self.running.id())).unwrap();
        String::from_utf8(shown).unwrap()
    }

    /// Whether its memory holds `text` wherever it has written, freed parts included.
    fn memory_holds(&self, text: &str) -> bool {
        let process = PathBuf::from(format!("/proc/{}", self.running.id()));
        let open = |what: &str| File::open(process.join(what)).unwrap();
        let (memory, pages) = (open("mem"), open("pagemap"));
        let maps = fs::read_to_string(process.join("maps")).unwrap();
        maps.lines()
            .filter_map(writable)
            .flat_map(|range| in_use(&pages, range))
            .any(|range| {
                let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
                memory.read_exact_at(&mut bytes, range.start).unwrap();
                bytes
                    .windows(text.len())
                    .any(|window| window == text.as_bytes())
            })
    }

    async fn end(self) {
        self.running.signal("TERM").await;
        let (code, log) = self.running.ended().await;
        assert_eq!(code, Some(0), "{log}");
        self.stage.waits_in_the_queue(0).await;
    }
}

/// The addresses that one line of `maps` tells of, if the process can write there.
fn writable(line: &str) -> Option<Range<u64>> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
    rest.starts_with("rw").then_some(start..end)
}

/// The pages of a range that are in memory or swapped out, where they adjoin as one: of a stack, most
/// were never touched.
fn in_use(pages: &File, range: Range<u64>) -> Vec<Range<u64>> {
    const PAGE: u64 = 4096;
    let mut entries = vec![0; usize::try_from((range.end - range.start) / PAGE * 8).unwrap()];
    pages
        .read_exact_at(&mut entries, range.start / PAGE * 8)
        .unwrap();
    let mut found: Vec<Range<u64>> = Vec::new();
    for (start, entry) in range.step_by(PAGE as usize).zip(entries.chunks(8)) {
        // The two highest bits of an entry, which is in the machine's order: little-endian.
        if entry[7] & 0b1100_0000 == 0 {
            continue;
        }
        match found.last_mut() {
            Some(last) if last.end == start => last.end += PAGE,
            _ => found.push(start..start + PAGE),
        }
    }
    found
}

#[tokio::test]
async fn arguments_and_with_secret_files_the_environment_show_no_secret() {
    let worker = Worker::with_secret_files().await;
    let (arguments, environment) = (worker.shown_in("cmdline"), worker.shown_in("environ"));
    assert!(arguments.ends_with("run\0"), "{arguments:?}");
    assert!(environment.contains("TAGSWEEP__IM__SECRET_KEY_FILE="));
    for shown in [arguments, environment] {
        assert!(!shown.contains(OF_THE_KEY) && !shown.contains(LOGIN));
    }
    worker.end().await;
}

#[tokio::test]
async fn a_secret_key_from_a_file_is_nowhere_in_memory_once_a_user_sig_is_made() {
    let worker = Worker::with_secret_files().await;
    // The AMQP client keeps the login, so it is found: the search works.
    assert!(worker.memory_holds(LOGIN));
    assert!(!worker.memory_holds(OF_THE_KEY));
    worker.end().await;
}

#[tokio::test]
async fn a_secret_on_the_command_line_is_refused() {
    for argument in [
        "--secret-key",
        "--user-sig",
        "--url",
        "--password",
        "--token",
    ] {
        for command in ["run", "check", "publish pii-1"] {
            let ended = sound(command)
                .argument(format!("{argument}=5ec2e7"))
                .run()
                .await;
            assert_eq!(ended.code, Some(2), "{command} {argument}: {ended:?}");
        }
    }
    for key in [
        "im.secret_key",
        "im.user_sig",
        "im.proxy_url",
        "rabbitmq.url",
        "admin.token",
    ] {
        let argument = format!("--set={key}=5ec2e7");
        let ended = sound("run").argument(argument).run().await;
        assert_eq!(ended.code, Some(78), "{key}: {ended:?}");
        let said = "every user of this machine can read arguments";
        assert!(ended.stderr.contains(said), "{key}: {ended:?}");
    }
}

#[tokio::test]
async fn a_worker_with_the_longest_durations_of_all_works() {
    let stage = Stage::new().await;
    let worker = stage
        .program("run")
        .set("rabbitmq.consumer_timeout", "876000h")
        .set("rabbitmq.hold_limit", "875999h")
        .set("window.max_wait", "875998h")
        .set("retry.backoff_max", "875998h")
        .set("im.connect_timeout", "875997h")
        .set("im.request_timeout", "875998h")
        .set("admin.stall_limit", "876000h")
        .set("shutdown.grace_period", "876000h")
        .start();
    worker.says("broker session open").await;
    stage.import(0..1);
    stage.delete(0..1).await;
    stage
        .publish([testkit::amqp::Outgoing::json("user.deleted", "{")])
        .await;
    stage.letters_wait(1).await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(stage.simulator.stats().users_cleared, 1);
}
