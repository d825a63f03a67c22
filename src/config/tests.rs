use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

mod refused;
mod texts;
mod wrong_files;

/// The least that makes the defaults complete.
const REQUIRED: [(&str, &str); 2] = [
    ("TAGSWEEP__IM__SDK_APP_ID", "1400000000"),
    ("TAGSWEEP__IM__SECRET_KEY", "s3cret-key"),
];

fn environment(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    REQUIRED
        .iter()
        .chain(variables)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Settings, Problems> {
    load(&[], environment(variables))
}

/// As a command that needs neither the API nor the worker.
#[derive(Debug, Deserialize, JsonSchema)]
struct BrokerOnly {
    rabbitmq: RabbitMq,
    events: Events,
}

#[test]
fn of_sections_that_are_not_asked_for_nothing_is_demanded_and_no_file_is_opened() {
    let variables = |variables: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = variables.iter();
        owned
            .map(|(name, value)| (format!("TAGSWEEP__{name}"), (*value).to_owned()))
            .collect()
    };
    let settings: BrokerOnly = load(
        &[],
        variables(&[
            ("IM__MAX_IN_FLIGHT", "none"),
            ("IM__SECRET_KEY_FILE", "/none"),
            ("ADMIN__TOKEN_FILE", "/none"),
            ("RABBITMQ__PREFETCH", "7"),
            ("RABBITMQ__HOLD_LIMIT", "5s"),
            ("EVENTS__TYPES", "a"),
        ]),
    )
    .unwrap();
    assert_eq!(settings.rabbitmq.prefetch, Some(7));
    assert_eq!(settings.events.types, ["a"]);

    let problems = load::<BrokerOnly>(
        &[],
        variables(&[
            ("IM__MAX_INFLIGHT", "1"),
            ("RABBITMQ__HOLD_LIMIT", "31m"),
            ("RABBITMQ__CA_FILE", "/none"),
        ]),
    );
    let problems = problems.unwrap_err();
    let keys: Vec<&str> = problems.0.iter().map(|told| told.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "im.max_inflight",
            "rabbitmq.ca_file",
            "rabbitmq.ca_file",
            "rabbitmq.hold_limit"
        ]
    );
}

/// Loads TOML texts as files, beside the required variables.
fn from_files(texts: &[&str]) -> Result<Settings, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (1..)
        .map(|n| folder.path().join(format!("{n}.toml")))
        .take(texts.len())
        .collect();
    for (file, text) in files.iter().zip(texts) {
        std::fs::write(file, text).unwrap();
    }
    load(&files, environment(&[]))
}

fn problems_of(toml: &str) -> Vec<Problem> {
    from_files(&[toml])
        .err()
        .map_or(Vec::new(), |problems| problems.0)
}

#[test]
fn the_default_file_names_every_key_and_needs_only_an_app_and_its_credentials() {
    let settings = from_environment(&[]).unwrap();
    assert_eq!(settings.warnings(), Vec::<String>::new());
    assert_eq!(settings.im.request_timeout, Duration::from_secs(10));
    assert_eq!(settings.window.max_wait, Duration::from_millis(500));
    assert_eq!(settings.prefetch(), 1800);
    assert_eq!(settings.admin.listen, Some(([127, 0, 0, 1], 9464).into()));

    let mut section = "";
    let mut named = Vec::new();
    for line in DEFAULT_FILE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && !key.contains(' ')
        {
            named.push(format!("{section}.{key}"));
        }
    }
    named.sort_unstable();
    assert_eq!(named, keys::known().into_keys().collect::<Vec<_>>());

    let missing = load::<Settings>(&[], []).unwrap_err();
    let keys: Vec<&str> = missing
        .0
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(keys, ["im.sdk_app_id", "im.secret_key"]);
}

