//! What operators do to queues, exchanges and users of the broker.

use testkit::eventually;
use testkit::rabbitmq::unique;

use super::{LETTER_REFUSED, NO_SESSION, SESSION_LOST};
use crate::stage::{DEAD_LETTERS, PATIENCE, QUEUE, SESSION_OPEN, Stage};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    ConnectionsClosed,
    QueueDeleted,
    DeadLettersFull,
    DeadLetterExchangeRemoved,
    /// With `rabbitmq.declare = false`: nobody but the operator binds it again.
    DeadLetterBindingRemoved,
    PermissionsRevoked,
    /// `rabbitmq.url_file` gets the new one later.
    PasswordRotated,
}

const PASSWORD: &str = "pa55word";
const URL_FILE: &str = "rabbitmq-url";

impl Fault {
    pub async fn prepare(self, stage: &mut Stage) {
        match self {
            Fault::DeadLetterBindingRemoved => {
                stage.start_worker();
                stage.worker().says_since(0, SESSION_OPEN).await;
                stage.drain_worker().await;
                stage.set("RABBITMQ__DECLARE", "false");
            }
            Fault::PermissionsRevoked | Fault::PasswordRotated => {
                let user = user(stage);
                let add = format!(
                    "ok = rabbit_auth_backend_internal:add_user(<<\"{user}\">>, <<\"{PASSWORD}\">>, <<\"test\">>)"
                );
                stage.broker.node().eval(&add).await.unwrap();
                allow(stage).await;
                write_url(stage, PASSWORD);
                let file = stage.folder.path().join(URL_FILE).display().to_string();
                stage.settings.remove("TAGSWEEP__RABBITMQ__URL");
                stage.set("RABBITMQ__URL_FILE", file);
            }
            _ => {}
        }
    }

    pub async fn strike(self, stage: &mut Stage) {
        let mark = stage.worker().mark();
        let felt = match self {
            Fault::ConnectionsClosed => {
                close_connections(stage).await;
                SESSION_LOST
            }
            Fault::QueueDeleted => {
                stage.amqp().await.delete(&[QUEUE], &[]).await.unwrap();
                SESSION_LOST
            }
            Fault::DeadLettersFull => {
                set_limit(stage, 1).await;
                LETTER_REFUSED
            }
            Fault::DeadLetterExchangeRemoved => {
                let amqp = stage.amqp().await;
                amqp.delete(&[], &[DEAD_LETTERS]).await.unwrap();
                // Nothing is felt: letters go to the queue itself.
                return;
            }
            Fault::DeadLetterBindingRemoved => {
                let amqp = stage.amqp().await;
                amqp.unbind(DEAD_LETTERS, DEAD_LETTERS).await.unwrap();
                LETTER_REFUSED
            }
            Fault::PermissionsRevoked => {
                forbid(stage).await;
                close_connections(stage).await;
                NO_SESSION
            }
            Fault::PasswordRotated => {
                stage.password = unique(PASSWORD);
                change_password(stage, &stage.password).await;
                close_connections(stage).await;
                NO_SESSION
            }
        };
        stage.worker().says_since(mark, felt).await;
    }

    pub async fn lift(self, stage: &mut Stage) {
        match self {
            Fault::ConnectionsClosed | Fault::DeadLetterExchangeRemoved => {}
            Fault::QueueDeleted => publish_what_the_broker_dropped(stage).await,
            Fault::DeadLettersFull => {
                // RabbitMQ 3.10 never lets a publisher go on that it blocked at a limit which is gone since.
                set_limit(stage, 1_000_000).await;
                stage.take_letters().await;
            }
            Fault::DeadLetterBindingRemoved => {
                let amqp = stage.amqp().await;
                amqp.bind(DEAD_LETTERS, DEAD_LETTERS).await.unwrap();
            }
            Fault::PermissionsRevoked => allow(stage).await,
            Fault::PasswordRotated => write_url(stage, &stage.password),
        }
    }
}

/// The messages of a deleted queue are gone, confirmed or not: only their publisher can restore
/// them, and an operator who deletes a queue must see to it.
async fn publish_what_the_broker_dropped(stage: &mut Stage) {
    let published = stage.load.published();
    let queue = "the queue is there again";
    eventually(PATIENCE, queue, async || {
        stage.broker.vhost().consumers(QUEUE).await.ok()
    })
    .await;
    stage.take_letters().await;
    let dropped: Vec<_> = published
        .into_iter()
        .filter(|event| !stage.letters.has_done(&stage.simulator, event))
        .collect();
    stage.load.publish(&dropped).await;
}

/// The publisher's as well; it connects again.
async fn close_connections(stage: &Stage) {
    let vhost = stage.broker.vhost();
    let closed = vhost.close_connections("the operator says so");
    closed.await.unwrap();
}

/// A policy makes the queue full as it is.
async fn set_limit(stage: &Stage, messages: u32) {
    let set = format!(
        "ok = rabbit_policy:parse_set(<<\"{}\">>, <<\"full\">>, <<\"^{DEAD_LETTERS}$\">>, \
         <<\"{{\\\"max-length\\\":{messages},\\\"overflow\\\":\\\"reject-publish\\\"}}\">>, <<\"0\">>, \
         <<\"queues\">>, <<\"test\">>)",
        stage.broker.vhost().name()
    );
    stage.broker.node().eval(&set).await.unwrap();
}

/// The row's own user at the broker, as the node may be shared.
fn user(stage: &Stage) -> String {
    format!("worker-of-{}", stage.broker.vhost().name())
}

fn write_url(stage: &Stage, password: &str) {
    let login = format!("{}:{password}", user(stage));
    let url = stage.broker_url().replace("guest:guest", &login);
    stage.write(URL_FILE, &url);
}

async fn allow(stage: &Stage) {
    let all = "<<\".*\">>";
    internal(
        stage,
        &format!("set_permissions(User, Vhost, {all}, {all}, {all}, <<\"test\">>)"),
    )
    .await;
}

async fn forbid(stage: &Stage) {
    internal(stage, "clear_permissions(User, Vhost, <<\"test\">>)").await;
}

async fn change_password(stage: &Stage, password: &str) {
    internal(
        stage,
        &format!("change_password(User, <<\"{password}\">>, <<\"test\">>)"),
    )
    .await;
}

/// A change in the broker's own directory of users.
async fn internal(stage: &Stage, change: &str) {
    let code = format!(
        "User = <<\"{}\">>, Vhost = <<\"{}\">>, ok = rabbit_auth_backend_internal:{change}",
        user(stage),
        stage.broker.vhost().name()
    );
    stage.broker.node().eval(&code).await.unwrap();
}
