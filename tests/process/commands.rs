//! The other commands, and what all of them have in common: help, version, output.

use std::io::Write;

use im_simulator::UnknownAccounts;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::program::{Ended, Program};
use crate::stage::*;

/// The line of `check` about one part, without its alignment.
fn line<'a>(ended: &'a Ended, what: &str) -> (&'a str, &'a str) {
    let parts = ended
        .stdout
        .lines()
        .filter_map(|line| line.split_once("  "));
    let mut parts = parts.map(|(outcome, rest)| (outcome.trim(), rest.trim()));
    parts
        .find_map(|(outcome, rest)| Some((outcome, rest.strip_prefix(what)?.trim())))
        .unwrap_or_else(|| panic!("no line about {what}: {ended:?}"))
}

fn assert_fails(ended: &Ended, what: &str, mend: &str) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let (outcome, detail) = line(ended, what);
    assert_eq!(outcome, "fail", "{ended:?}");
    assert!(detail.contains(mend), "{ended:?}");
}

#[tokio::test]
async fn check_finds_a_sound_stage_sound_and_changes_nothing_there() {
    let stage = Stage::new().await;
    stage.simulator.set_tags("tagsweep-control", &[]);
    let ended = stage.program("check").run().await;
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    for what in [
        "configuration",
        "broker login",
        "queues and exchanges",
        "bindings",
        "dead-letter route",
        "API and UserSig",
        "control user",
        "clock",
    ] {
        assert_eq!(line(&ended, what).0, "ok", "{ended:?}");
    }
    // One line each, and the details in one column.
    assert_eq!(ended.stdout.lines().count(), 8, "{ended:?}");
    assert!(
        ended
            .stdout
            .lines()
            .all(|line| line.find("  ").is_some() && &line[4..6] == "  ")
    );
    assert_eq!(stage.letters().await.len(), 0);
    assert_eq!(stage.simulator.stats().calls, 0);

    let json = stage.program("check --json").run().await;
    assert_eq!(json.code, Some(0));
    let findings = json.json();
    let findings = findings.as_array().unwrap();
    assert_eq!(findings.len(), 8);
    assert!(findings.iter().all(|finding| finding["outcome"] == "ok"));
}

#[tokio::test]
async fn check_names_the_mend_of_what_is_wrong_and_ends_with_1() {
    let stage = Stage::new().await;
    let wrong = |key: &str, value: &str| stage.program("check").set(key, value);

    let ended = wrong("im.secret_key", "5ec2e7-wrong").run().await;
    assert_fails(&ended, "API and UserSig", "tagsweep explain 70009");
    let ended = wrong("im.admin", "nobody").run().await;
    assert_fails(&ended, "API and UserSig", "tagsweep explain 60010");
    let ended = wrong("im.base_url", "http://127.0.0.1:1").run().await;
    assert_fails(&ended, "API and UserSig", "check im.base_url");

    let url = stage.vhost.url();
    let ended = wrong(
        "rabbitmq.url",
        &url.replace("guest:guest", "guest:pa55word"),
    )
    .run()
    .await;
    assert_fails(
        &ended,
        "broker login",
        "the broker refused user or password: check them",
    );
    assert_eq!(line(&ended, "API and UserSig").0, "ok");
    let ended = wrong("rabbitmq.url", &format!("{url}-none")).run().await;
    assert_fails(
        &ended,
        "broker login",
        "the virtual host does not exist: check the last part",
    );
    let ended = wrong("rabbitmq.url", "amqp://127.0.0.1:1").run().await;
    assert_fails(
        &ended,
        "broker login",
        "cannot connect to 127.0.0.1:1: connection refused",
    );

    // Nobody has declared anything on this one.
    let stage = Stage::new().await;
    let wrong = |key: &str, value: &str| stage.program("check").set(key, value);
    let ended = wrong("rabbitmq.declare", "false").run().await;
    assert_fails(
        &ended,
        "queues and exchanges",
        "set rabbitmq.declare = true",
    );
    let ended = wrong("rabbitmq.declare", "false")
        .argument("--json")
        .run()
        .await;
    assert_eq!(ended.code, Some(1));
    let failed = |finding: &&Value| finding["outcome"] == "fail";
    assert!(
        ended
            .json()
            .as_array()
            .unwrap()
            .iter()
            .filter(failed)
            .count()
            > 0
    );
}