#[test]
fn a_later_file_overrides_an_earlier_one_and_the_environment_overrides_both() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("1.toml"), folder.path().join("2.toml"));
    std::fs::write(
        &first,
        "im.max_in_flight = 1\nim.admin = 'one'\nwindow.max_ids = 1",
    )
    .unwrap();
    std::fs::write(&second, "im.admin = 'two'\nwindow.max_ids = 2").unwrap();
    let variables = environment(&[("TAGSWEEP__WINDOW__MAX_IDS", "3")]);
    let settings: Settings = load(&[first, second], variables).unwrap();
    assert_eq!(settings.im.max_in_flight, 1);
    assert_eq!(settings.im.admin, "two");
    assert_eq!(settings.window.max_ids, 3);
    assert_eq!(settings.im.calls_per_second, 100);
}

#[test]
fn all_problems_are_told_at_once_each_with_its_value_and_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prod.toml");
    std::fs::write(
        &file,
        "im.max_in_flight = 0\nim.colour = 1\nrabbitmq.hold_limit = '45m'\nlog.level = 'loud'",
    )
    .unwrap();
    let variables = environment(&[
        ("TAGSWEEP__WINDOW__MAX_WAIT", "10"),
        ("TAGSWEEP__IM__SECRET__KEY", "s3cret"),
    ]);
    let problems = load::<Settings>(std::slice::from_ref(&file), variables).unwrap_err();
    let file = file.display();
    let expected = [
        format!("{file}:1:4: im.max_in_flight = 0: must be a whole number from 1 to 1000; write max_in_flight = 1"),
        format!("{file}:2:4: im.colour: no such key; `tagsweep config --default` shows them all"),
        "im.secret.key (from TAGSWEEP__IM__SECRET__KEY): no such key; did you mean TAGSWEEP__IM__SECRET_KEY?".into(),
        "window.max_wait = \"10\" (from TAGSWEEP__WINDOW__MAX_WAIT): is a duration and needs a unit (ms, s, m or h); write TAGSWEEP__WINDOW__MAX_WAIT=10s".into(),
        format!("{file}:3:10: rabbitmq.hold_limit = \"45m\": must be below rabbitmq.consumer_timeout (30m); write hold_limit = \"27m\""),
        format!("{file}:4:5: log.level = \"loud\": must be off, error, warn, info, debug or trace, or a list with targets such as warn,tagsweep::shutdown=info; write level = \"info\""),
    ];
    assert_eq!(problems.to_string(), expected.join("\n"));
}

#[test]
fn a_key_without_a_name_is_shown_as_one() {
    let problems = from_environment(&[("TAGSWEEP__", "1")]).unwrap_err();
    let shown = problems.to_string();
    assert!(
        shown.starts_with("\"\" (from TAGSWEEP__): no such key"),
        "{shown}"
    );
    assert!(
        problems_of("\"\" = 1")[0]
            .to_string()
            .contains(".toml:1:1: \"\": no such key")
    );
}

