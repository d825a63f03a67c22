//! `tagsweep check`.

use im_simulator::UnknownAccounts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::program::Ended;
use crate::stage::*;

/// The line of `check` about one part, without its alignment.
fn line<'a>(ended: &'a Ended, what: &str) -> (&'a str, &'a str) {
    ended
        .stdout
        .lines()
        .filter_map(|line| {
            let (outcome, rest) = line.split_at_checked(6)?;
            let detail = rest.strip_prefix(what)?.strip_prefix("  ")?;
            Some((outcome.trim(), detail.trim()))
        })
        .next()
        .unwrap_or_else(|| panic!("no line about {what}: {ended:?}"))
}

fn assert_fails(ended: &Ended, what: &str, remedy: &str) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let (outcome, detail) = line(ended, what);
    assert_eq!(outcome, "fail", "{ended:?}");
    assert!(detail.contains(remedy), "{ended:?}");
}

/// What a look at a sound stage consists of.
const PARTS: [&str; 11] = [
    "configuration",
    "broker login",
    "exchange",
    "queue",
    "bindings",
    "dead-letter exchange",
    "dead-letter queue",
    "dead-letter route",
    "API and UserSig",
    "control user",
    "clock",
];

#[tokio::test]
async fn check_finds_a_sound_stage_sound_and_changes_nothing_there() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.simulator.set_tags("tagsweep-control", &[]);
    stage.delete(0..2).await;
    let ended = stage.program("check --deny-warnings").run().await;
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    for what in PARTS {
        assert_eq!(line(&ended, what).0, "ok", "{ended:?}");
    }
    let said = |what: &str, words: &str| {
        let (_, detail) = line(&ended, what);
        assert!(detail.contains(words), "{what}: {detail}");
    };
    let login = format!("{} as guest, vhost {}", stage.broker(), stage.vhost.name());
    said("broker login", &login);
    said(
        "queue",
        "\"tagsweep.events\": 2 messages ready, 0 consumers",
    );
    said("dead-letter queue", "0 messages ready");
    // One line each, then the summary; the details are in one column.
    let lines: Vec<_> = ended.stdout.lines().collect();
    let (last, lines) = lines.split_last().unwrap();
    assert_eq!(*last, "11 ok, 0 warnings, 0 failures");
    let (empty, lines) = lines.split_last().unwrap();
    assert_eq!((*empty, lines.len()), ("", PARTS.len()), "{ended:?}");
    assert!(
        lines
            .iter()
            .all(|line| &line[4..6] == "  " && &line[26..28] == "  ")
    );
    assert_eq!(stage.letters().await.len(), 0);
    stage.waits_in_the_queue(2).await;
    assert_eq!(stage.simulator.stats().calls, 0);

    let quiet = stage.program("check --quiet").run().await;
    assert_eq!((quiet.code, quiet.stdout.as_str()), (Some(0), ""));
    let json = stage.program("check --json").run().await;
    assert_eq!(json.code, Some(0));
    let findings = json.json();
    let findings = findings.as_array().unwrap();
    assert_eq!(findings.len(), PARTS.len());
    assert!(findings.iter().all(|finding| finding["outcome"] == "ok"));
}

