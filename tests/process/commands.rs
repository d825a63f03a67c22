//! The other commands, and what all of them have in common: help, version, output.

use serde_json::json;
use tokio::process::Command;

use crate::program::Program;
use crate::stage::*;

#[tokio::test]
async fn explain_says_of_codes_and_names_what_they_mean_and_what_to_do() {
    for (name, begins, advice) in [
        (
            "90009",
            "90009 (config): ",
            "Make im.admin an administrator",
        ),
        ("0", "0: success", "Nothing"),
        ("http-407", "http-407 (config): ", "im.proxy_url"),
        ("timeout", "timeout: ", "im.request_timeout"),
        (
            "rejected-by-api",
            "rejected-by-api: ",
            "tagsweep dead-letters redrive",
        ),
        ("config", "config: ", "Fix the setting"),
    ] {
        let ended = Program::new("explain").argument(name).run().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.starts_with(begins), "{ended:?}");
        assert!(
            ended.stdout.contains("What the worker does: It "),
            "{ended:?}"
        );
        let (_, told) = ended.stdout.split_once("What you should do: ").unwrap();
        assert!(told.contains(advice), "{ended:?}");
    }
    let ended = Program::new("explain 90001 --json").run().await;
    assert_eq!(ended.code, Some(0));
    let explained = ended.json();
    assert_eq!(
        (&explained["class"], &explained["code"]),
        (&json!("reject"), &json!(90001))
    );
    assert!(explained["advice"].is_string());
}

#[tokio::test]
async fn explain_ends_with_1_at_what_nobody_knows_and_still_helps() {
    let ended = Program::new("explain -5").run().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .stdout
            .starts_with("-5 (unknown): in no published table"),
        "{ended:?}"
    );
    assert!(
        ended
            .stdout
            .contains("What you should do: Look the code up"),
        "{ended:?}"
    );
    let ended = Program::new("explain 5 --json").run().await;
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.json()["known"], false);

    let ended = Program::new("explain retry-exhausted").run().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(
        ended.stderr.contains("did you mean retries-exhausted?"),
        "{ended:?}"
    );
    let ended = Program::new("explain something").run().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("tagsweep explain --list"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn explain_lists_everything_as_text_and_as_json() {
    let ended = Program::new("explain --list").run().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let listed = |name: &str| {
        ended
            .stdout
            .lines()
            .any(|line| line.trim_start().starts_with(name))
    };
    let ended = Program::new("explain --list --json").run().await;
    let all = ended.json();
    let all = all.as_array().unwrap();
    assert!(all.len() > 130, "{} are not all", all.len());
    for known in all {
        assert!(listed(known["name"].as_str().unwrap()), "{known}");
    }
}

#[tokio::test]
async fn health_takes_nobody_but_a_worker_for_one() {
    let stage = Stage::new().await;
    let worker = stage.worker().await;
    let address = worker.admin_address().await;
    let health = |arguments: &str| {
        let program = Program::new(&format!("health {arguments}"));
        program.set("admin.listen", &address)
    };
    let ended = health("").run().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "live\n"));
    let ended = health("--ready --json").run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.json(),
        json!({ "ready": true, "detail": "ready: idle, no messages yet" })
    );

    // The simulator answers every path with HTTP, too.
    let other = stage.simulator.url().replace("http://", "");
    let ended = Program::new("health")
        .set("admin.listen", other)
        .run()
        .await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(
        ended.stderr.contains("another program answers"),
        "{ended:?}"
    );
    worker.signal("TERM").await;
    assert_eq!(worker.ended().await.0, Some(0));
    let ended = health("").run().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("no worker is listening on"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn every_command_has_help_with_an_example() {
    for command in [
        "",
        "run",
        "check",
        "publish",
        "sweep",
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
        ("explain", "<CODE or NAME>"),
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
