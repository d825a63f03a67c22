//! The least that the commands must be allowed to do at the broker: what docs/OPERATIONS.md says, and no less.

use std::process::Stdio;

use crate::letters::*;
use crate::program::Program;
use crate::stage::*;

/// The regular expressions of the document: what may be configured, written and read.
fn documented() -> [String; 3] {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let comment = "\n# tagsweep dead-letters\nrabbitmqctl set_permissions ";
    let (_, command) = text.split_once(comment).unwrap();
    let mut patterns = command.split('\'').skip(1).step_by(2);
    std::array::from_fn(|_| patterns.next().unwrap().to_owned())
}

async fn allowed(stage: &Stage, command: &str, [configure, write, read]: &[String; 3]) -> Program {
    let url = stage.vhost.url_with_permissions(configure, write, read);
    stage.dlq(command).set("rabbitmq.url", url.await.unwrap())
}

#[tokio::test]
async fn the_documented_permissions_are_enough() {
    let stage = Stage::with_letters(letters(0..4)).await;
    let permissions = documented();
    for command in [
        "list",
        "export",
        "show 0000000000000001-1",
        "redrive --user pii-00001 --yes",
        "purge --user pii-00002 --yes --no-export",
    ] {
        let ended = allowed(&stage, command, &permissions).await;
        let ended = ended.run_to_end(Stdio::piped(), false).await;
        assert_eq!(ended.code, Some(0), "{command}: {ended:?}");
    }
    assert_eq!(stage.order().await, ids([0, 3]));
    assert_eq!(stage.vhost.ready(QUEUE).await.unwrap(), 1);
}

#[tokio::test]
async fn without_any_one_of_them_the_command_names_what_it_lacks_and_loses_nothing() {
    let stage = Stage::with_letters(letters(0..4)).await;
    for (place, lacks) in [
        (0, "grant it the configure permission"),
        (1, "grant it the write permission"),
        (2, "lacks permissions on dead-letter queue"),
    ] {
        let mut permissions = documented();
        permissions[place] = "^$".to_owned();
        let ended = allowed(&stage, "redrive --all --yes", &permissions)
            .await
            .run()
            .await;
        assert_eq!(ended.code, Some(1), "{lacks}: {ended:?}");
        assert!(ended.stderr.contains(lacks), "{lacks}: {ended:?}");
    }
    assert_eq!(stage.order().await, ids(0..4));
}

#[tokio::test]
async fn a_redrive_that_may_not_publish_stops_at_the_first_denials() {
    let stage = Stage::with_letters(letters(0..2000)).await;
    let mut permissions = documented();
    permissions[1] = "^$".to_owned();
    let redrive = allowed(&stage, "redrive --all --yes --json", &permissions);
    let ended = redrive.await.run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("grant it the write permission"),
        "{ended:?}"
    );
    let failed = ended.json()["failed"].as_u64().unwrap();
    assert!(failed <= 128, "{ended:?}");
    assert_eq!(stage.order().await, ids(0..2000));
}