#[tokio::test]
async fn check_names_each_missing_part_and_creates_it_only_when_told_to() {
    let missing = [
        "exchange",
        "queue",
        "dead-letter exchange",
        "dead-letter queue",
    ];
    for declare in [true, false] {
        let stage = Stage::new().await;
        let check = |arguments: &str| {
            let program = stage.program(arguments);
            program.set("rabbitmq.declare", declare)
        };
        // The second look shows that the first one changed nothing.
        for _ in 0..2 {
            let ended = check("check").run().await;
            for what in missing {
                assert_fails(&ended, what, "does not exist: ");
                assert_fails(&ended, what, "`tagsweep check --declare`");
            }
            let api = line(&ended, "API and UserSig");
            assert_eq!(api.0, "ok", "what can be checked is checked: {ended:?}");
        }
        let ended = check("check --declare").run().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        for what in missing {
            let (outcome, detail) = line(&ended, what);
            assert_eq!((outcome, detail.starts_with("created ")), ("ok", true));
        }
        assert!(
            line(&ended, "bindings").1.starts_with("bound "),
            "{ended:?}"
        );
        let again = check("check --declare").run().await;
        assert!(!again.stdout.contains("created"), "{again:?}");
        // Who only looks cannot know of bindings that no worker makes.
        let expected = if declare { "ok" } else { "warn" };
        let ended = check("check").run().await;
        assert_eq!(line(&ended, "bindings").0, expected, "{ended:?}");

        let worker = stage.worker().await;
        stage.import(0..1);
        stage.delete(0..1).await;
        stage.cleared(1).await;
        worker.signal("TERM").await;
        assert_eq!(worker.ended().await.0, Some(0));
    }
}

#[tokio::test]
async fn check_says_what_of_a_queue_differs_and_whether_it_is_refused() {
    let stage = Stage::new().await;
    stage.declare().await;
    stage.simulator.set_tags("tagsweep-control", &[]);
    let ended = stage
        .program("check")
        .set("rabbitmq.dead_letter_exchange", "other.letters")
        .run()
        .await;
    assert_fails(
        &ended,
        "dead-letter exchange",
        "\"other.letters\" does not exist",
    );
    let differs = "x-dead-letter-exchange = tagsweep.dead-letters";
    assert!(ended.stdout.contains(differs), "{ended:?}");
    // The route is not tried: that would be the same fault once more.
    assert!(!ended.stdout.contains("dead-letter route"), "{ended:?}");

    // A queue for dead letters makes a queue of events with no single active consumer: a warning.
    let swapped = || {
        let check = stage.program("check").set("rabbitmq.queue", DEAD_LETTERS);
        check.set("rabbitmq.dead_letter_queue", QUEUE)
    };
    let ended = swapped().run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("warn  queue "), "{ended:?}");
    let ended = swapped().argument("--deny-warnings").run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

#[tokio::test]
async fn check_names_the_remedy_of_what_is_wrong_and_ends_with_1() {
    let stage = Stage::new().await;
    stage.declare().await;
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

    // One of two is enough for a worker, but the other one would not help it.
    let both = format!("{url},amqp://127.0.0.1:1");
    let ended = wrong("rabbitmq.url", &both).run().await;
    assert_eq!(
        (ended.code, line(&ended, "broker login").0),
        (Some(0), "ok")
    );
    let warned = "URL 2: cannot connect to 127.0.0.1:1: connection refused";
    assert!(ended.stdout.contains(warned), "{ended:?}");
}

#[tokio::test]
async fn check_warns_of_a_control_user_that_is_no_account_where_the_api_says_so() {
    let stage = Stage::new().await;
    stage.declare().await;
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

/// An API that answers with this header.
async fn api_that_says(header: &'static str) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            let body = r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\n{header}\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, serving)
}

#[tokio::test]
async fn check_warns_of_a_clock_that_is_far_off_or_cannot_be_compared() {
    let stage = Stage::new().await;
    stage.declare().await;
    for (header, warning) in [
        (
            "date: Fri, 31 Dec 1999 23:59:59 GMT",
            "set this machine's clock",
        ),
        ("x-no-date: 1", "the API's answer has no Date header"),
    ] {
        let (url, serving) = api_that_says(header).await;
        let ended = stage.program("check").set("im.base_url", url).run().await;
        let (outcome, detail) = line(&ended, "clock");
        assert_eq!(outcome, "warn", "{ended:?}");
        assert!(detail.contains(warning), "{ended:?}");
        assert_eq!(ended.code, Some(0));
        serving.abort();
    }
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
    assert_eq!(line(&ended, "configuration").0, "ok");
    assert!(ended.stdout.ends_with("\n\n1 ok, 0 warnings, 0 failures\n"));
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
