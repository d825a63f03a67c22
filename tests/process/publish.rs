//! `tagsweep publish`.

use std::io::Write;

use serde_json::json;
use tokio::net::TcpListener;

use crate::program::Program;
use crate::stage::*;
use crate::terminal::Terminal;

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
async fn publish_needs_only_its_sections_and_sends_nothing_in_a_dry_run() {
    let publish = |arguments: &str| Program::new(&format!("publish {arguments}"));
    // Nothing listens at the default URL of a test, and there is no key.
    let dry = |arguments: &str| publish(arguments).set("rabbitmq.url", "amqp://127.0.0.1:1");
    let ended = dry("--dry-run pii-1 pii-2").run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.stdout,
        "2 events of type user.deleted would be published to \"account.events\"\n"
    );
    let ended = dry("--dry-run --json pii-1").run().await;
    assert_eq!(ended.json(), json!({ "events": 1, "confirmed": 0 }));
    let ended = dry("--dry-run pii-ä").run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

#[tokio::test]
async fn publish_refuses_a_type_that_workers_would_ignore() {
    let ended = sound("publish --reason reset pii-1")
        .set("events.types", "user.deleted")
        .run()
        .await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let remedy = "add \"user.reset\" to events.types";
    assert!(ended.stderr.contains(remedy), "{ended:?}");
}

#[tokio::test]
async fn publish_shows_at_a_terminal_how_many_are_confirmed() {
    let stage = Stage::new().await;
    stage.declare().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let users: Vec<String> = (0..3_000).map(user).collect();
    std::fs::write(file.path(), users.join("\n")).unwrap();
    let publish = stage
        .program("publish --file")
        .argument(file.path().to_str().unwrap());
    let (code, screen) = Terminal::start(&publish).ended().await;
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("/3,000 confirmed"), "{screen}");
    assert!(
        screen.contains("published 3,000 events of type user.deleted, all confirmed"),
        "{screen}"
    );
    stage.waits_in_the_queue(3_000).await;
}