#[tokio::test]
async fn check_warns_of_a_control_user_that_is_no_account_where_the_api_says_so() {
    let stage = Stage::new().await;
    for (unknown, expected) in [
        (UnknownAccounts::Ignore, "ok"),
        (UnknownAccounts::ErrorList, "warn"),
        (UnknownAccounts::FailAll, "warn"),
    ] {
        stage.simulator.set_unknown_accounts(unknown);
        let ended = stage.program("check").run().await;
        let (outcome, detail) = line(&ended, "control user");
        assert_eq!(outcome, expected, "{ended:?}");
        assert_eq!(detail.contains("account_import"), expected == "warn");
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    stage.simulator.set_tags("tagsweep-control", &[]);
    let ended = stage.program("check").run().await;
    assert_eq!(line(&ended, "control user").0, "ok", "{ended:?}");
}

/// An API whose clock stands, on the last second of 1999.
async fn backward_api() -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            let body = r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ndate: Fri, 31 Dec 1999 23:59:59 GMT\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, serving)
}

#[tokio::test]
async fn check_warns_of_a_clock_that_is_far_off() {
    let stage = Stage::new().await;
    let (url, serving) = backward_api().await;
    let ended = stage.program("check").set("im.base_url", url).run().await;
    let (outcome, detail) = line(&ended, "clock");
    assert_eq!(outcome, "warn", "{ended:?}");
    assert!(detail.contains("set this machine's clock"), "{ended:?}");
    assert_eq!(ended.code, Some(0));
    serving.abort();
}

#[tokio::test]
async fn check_offline_connects_to_nothing_and_still_judges_the_configuration() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let program = sound("check --offline")
        .set("rabbitmq.url", format!("amqp://{address}"))
        .set("im.base_url", format!("http://{address}"));
    let ended = program.run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 1);
    let accepted = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err(), "something connected");

    let ended = program
        .argument("--json")
        .set("window.max_ids", 101)
        .run()
        .await;
    assert_eq!(ended.code, Some(78));
    assert_eq!(ended.json()[0]["outcome"], "fail");
}

#[tokio::test]
async fn publish_sends_one_confirmed_event_per_user_from_arguments_files_and_standard_input() {
    let stage = Stage::new().await;
    stage.declare().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "pii-3\r\n\npii-4").unwrap();
    let ended = stage
        .program("publish pii-1 pii-2 --reason reset --file")
        .argument(file.path().to_str().unwrap())
        .run()
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("published 4 events of type user.reset, all confirmed")
    );
    assert_eq!(ended.stderr, "");
    let ended = stage
        .program("publish --json --file -")
        .input("pii-5\n")
        .run()
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json(), json!({ "events": 1, "confirmed": 1 }));

    // A worker that acts on resets only shows which is which.
    stage
        .simulator
        .import_users((1..=5).map(|number| format!("pii-{number}")));
    let worker = stage
        .program("run")
        .set("events.types", "user.reset")
        .start();
    stage.cleared(4).await;
    worker.signal("TERM").await;
    assert_eq!(worker.ended().await.0, Some(0));
    for number in 1..=5 {
        let clears = stage.simulator.clears(&format!("pii-{number}")).count;
        assert_eq!(clears, u32::from(number < 5), "user {number}");
    }
}

#[tokio::test]
async fn publish_refuses_an_invalid_user_by_its_place_before_anything_is_sent() {
    let ended = sound("publish --file -")
        .input("pii-1\npii-ä\n")
        .run()
        .await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("-, line 2: "), "{ended:?}");
    let ended = sound("publish pii-1 pii-ä").run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("user number 2: "), "{ended:?}");
    let ended = sound("publish --file /no/such").run().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.starts_with("tagsweep: /no/such: "),
        "{ended:?}"
    );
}

#[tokio::test]
async fn publish_ends_with_1_when_no_queue_takes_an_event() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.amqp.delete(&[QUEUE], &[]).await.unwrap();
    let ended = stage.program("publish pii-1 pii-2 --json").run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.json(), json!({ "events": 2, "confirmed": 0 }));
    assert!(
        ended.stderr.contains("0 of 2 events are confirmed: event "),
        "{ended:?}"
    );
    assert_eq!(ended.stderr.lines().count(), 1);

    let ended = sound("publish pii-1").run().await;
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended
            .stderr
            .matches("cannot connect to 127.0.0.1:1: connection refused")
            .count(),
        1,
        "{ended:?}"
    );
}

