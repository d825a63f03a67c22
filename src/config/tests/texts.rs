//! Values that come as texts: from the environment and from `--set`.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;

#[test]
fn a_text_of_the_environment_is_read_as_what_its_key_wants() {
    let settings = from_environment(&[
        ("TAGSWEEP__IM__SECRET_KEY", "0012300"),
        ("TAGSWEEP__IM__ADMIN", "0042"),
        ("TAGSWEEP__IM__CA_FILE", ""),
        ("TAGSWEEP__ADMIN__LISTEN", ""),
        ("TAGSWEEP__ADMIN__TOKEN", "true"),
        ("TAGSWEEP__EVENTS__TYPES", "a, b"),
        ("TAGSWEEP__RABBITMQ__ROUTING_KEYS", "a.b"),
        ("TAGSWEEP__RABBITMQ__URL", "amqp://one,amqp://two"),
        ("TAGSWEEP__RABBITMQ__DECLARE", "false"),
        ("TAGSWEEP__WINDOW__MAX_WAIT", "1s500ms"),
        ("TAGSWEEP__IM__MISSING_ACCOUNT", "dead-letter"),
        ("TAGSWEEP_PORT", "tcp://10.0.0.1:80"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    let Some(Credentials::SecretKey(key)) = settings.im.credentials() else {
        panic!("the key was given")
    };
    assert_eq!(key.load().unwrap().expose_secret(), "0012300");
    let token = settings.admin.token().unwrap().load().unwrap();
    assert_eq!(token.expose_secret(), "true");
    assert_eq!(settings.im.admin, "0042");
    assert_eq!(settings.im.ca_file, None);
    assert_eq!(settings.admin.listen, None);
    assert_eq!(settings.events.types, ["a", "b"]);
    assert_eq!(settings.rabbitmq.routing_keys, ["a.b"]);
    assert_eq!(settings.rabbitmq.urls().unwrap().len(), 2);
    assert!(!settings.rabbitmq.declare);
    assert_eq!(settings.window.max_wait, Duration::from_millis(1500));
    assert_eq!(settings.im.missing_account, MissingAccount::DeadLetter);
}

#[test]
fn a_secret_of_the_environment_is_taken_as_it_is_but_for_line_ends() {
    let settings = from_environment(&[
        ("TAGSWEEP__IM__SECRET_KEY", "[\"a\";'b'],{c}\r\n"),
        (
            "TAGSWEEP__RABBITMQ__URL",
            "amqp://u:a,b;'c'@one, amqp://u:p,q@two\n",
        ),
    ])
    .unwrap();
    let Some(Credentials::SecretKey(key)) = settings.im.credentials() else {
        panic!("the key was given")
    };
    assert_eq!(key.load().unwrap().expose_secret(), "[\"a\";'b'],{c}");
    let urls = settings.rabbitmq.urls().unwrap();
    let urls: Vec<_> = urls.iter().map(AmqpUrl::expose_secret).collect();
    assert_eq!(urls, ["amqp://u:a,b%3B'c'@one", "amqp://u:p,q@two"]);
}

#[test]
fn a_variable_in_another_notation_is_refused_with_the_right_one() {
    for (key, value, expected) in [
        (
            "EVENTS__TYPES",
            r#"["user.deleted", "user.reset"]"#,
            "write TAGSWEEP__EVENTS__TYPES=user.deleted,user.reset",
        ),
        (
            "RABBITMQ__ROUTING_KEYS",
            "a;b",
            "write TAGSWEEP__RABBITMQ__ROUTING_KEYS=a,b",
        ),
        (
            "RABBITMQ__QUEUE",
            "\"q\"",
            "write TAGSWEEP__RABBITMQ__QUEUE=q",
        ),
        (
            "IM__SDK_APP_ID",
            "'1400000000'",
            "write TAGSWEEP__IM__SDK_APP_ID=1400000000",
        ),
        (
            "WINDOW__MAX_WAIT",
            "\"10s\"",
            "write TAGSWEEP__WINDOW__MAX_WAIT=10s",
        ),
    ] {
        let variable = format!("TAGSWEEP__{key}");
        let problems = from_environment(&[(&variable, value)]).unwrap_err();
        let text = problems.to_string();
        assert!(text.contains(expected), "{text}");
        assert_eq!(problems.0.len(), 1, "{text}");
    }
}

#[test]
fn a_variable_that_only_looks_like_a_setting_is_refused_without_its_value() {
    let problems = from_environment(&[("TAGSWEEP_IM_SECRET_KEY", "s3cret")]).unwrap_err();
    let text = problems.to_string();
    let expected =
        "TAGSWEEP_IM_SECRET_KEY: no such variable; did you mean TAGSWEEP__IM__SECRET_KEY?";
    assert_eq!(text, expected);
}

fn with_arguments(arguments: &[(&str, &str)]) -> Result<Settings, Problems> {
    let owned = arguments.iter();
    let owned = owned.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let sources = Sources {
        environment: environment(&[("TAGSWEEP__IM__ADMIN", "one")]),
        arguments: owned.collect(),
        ..Sources::default()
    };
    sources.load()
}

#[test]
fn an_argument_wins_over_the_environment_and_the_last_argument_over_all() {
    let settings = with_arguments(&[
        ("im.admin", "two"),
        ("im.admin", "three"),
        ("events.types", "a,b"),
        ("window.max_wait", "1s"),
    ])
    .unwrap();
    assert_eq!(settings.im.admin, "three");
    assert_eq!(settings.events.types, ["a", "b"]);
    assert_eq!(settings.window.max_wait, Duration::from_secs(1));
}

#[test]
fn a_wrong_argument_is_told_with_the_right_one_and_no_argument_takes_a_secret() {
    for (key, value, expected) in [
        (
            "window.max_ids",
            "500",
            "window.max_ids = \"500\" (from --set): must be a whole number from 1 to 100; write --set window.max_ids=100",
        ),
        (
            "window.max_id",
            "5",
            "window.max_id (from --set): no such key; did you mean window.max_ids?",
        ),
        (
            "im.secret_key",
            "s3cret",
            "im.secret_key (from --set): holds a secret, and every user of this machine can read arguments; use TAGSWEEP__IM__SECRET_KEY or im.secret_key_file",
        ),
        (
            "im.proxy_url",
            "s3cret",
            "im.proxy_url (from --set): holds a secret, and every user of this machine can read arguments; use TAGSWEEP__IM__PROXY_URL or im.proxy_url_file",
        ),
    ] {
        let problems = with_arguments(&[(key, value)]).unwrap_err();
        assert_eq!(problems.to_string(), expected);
    }
    for (key, known) in keys::known() {
        let problems = with_arguments(&[(&key, "x")]).err();
        let refused =
            problems.is_some_and(|problems| problems.to_string().contains("read arguments"));
        assert_eq!(refused, known.secret, "{key}");
    }
}
