//! The configuration as the program takes, shows and refuses it. Nothing listens in these tests.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::program::Program;
use crate::stage::{SECRET_KEY, sound};

/// A configuration file, and the folder that goes with it.
fn file(text: &str) -> (PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    (path, folder)
}

const EVERYTHING_WRONG: &str = r#"
[im]
sdk_app_id = 1400000000
secret_kye = "5ec2e75ec2e7"

[window]
max_ids = 101
max_wait = 10

[rabbitmq]
url = "http://operator:pa55word@127.0.0.1"
prefetch = 7
hold_limit = "31m"

[shutdown]
grace_period = "9s"

[nonsense]
colour = "blue"
"#;

#[tokio::test]
async fn a_bad_configuration_exits_with_78_and_tells_every_problem_at_once() {
    let (path, _folder) = file(EVERYTHING_WRONG);
    // Whatever would connect has nobody to connect to: each ends before it could try.
    for command in ["run", "check --offline", "config"] {
        let ended = Program::new(command)
            .file(&path)
            .set("im.max_inflight", 3)
            .set("admin.token", "")
            .run()
            .await;
        assert_eq!(ended.code, Some(78), "{command}: {ended:?}");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        for problem in [
            "im.secret_kye (in",
            "did you mean im.secret_key?",
            "did you mean TAGSWEEP__IM__MAX_IN_FLIGHT?",
            "window.max_wait = 10 (in",
            "without a unit",
            "window.max_ids = 101 (in",
            "from 1 to 100",
            "rabbitmq.url = [redacted] (in",
            "rabbitmq.hold_limit = \"31m\" (in",
            "must be below rabbitmq.consumer_timeout (30m)",
            "shutdown.grace_period = \"9s\" (in",
            "must be above im.request_timeout (10s)",
            "[nonsense] (in",
        ] {
            assert!(
                said.contains(problem),
                "{command}: {problem} is missing in\n{said}"
            );
        }
        assert!(said.lines().all(|line| line.len() < 250), "{said}");
    }
}

#[tokio::test]
async fn a_command_reads_only_its_own_sections_but_no_misspelt_name() {
    // A broker and nothing else: no account, no key.
    let (path, _folder) = file("[rabbitmq]\nurl = 'amqp://operator:pa55word@127.0.0.1:1'\n");
    let ended = Program::new("publish pii-1").file(&path).run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("cannot connect to 127.0.0.1:1"),
        "{ended:?}"
    );
    let ended = Program::new("health")
        .set("admin.listen", "127.0.0.1:1")
        .run()
        .await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("no worker is listening on 127.0.0.1:1")
    );

    let (path, _folder) = file(EVERYTHING_WRONG);
    for (command, told, untold) in [
        ("publish pii-1", "rabbitmq.url", "window.max_ids"),
        ("health", "[nonsense]", "rabbitmq.url"),
    ] {
        let ended = Program::new(command).file(&path).run().await;
        assert_eq!(ended.code, Some(78), "{command}: {ended:?}");
        for told in ["im.secret_kye", told] {
            assert!(ended.stderr.contains(told), "{command}: {ended:?}");
        }
        assert!(!ended.stderr.contains(untold), "{command}: {ended:?}");
    }
}

#[tokio::test]
async fn a_prefetch_that_cannot_fill_the_windows_is_refused() {
    let ended = sound("run").set("rabbitmq.prefetch", 1_699).run().await;
    assert_eq!(ended.code, Some(78));
    assert!(
        ended
            .stderr
            .contains("1 error):\n  rabbitmq.prefetch = 1699"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("at least 1700"), "{ended:?}");
}

#[tokio::test]
async fn required_keys_are_asked_for_by_name() {
    let ended = Program::new("run").run().await;
    assert_eq!(ended.code, Some(78));
    for key in ["im.sdk_app_id", "im.secret_key_file"] {
        assert!(ended.stderr.contains(key), "{ended:?}");
    }
    assert_eq!(ended.stdout, "");
}

#[tokio::test]
async fn a_file_that_is_missing_or_no_toml_is_named_and_never_quoted() {
    let ended = sound("config")
        .argument("--config")
        .argument("/no/such.toml")
        .run()
        .await;
    assert_eq!(ended.code, Some(78));
    assert!(
        ended.stderr.contains("/no/such.toml: cannot be read"),
        "{ended:?}"
    );

    let (path, _folder) = file("[im]\nsecret_key = 5ec2e7 pa55\n");
    let ended = sound("config").file(&path).run().await;
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.contains("config.toml"), "{ended:?}");
    assert!(ended.stderr.contains("line 2"), "{ended:?}");
}

