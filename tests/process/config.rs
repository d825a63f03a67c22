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
            ":4:1: im.secret_kye: no such key",
            "did you mean im.secret_key?",
            "did you mean TAGSWEEP__IM__MAX_IN_FLIGHT?",
            "window.max_wait = 10: is a duration and needs a unit",
            ":7:1: window.max_ids = 101: ",
            "from 1 to 100",
            "rabbitmq.url = [redacted]: ",
            "rabbitmq.hold_limit = \"31m\": ",
            "must be below rabbitmq.consumer_timeout (30m)",
            "shutdown.grace_period = \"9s\": ",
            "must be above im.request_timeout (10s)",
            "[nonsense]: no such section",
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
    for said in [
        "im.sdk_app_id",
        "im.secret_key_file",
        "\nno --config is given, and there is no /none/config.toml\n",
    ] {
        assert!(ended.stderr.contains(said), "{ended:?}");
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
        ended
            .stderr
            .contains("/no/such.toml: no such file; check the path"),
        "{ended:?}"
    );

    let (path, _folder) = file("[im]\nsecret_key = 5ec2e7 pa55\n");
    let ended = sound("config").file(&path).run().await;
    assert_eq!(ended.code, Some(78));
    assert!(
        ended
            .stderr
            .contains("config.toml:2:14: `secret_key = …`: a text needs quotes"),
        "{ended:?}"
    );
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
    assert_eq!(again.code, Some(0), "{again:?}");
    let values = |shown: &str| {
        let lines = shown.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(values(&again.stdout), values(&first.stdout));

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
    let values = |shown: &str| shown.split_once("\n\n").unwrap().1.to_owned();
    assert_eq!(values(&of_file.stdout), values(&built_in.stdout));
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

#[tokio::test]
async fn without_a_named_file_the_first_default_file_is_read_and_config_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let at = |folder_name: &str| folder.path().join(folder_name).display().to_string();
    let program = || {
        let program = Program::new("config --set im.admin=last -v")
            .set("im.sdk_app_id", 1)
            .set("im.user_sig", "pa55");
        program
            .variable("CONFIGURATION_DIRECTORY", at("etc"))
            .variable("HOME", at("home"))
    };
    let none = program().run().await;
    assert_eq!(none.code, Some(0), "{none:?}");
    let expected = format!(
        "# Files: none\n# Looked for and not found: {}/config.toml, {}/.config/tagsweep/config.toml\n\
         # Environment: TAGSWEEP__IM__SDK_APP_ID, TAGSWEEP__IM__USER_SIG\n# Arguments: --set log.level, --set im.admin\n\n[admin]\n",
        at("etc"),
        at("home")
    );
    assert!(none.stdout.starts_with(&expected), "{none:?}");

    let user = write(
        "home/.config/tagsweep/config.toml",
        "[im]\nmax_in_flight = 3\n",
    );
    let shown = program().run().await.stdout;
    assert!(shown.contains("max_in_flight = 3\n"), "{shown}");
    assert!(
        shown.contains(&format!("# Files: {}\n", user.display())),
        "{shown}"
    );
    assert!(shown.contains("admin = \"last\"\n"), "{shown}");

    write("xdg/tagsweep/config.toml", "[im]\nmax_in_flight = 4\n");
    let shown = program().variable("XDG_CONFIG_HOME", at("xdg")).run().await;
    assert!(shown.stdout.contains("max_in_flight = 4\n"), "{shown:?}");

    let system = write("etc/config.toml", "[im]\nmax_in_flight = 2\n");
    let shown = program().run().await.stdout;
    assert!(shown.contains("max_in_flight = 2\n"), "{shown}");
    assert!(!shown.contains("not found"), "{shown}");

    // A file that is named is the only one.
    let (named, _folder) = file("[im]\nmax_in_flight = 1\n");
    let shown = program().file(&named).run().await.stdout;
    assert!(shown.contains("max_in_flight = 1\n"), "{shown}");

    // One that is there and cannot be read is not passed over.
    std::fs::remove_file(&system).unwrap();
    std::fs::create_dir(&system).unwrap();
    let ended = program().run().await;
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(
        ended.stderr.contains("etc/config.toml: is a directory"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn options_of_all_commands_stand_before_and_after_the_command() {
    let ended = Program::new("--set im.max_in_flight=5 config --json --set window.max_ids=7")
        .set("im.sdk_app_id", 1)
        .set("im.user_sig", "pa55")
        .set("window.max_ids", 9)
        .run()
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["im"]["max_in_flight"], 5);
    assert_eq!(ended.json()["window"]["max_ids"], 7);

    let ended = sound("config --set im.secret_key=x").run().await;
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("every user of this machine can read arguments"),
        "{ended:?}"
    );
    let ended = sound("config --set im.admin").run().await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("write KEY=VALUE"), "{ended:?}");
}

#[tokio::test]
async fn the_schema_in_the_repository_is_the_one_of_the_program() {
    let schema = Program::new("config --schema").run().await.stdout;
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schema.json");
    assert!(
        std::fs::read_to_string(&file).unwrap() == schema,
        "write it anew: tagsweep config --schema > config/schema.json"
    );
}

#[tokio::test]
async fn completions_and_manual_pages_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = Program::new("completions").argument(shell).run().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("completions") && ended.stdout.contains("quiet"));
    }
    let page = Program::new("man").run().await;
    assert_eq!(page.code, Some(0), "{page:?}");
    assert!(page.stdout.contains(".TH tagsweep 1"), "{page:?}");

    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man1");
    let ended = Program::new("man")
        .argument(pages.to_str().unwrap())
        .run()
        .await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    for page in [
        "tagsweep",
        "tagsweep-run",
        "tagsweep-check",
        "tagsweep-config",
        "tagsweep-man",
    ] {
        assert!(pages.join(format!("{page}.1")).exists(), "{page}");
    }
    let ended = Program::new("man /dev/null/man1").run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("/dev/null/man1"), "{ended:?}");
}

#[tokio::test]
async fn quiet_and_verbose_change_what_the_worker_logs() {
    for (options, level) in [
        ("-q", "warn"),
        ("", "info"),
        ("-v", "debug"),
        ("-vv", "trace"),
    ] {
        let (path, _folder) = file("[im]\nsdk_app_id = 1\nuser_sig = 'pa55'\n");
        let ended = Program::new("config --json")
            .argument("--config")
            .argument(path.to_str().unwrap());
        let ended = options
            .split_whitespace()
            .fold(ended, Program::argument)
            .run()
            .await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.json()["log"]["level"], level, "{options}");
    }
}

#[tokio::test]
async fn help_wraps_at_the_width_of_the_terminal() {
    for columns in [60, 80] {
        let help = Program::new("config --help")
            .variable("COLUMNS", columns)
            .run()
            .await;
        assert_eq!(help.code, Some(0), "{help:?}");
        let options = help.stdout.split("Examples:").next().unwrap();
        assert!(
            options.lines().all(|line| line.len() <= columns),
            "{help:?}"
        );
    }
}

#[tokio::test]
async fn color_says_more_than_the_terminal_and_no_color() {
    for command in ["--color always check --offline", "--help --color=always"] {
        let ended = sound(command).variable("NO_COLOR", 1).run().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("\x1b["), "{command}: {ended:?}");
    }
    let ended = sound("check --color sometimes").run().await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("auto, always, never"), "{ended:?}");
}