#[test]
fn what_is_misspelt_is_not_missed_too() {
    for toml in [
        "[imm]\nsdk_app_id = 1\nsecret_key = 'k'",
        "[im]\nsdk_appid = 1\nsecret_key = 'k'",
        "sdk_app_id = 1\n[im]\nsecret_key = 'k'",
        "[im]\nsdk_app_id = 1\nsecret_kye = 'k'",
        "[[im]]\nsdk_app_id = 1\nsecret_key = 'k'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, toml).unwrap();
        let problems = load::<Settings>(&[file], []).unwrap_err();
        assert_eq!(problems.0.len(), 1, "{problems}");
    }
    let variables = [
        ("TAGSWEEP_IM_SDK_APP_ID", "1"),
        ("TAGSWEEP__IM__SECRET_KEY", "k"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let problems = load::<Settings>(&[], variables).unwrap_err();
    assert_eq!(problems.0.len(), 1, "{problems}");
}

#[test]
fn a_refused_value_is_not_blamed_on_its_partner() {
    let problems = problems_of("rabbitmq.hold_limit = '2h'\nrabbitmq.consumer_timeout = '3 hours'");
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(keys, ["rabbitmq.consumer_timeout"]);
}

#[test]
fn a_file_that_cannot_be_read_is_the_only_problem_it_makes() {
    let problems = load::<Settings>(&["/none/tagsweep.toml".into()], []).unwrap_err();
    assert_eq!(problems.0.len(), 1, "{problems}");
}

#[test]
fn secrets_are_in_no_text_that_comes_out_of_here() {
    let secrets =
        "im.secret_key = 's3cret'\nadmin.token = 's3cret'\nrabbitmq.url = 'amqp://u:s3cret@h/%2f'";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets.toml");
    std::fs::write(&file, secrets).unwrap();
    let variables = [("TAGSWEEP__IM__SDK_APP_ID".into(), "1".into())];
    let settings: Settings = load(&[file], variables).unwrap();
    for text in [
        format!("{settings:?}"),
        settings.redacted(),
        serde_json::to_string(&settings).unwrap(),
        settings.warnings().concat(),
    ] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    assert!(settings.redacted().contains("secret_key = \"[redacted]\""));
    assert!(settings.redacted().contains("\"amqp://u:***@h/%2f\""));

    for wrong in [
        "im.secret_key = ['s3cret']",
        "im.user_sig = 's3cret'",
        "admin.token = { s3cret = 1 }",
        "im.secret_kye = 's3cret'",
        "rabbitmq.url = 'amqp://u:12/s3cret@h'",
        "rabbitmq.url = ['amqp://u:s3cret/x@h']",
        "rabbitmq.url = 'amqp://u:s3cret@[::1]/%2f?heartbeat=x'",
        "rabbitmq.url = 'amqp://u:s3cret@h'\nrabbitmq.url_file = '/none'",
        "rabbitmq.url = 'amqp://u:s3cret@h'\nrabbitmq.ca_file = '/none'",
        "im.base_url = 'https://u:s3cret@h'",
        "rabbitmq.queue = 'amqp://u:s3cret@h'\nrabbitmq.dead_letter_queue = 'amqp://u:s3cret@h'",
    ] {
        let problems = from_files(&[wrong]).unwrap_err();
        let text = format!("{problems}{problems:?}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn a_file_of_urls_takes_the_place_of_the_built_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("urls");
    let load_urls = |content: &str| {
        std::fs::write(&path, content).unwrap();
        from_environment(&[("TAGSWEEP__RABBITMQ__URL_FILE", path.to_str().unwrap())])
    };
    let settings = load_urls("amqp://u:s3cret@one\n\n amqp://two \n").unwrap();
    let urls = settings.rabbitmq.urls().unwrap();
    assert_eq!(urls[0].expose_secret(), "amqp://u:s3cret@one");
    assert_eq!(urls[1].to_string(), "amqp://two");
    assert!(!settings.redacted().contains("guest"));

    let problems = load_urls("amqp://one\ns3cret").unwrap_err();
    assert_eq!(problems.0[0].key, "rabbitmq.url_file");
    assert!(problems.to_string().contains("URL 2 is not a URL"));
    assert!(!problems.to_string().contains("s3cret"));
}

#[test]
fn a_login_from_files_replaces_that_of_every_url_whatever_characters_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let username = file("username", "default_user_x-1\n");
    let password = file("password", "s3cret%41:@/?#[ü] \n");
    let settings = from_environment(&[
        ("TAGSWEEP__RABBITMQ__URL", "amqp://one/v,amqps://u:p@two"),
        ("TAGSWEEP__RABBITMQ__USERNAME_FILE", &username),
        ("TAGSWEEP__RABBITMQ__PASSWORD_FILE", &password),
    ])
    .unwrap();
    let urls = settings.rabbitmq.urls().unwrap();
    for (url, place) in urls.iter().zip(["one/v", "two"]) {
        let uri: lapin::uri::AMQPUri = url.expose_secret().parse().unwrap();
        let login = uri.authority.userinfo;
        assert_eq!(login.username, "default_user_x-1");
        assert_eq!(login.password, "s3cret%41:@/?#[ü] ");
        assert!(url.to_string().ends_with(&format!(":***@{place}")));
    }
    assert!(!settings.redacted().contains("s3cret"));

    let only_password = from_environment(&[
        ("TAGSWEEP__RABBITMQ__URL", "amqp://u:old@one"),
        ("TAGSWEEP__RABBITMQ__PASSWORD_FILE", &file("new", "n")),
    ]);
    let urls = only_password.unwrap().rabbitmq.urls().unwrap();
    assert_eq!(urls[0].expose_secret(), "amqp://u:n@one");
}

#[test]
fn secret_files_must_be_there_when_the_worker_starts() {
    let required = [("TAGSWEEP__IM__SDK_APP_ID".to_owned(), "1".to_owned())];
    let with_key_file = |path: &Path| {
        let variable = "TAGSWEEP__IM__SECRET_KEY_FILE".to_owned();
        let path = path.to_str().unwrap().to_owned();
        load::<Settings>(&[], required.clone().into_iter().chain([(variable, path)]))
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let problems = with_key_file(&path).unwrap_err();
    assert_eq!(problems.0[0].key, "im.secret_key_file");
    assert!(problems.to_string().contains("check the path"));
    std::fs::write(&path, "key\n").unwrap();
    assert!(with_key_file(&path).is_ok());
}

#[test]
fn doubtful_values_are_taken_with_a_warning() {
    for (key, value, words) in [
        ("IM__REQUEST_TIMEOUT", "3s", "im.request_timeout = 3s"),
        ("IM__CALLS_PER_SECOND", "101", "documented quota is 100"),
        ("IM__USER_SIG", "x", "cannot be renewed"),
        (
            "RABBITMQ__URL",
            "amqp://u:s3cret@h/",
            "amqp://u:***@h/: a bare /",
        ),
    ] {
        let mut variables = vec![];
        if key == "IM__USER_SIG" {
            variables.push(("TAGSWEEP__IM__SECRET_KEY", ""));
        }
        let name = format!("TAGSWEEP__{key}");
        variables.push((&name, value));
        let warnings = from_environment(&variables).unwrap().warnings();
        assert_eq!(warnings.len(), 1, "{key}");
        assert!(warnings[0].contains(words), "{warnings:?}");
    }
}

#[test]
fn a_hold_limit_that_is_too_short_for_a_large_event_is_warned_of_with_the_one_that_is_not() {
    let warnings = |hold_limit: &str| {
        from_environment(&[
            ("TAGSWEEP__IM__CALLS_PER_SECOND", "2"),
            ("TAGSWEEP__WINDOW__MAX_IDS", "10"),
            ("TAGSWEEP__RABBITMQ__HOLD_LIMIT", hold_limit),
        ])
        .unwrap()
        .warnings()
        .concat()
    };
    let warning = warnings("499s");
    assert!(
        warning.contains("rabbitmq.hold_limit = 8m19s") && warning.contains("more than 9980 users"),
        "{warning}"
    );
    assert!(warning.contains("to 8m20s or more"), "{warning}");
    assert_eq!(warnings("8m20s"), "");
}

#[test]
fn the_effective_configuration_is_a_configuration_file() {
    let written = from_environment(&[("TAGSWEEP__RABBITMQ__PREFETCH", "2000")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("effective.toml");
    std::fs::write(&file, written.redacted()).unwrap();
    let read: Settings = load(&[file], []).unwrap();
    assert_eq!(read.prefetch(), 2000);
    assert!(
        written
            .redacted()
            .contains("[window]\nmax_ids = 100\nmax_wait = \"500ms\"\n")
    );
}

#[test]
fn the_schema_describes_every_key_of_a_file_and_allows_no_other() {
    let schema = schema();
    let described = keys::each_key(&schema).map(|(section, key, shape)| {
        assert!(
            shape["description"].is_string(),
            "{section}.{key} has no description"
        );
        assert!(
            shape["type"].is_string() || shape["type"].is_array(),
            "{key}: {shape}"
        );
        assert_eq!(schema["properties"][section]["additionalProperties"], false);
    });
    assert!(described.count() > 40);
    assert_eq!(schema["additionalProperties"], false);
    let text = schema.to_string();
    assert!(
        !text.contains("\"required\"") && !text.contains("\"null\""),
        "{text}"
    );
}