#[tokio::test]
async fn the_effective_configuration_is_shown_without_its_secrets_and_can_be_used_again() {
    let first = sound("config").set("admin.token", "pa55word").run().await;
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(
        first.stdout.contains("amqp://operator:***@127.0.0.1:1/%2f"),
        "{first:?}"
    );
    assert!(
        first.stdout.contains("secret_key = \"[redacted]\""),
        "{first:?}"
    );
    let (path, _folder) = file(&first.stdout);
    let again = Program::new("config").file(&path).run().await;
    assert_eq!((again.code, again.stdout), (Some(0), first.stdout));

    let json = sound("config --json").run().await;
    assert_eq!(json.code, Some(0));
    assert_eq!(json.json()["im"]["secret_key"], "[redacted]");
    assert_eq!(json.json()["window"]["max_wait"], "500ms");
}

#[tokio::test]
async fn the_default_file_and_the_required_keys_are_a_configuration() {
    let default = Program::new("config --default").run().await;
    assert_eq!(default.code, Some(0));
    let (path, _folder) = file(&default.stdout);
    let of_file = Program::new("config")
        .file(&path)
        .set("im.sdk_app_id", 1_400_000_000)
        .set("im.secret_key", SECRET_KEY)
        .run()
        .await;
    assert_eq!(of_file.code, Some(0), "{of_file:?}");
    let built_in = Program::new("config")
        .set("im.sdk_app_id", 1_400_000_000)
        .set("im.secret_key", SECRET_KEY)
        .run()
        .await;
    assert_eq!(of_file.stdout, built_in.stdout);
}

#[tokio::test]
async fn the_schema_is_json_and_names_every_key_that_is_shown() {
    let schema = Program::new("config --schema").run().await;
    assert_eq!(schema.code, Some(0));
    let schema = schema.json();
    let shown = sound("config --json").run().await.json();
    for (section, keys) in shown.as_object().unwrap() {
        for key in keys.as_object().unwrap().keys() {
            let known = &schema["properties"][section]["properties"][key];
            assert!(known.is_object(), "{section}.{key}");
        }
    }
}

#[tokio::test]
async fn later_files_win_over_earlier_ones_and_the_environment_over_all() {
    let (one, _one) = file("[im]\nadmin = 'one'\nmax_in_flight = 1\n[window]\nmax_ids = 1");
    let (two, _two) = file("[im]\nadmin = 'two'\nmax_in_flight = 2");
    // Files may stand before and after the command.
    let ended = Program::new("")
        .file(&one)
        .argument("config")
        .argument("--json")
        .file(&two)
        .set("im.sdk_app_id", 1)
        .set("im.user_sig", "pa55")
        .set("im.admin", "three")
        .run()
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let shown = ended.json();
    assert_eq!(shown["im"]["admin"], "three");
    assert_eq!(shown["im"]["max_in_flight"], 2);
    assert_eq!(shown["window"]["max_ids"], 1);
}

#[tokio::test]
async fn a_url_or_a_variable_that_cannot_work_exits_with_78_and_the_remedy() {
    for (parameter, remedy) in [
        ("heartbeat=abc", "write the seconds as a whole number"),
        ("heartbeat=70000", "from 0 to 65535"),
        ("channel_max=abc", "the worker needs 8 channels"),
        ("channel_max=4", "the worker needs 8 channels"),
        ("auth_mechanism=foo", "write plain, amqplain"),
    ] {
        let url = format!("amqp://operator:pa55word@127.0.0.1:1/%2f?{parameter}");
        let ended = sound("check").set("rabbitmq.url", url).run().await;
        assert_eq!(ended.code, Some(78), "{parameter}: {ended:?}");
        assert!(ended.stdout.contains(remedy), "{parameter}: {ended:?}");
    }
    let slip = sound("run").variable("TAGSWEEP_IM_ADMIN", "pa55word");
    let ended = slip.run().await;
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let remedy = "TAGSWEEP_IM_ADMIN: no such variable; did you mean TAGSWEEP__IM__ADMIN?";
    assert!(ended.stderr.contains(remedy), "{ended:?}");
}
