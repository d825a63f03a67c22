//! A login from files of its own, as secrets hold it that RabbitMQ's Cluster Operator makes.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::program::Program;
use crate::stage::*;

const ALL: &str = ".*";
/// With what a URL would not take as it is.
const ODD: &str = "pa55%41:@/?#[x]& ";

/// A user of the broker, whose login is in two files.
struct Login {
    user: String,
    folder: TempDir,
}

impl Login {
    async fn new(stage: &Stage, password: &str) -> Login {
        let url = stage.vhost.url_with_permissions(ALL, ALL, ALL).await;
        let url = url.unwrap();
        let (user, _) = url["amqp://".len()..].split_once(':').unwrap();
        let login = Login {
            user: user.to_owned(),
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(login.file("username"), format!("{user}\n")).unwrap();
        login.change(stage, password).await;
        login.write(password);
        login
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn change(&self, stage: &Stage, password: &str) {
        let changed = stage.vhost.change_password(&self.user, password).await;
        changed.unwrap();
    }

    fn write(&self, password: &str) {
        std::fs::write(self.file("password"), password).unwrap();
    }

    /// A command whose URL holds no login that the broker takes.
    fn program(&self, stage: &Stage, command: &str) -> Program {
        let url = stage.vhost.url();
        stage
            .program(command)
            .set("rabbitmq.url", url.replace("guest:guest", "nobody:pa55"))
            .set("rabbitmq.username_file", self.file("username").display())
            .set("rabbitmq.password_file", self.file("password").display())
    }
}

#[tokio::test]
async fn every_command_that_connects_logs_in_with_the_files_instead_of_the_url() {
    let stage = Stage::new().await;
    let login = Login::new(&stage, ODD).await;
    let check = login.program(&stage, "check --declare --json").run().await;
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.stdout.contains(&format!("as {}", login.user)));

    stage.import(0..1);
    let worker = login.program(&stage, "run").start();
    worker.says("broker session open").await;
    let published = login.program(&stage, "publish").argument(user(0));
    let published = published.run().await;
    assert_eq!(published.code, Some(0), "{published:?}");
    stage.cleared(1).await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn a_rotated_password_is_taken_from_its_file_by_the_next_session_without_a_restart() {
    let stage = Stage::new().await;
    let login = Login::new(&stage, "pa55-old").await;
    stage.import(0..2);
    let worker = login.program(&stage, "run").start();
    worker.says("broker session open").await;
    stage.delete(0..1).await;
    stage.cleared(1).await;

    // The broker knows the new one first, so the worker is refused until the file has it.
    login.change(&stage, ODD).await;
    stage.vhost.close_connections("rotated").await.unwrap();
    worker.says("refused user or password").await;
    login.write(ODD);
    let amqp = testkit::amqp::Amqp::connect(&stage.vhost.url()).await;
    let stage = Stage {
        amqp: amqp.unwrap(),
        ..stage
    };
    stage.delete(1..2).await;
    stage.cleared(2).await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn a_login_file_that_cannot_be_used_is_named_at_the_start_and_on_a_reload() {
    let stage = Stage::new().await;
    let login = Login::new(&stage, "pa55-old").await;
    let worker = login.program(&stage, "run").start();
    worker.says("broker session open").await;
    std::fs::remove_file(login.file("username")).unwrap();
    login.write("\n");
    worker.signal("HUP").await;
    worker.says("rabbitmq.username_file").await;
    worker.says("rabbitmq.password_file").await;
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");

    let refused = login.program(&stage, "check --offline").run().await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    let findings = refused.stdout.split("fail  ").map(one_line);
    let findings = Vec::from_iter(findings);
    for (key, why) in [("username", "cannot be read"), ("password", "is empty")] {
        let key = format!("rabbitmq.{key}_file");
        let named = |finding: &String| finding.contains(&key) && finding.contains(why);
        assert!(findings.iter().any(named), "{findings:?}");
    }
}

/// Long lines are broken at spaces.
fn one_line(text: &str) -> String {
    Vec::from_iter(text.split_whitespace()).join(" ")
}
