//! A stage for one test: a virtual host of its own on a real broker, and the simulator on a socket.

use std::net::SocketAddr;
use std::time::Duration;

use im_simulator::{Options, Simulator, Stats};
use serde_json::json;
use testkit::amqp::{Amqp, Incoming, Outgoing};
use testkit::rabbitmq::{Vhost, shared};

use crate::program::{PATIENCE, Program, Running};

pub const QUEUE: &str = "tagsweep.events";
pub const DEAD_LETTERS: &str = "tagsweep.dead-letters";
pub const EXCHANGE: &str = "account.events";
/// Looked for in everything that the program says.
pub const SECRET_KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";

pub fn user(number: usize) -> String {
    format!("pii-{number:05}")
}

pub struct Stage {
    pub vhost: Vhost<'static>,
    pub simulator: Simulator,
    pub amqp: Amqp,
}

impl Stage {
    pub async fn new() -> Stage {
        let vhost = shared().await.vhost().await.unwrap();
        let simulator = Simulator::start(Options {
            secret_key: SECRET_KEY.to_owned(),
            ..Options::default()
        });
        Stage {
            simulator: simulator.await.unwrap(),
            amqp: Amqp::connect(&vhost.url()).await.unwrap(),
            vhost,
        }
    }

    /// Where the broker listens.
    pub fn broker(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.vhost.node().port()))
    }

    /// A command with this stage's settings.
    pub fn program(&self, arguments: &str) -> Program {
        sound(arguments)
            .set("rabbitmq.url", self.vhost.url())
            .set("im.base_url", self.simulator.url())
            .set("window.max_wait", "50ms")
    }

    /// Starts a worker and waits until it consumes.
    pub async fn worker(&self) -> Running {
        let worker = self.program("run").start();
        worker.says("broker session open").await;
        worker
    }

    /// Queues, exchanges and bindings, as a worker declares them.
    pub async fn declare(&self) {
        let ended = self.program("check --declare").run().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    pub fn import(&self, users: impl IntoIterator<Item = usize>) {
        for number in users {
            self.simulator.set_tags(user(number), &["tag"]);
        }
    }

    pub async fn publish(&self, messages: impl IntoIterator<Item = Outgoing>) {
        self.amqp.publish(EXCHANGE, messages).await.unwrap();
    }

    /// One event per user.
    pub async fn delete(&self, users: impl IntoIterator<Item = usize>) {
        self.publish(users.into_iter().map(deleted)).await;
    }

    pub async fn seen(&self, what: &str, condition: impl FnMut(&Stats) -> bool) -> Stats {
        let seen = self.simulator.wait_for(PATIENCE, condition).await;
        seen.unwrap_or_else(|not_seen| panic!("{what}: {not_seen}"))
    }

    pub async fn cleared(&self, users: u64) -> Stats {
        let enough = |stats: &Stats| stats.distinct_users_cleared >= users;
        self.seen("users are cleared", enough).await
    }

    /// Waits until no delivery is out with a consumer and `count` messages are ready.
    pub async fn waits_in_the_queue(&self, count: u64) {
        testkit::eventually(PATIENCE, "the events are in the queue again", async || {
            let consumers = self.vhost.consumers(QUEUE).await.unwrap();
            let ready = self.vhost.ready(QUEUE).await.unwrap();
            ((consumers, ready) == (0, count)).then_some(())
        })
        .await;
    }

    /// Waits until the queue holds nothing, delivered or not.
    pub async fn all_settled(&self) {
        testkit::eventually(PATIENCE, "everything is settled", async || {
            let messages = self.vhost.messages(QUEUE).await;
            messages.is_ok_and(|messages| messages == 0).then_some(())
        })
        .await;
    }

    pub async fn letters(&self) -> Vec<Incoming> {
        self.amqp.take_all(DEAD_LETTERS).await.unwrap()
    }

    pub async fn letters_wait(&self, count: u64) {
        testkit::eventually(PATIENCE, "dead letters arrive", async || {
            let ready = self.vhost.ready(DEAD_LETTERS).await;
            ready.is_ok_and(|ready| ready >= count).then_some(())
        })
        .await;
    }
}

/// A command with settings that are in order, and of which nothing answers.
pub fn sound(arguments: &str) -> Program {
    Program::new(arguments)
        .set("rabbitmq.url", "amqp://operator:pa55word@127.0.0.1:1/%2f")
        .set("im.base_url", "http://127.0.0.1:1")
        .set("im.sdk_app_id", 1_400_000_000)
        .set("im.secret_key", SECRET_KEY)
        .set("admin.listen", "127.0.0.1:0")
}

pub fn deleted(number: usize) -> Outgoing {
    let id = format!("{:032x}", fastrand::u128(..));
    let body = json!({ "type": "user.deleted", "user_id": user(number), "id": id });
    Outgoing::json("user.deleted", body)
}

/// A bound on what `future` may take.
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    let end = tokio::time::timeout(limit, future).await;
    end.unwrap_or_else(|_| panic!("not within {limit:?}"))
}
