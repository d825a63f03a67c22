//! The least that the worker must be allowed to do at the broker: what docs/OPERATIONS.md says, and no less.

use std::collections::BTreeSet;

use testkit::amqp::Outgoing;

use crate::program::Program;
use crate::stage::*;

const REFUSED: &str = "the broker's user lacks permissions on ";
const NOTHING: &str = "^$";

/// The regular expressions of the document: what may be configured, written and read.
fn documented(declare: bool) -> [String; 3] {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let comment = format!("\n# rabbitmq.declare = {declare}\nrabbitmqctl set_permissions ");
    let (_, command) = text.split_once(&comment).unwrap();
    let mut patterns = command.split('\'').skip(1).step_by(2);
    std::array::from_fn(|_| patterns.next().unwrap().to_owned())
}

/// A command that logs in as a new user with these permissions.
async fn allowed(
    stage: &Stage,
    command: &str,
    declare: bool,
    [configure, write, read]: &[String; 3],
) -> Program {
    let url = stage.vhost.url_with_permissions(configure, write, read);
    stage
        .program(command)
        .set("rabbitmq.url", url.await.unwrap())
        .set("rabbitmq.declare", declare)
}

fn unreadable() -> Outgoing {
    Outgoing::json("user.deleted", "{")
}

#[tokio::test]
async fn the_documented_permissions_are_enough() {
    for declare in [true, false] {
        let permissions = documented(declare);
        let stage = Stage::new().await;
        if !declare {
            stage.declare().await;
        }
        stage.import(0..1);
        let worker = allowed(&stage, "run", declare, &permissions).await.start();
        worker.says("broker session open").await;
        stage.delete(0..1).await;
        stage.publish([unreadable()]).await;
        stage.cleared(1).await;
        stage.letters_wait(1).await;
        worker.signal("TERM").await;
        let (code, log) = worker.ended().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("session lost"), "{log}");
        stage.waits_in_the_queue(0).await;

        let command = match declare {
            true => "check --declare --json",
            false => "check --json",
        };
        let check = allowed(&stage, command, declare, &permissions).await;
        let ended = check.run().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let findings = ended.json();
        let findings = findings.as_array().unwrap().iter();
        let not_ok = findings.filter(|finding| finding["outcome"] != "ok");
        let warned: BTreeSet<_> = not_ok
            .map(|finding| finding["what"].as_str().unwrap())
            .collect();
        let expected: &[&str] = match declare {
            true => &["control user"],
            false => &["bindings", "control user", "dead-letter queue", "queue"],
        };
        assert_eq!(Vec::from_iter(warned), expected, "{ended:?}");
    }
}

#[tokio::test]
async fn without_any_one_of_them_the_worker_names_what_it_lacks_and_loses_nothing() {
    let stage = Stage::new().await;
    stage.declare().await;
    // It becomes a dead letter as soon as somebody may do all that it takes.
    stage.publish([unreadable()]).await;
    for declare in [true, false] {
        for (place, right) in ["configure", "write", "read"].into_iter().enumerate() {
            let mut permissions = documented(declare);
            if permissions[place] == NOTHING {
                continue;
            }
            permissions[place] = NOTHING.to_owned();
            let worker = allowed(&stage, "run", declare, &permissions).await.start();
            worker.says(REFUSED).await;
            worker.kill().await;
            stage.waits_in_the_queue(1).await;

            let command = if declare { "check --declare" } else { "check" };
            let check = allowed(&stage, command, declare, &permissions).await;
            let ended = check.run().await;
            let refused = ended.code == Some(1) && ended.stdout.contains(REFUSED);
            // To try whether it may consume, it would have to take events from the worker. Only from 4.3 on
            // does the broker hide a queue from whoever may do nothing with it.
            let may_miss = !declare && right == "read";
            assert!(refused || may_miss, "{declare}, {right}: {ended:?}");
        }
    }
    assert_eq!(stage.letters().await.len(), 0);
}