#[tokio::test]
async fn publish_stops_at_a_signal_and_says_how_far_it_came() {
    let stage = Stage::new().await;
    // A broker that accepts and stays mute.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = stage
        .vhost
        .url_through(listener.local_addr().unwrap().port());
    let publish = stage
        .program("publish pii-1 pii-2")
        .set("rabbitmq.url", url)
        .start();
    let _connection = listener.accept().await.unwrap();
    publish.signal("INT").await;
    let (code, said) = publish.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("0 of 2 events are confirmed: stopped by SIGINT"),
        "{said}"
    );
}

#[tokio::test]
async fn explain_tells_what_a_code_means_and_what_is_done_on_it() {
    let ended = Program::new("explain 90009").run().await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.starts_with("90009 (config): "), "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("What the worker does: The worker pauses"),
        "{ended:?}"
    );
    let ended = Program::new("explain 90001 --json").run().await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.json()["class"], "reject");

    let ended = Program::new("explain -5").run().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(
        ended
            .stderr
            .contains("error code -5 is in no published table"),
        "{ended:?}"
    );
    let ended = Program::new("explain 5 --json").run().await;
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.json()["known"], false);
}

#[tokio::test]
async fn every_command_has_help_with_an_example() {
    for command in [
        "",
        "run",
        "check",
        "publish",
        "health",
        "explain",
        "config",
        "completions",
        "man",
    ] {
        let ended = Program::new(command).argument("--help").run().await;
        assert_eq!(ended.code, Some(0), "{command}");
        assert!(ended.stdout.contains("Example"), "{command}: {ended:?}");
        assert!(ended.stdout.contains("tagsweep "), "{command}: {ended:?}");
    }
}

#[tokio::test]
async fn the_version_has_the_commit() {
    let ended = Program::new("--version").run().await;
    assert_eq!(ended.code, Some(0));
    let expected = format!(
        "tagsweep {} ({})\n",
        env!("CARGO_PKG_VERSION"),
        env!("TAGSWEEP_COMMIT")
    );
    assert_eq!(ended.stdout, expected);
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_says_what_is_right() {
    for (command, right) in [
        ("", "Usage: tagsweep"),
        ("publsh", "'publish'"),
        ("publish", "--file <FILE>"),
        ("publish pii-1 --reason x", "deleted, reset"),
        ("config --schema --default", "cannot be used with"),
        ("explain x", "--help"),
    ] {
        let ended = Program::new(command).run().await;
        assert_eq!(ended.code, Some(2), "{command}: {ended:?}");
        assert!(ended.stderr.contains(right), "{command}: {ended:?}");
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    for command in [
        "config --schema",
        "config",
        "explain 90009",
        "check --offline",
        "--help",
    ] {
        // As `tagsweep … | head -1` when head is already done.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = sound(command).run_into(writer).await;
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{command}"
        );
    }
    let full = std::fs::File::create("/dev/full").unwrap();
    let ended = sound("config").run_into(full).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("standard output cannot be written"),
        "{ended:?}"
    );
}

/// `script` runs a command on a terminal of its own.
async fn on_a_terminal(arguments: &str, no_color: &str) -> String {
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command"])
        .arg(format!("{} {arguments}", env!("CARGO_BIN_EXE_tagsweep")))
        .arg("/dev/null")
        .env("TERM", "xterm")
        .env("CONFIGURATION_DIRECTORY", "/none")
        .env("XDG_CONFIG_HOME", "/none")
        .env("NO_COLOR", no_color)
        .env("TAGSWEEP__IM__SDK_APP_ID", "1")
        .env("TAGSWEEP__IM__SECRET_KEY", SECRET_KEY)
        .stdin(std::process::Stdio::null());
    let output = script
        .output()
        .await
        .expect("script (of util-linux) can be run");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn colours_are_for_terminals_and_no_color_is_obeyed() {
    for command in ["check --offline", "--help"] {
        assert!(
            on_a_terminal(command, "").await.contains("\x1b["),
            "{command}"
        );
        assert!(
            !on_a_terminal(command, "1").await.contains('\x1b'),
            "{command}"
        );
        let ended = sound(command).run().await;
        assert!(!ended.stdout.contains('\x1b'), "{command}");
    }
}
