//! A stage for one test: a virtual host of its own on a real broker, the simulator on a socket, and the
//! worker in this process, with its log in a file that is searched for secrets at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use im_simulator::{Options, Simulator, Stats};
use serde_json::{Value, json};
use tagsweep::shutdown::Shutdown;
use tagsweep::{config, shell, worker};
use testkit::amqp::{Amqp, Incoming, Outgoing};
use testkit::eventually;
use testkit::rabbitmq::{Vhost, shared};
use tokio::task::JoinHandle;

use crate::log::Log;

pub const QUEUE: &str = "tagsweep.events";
pub const DEAD_LETTERS: &str = "tagsweep.dead-letters";
pub const EXCHANGE: &str = "account.events";
/// Long enough for a busy machine; a test that needs it all has found something.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What a user ID looks like in these tests, so that one in a log is found.
pub const USER_MARK: &str = "pii-";
/// The secret key; its text is looked for in logs, too.
pub const SECRET_KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";

pub fn user(number: usize) -> String {
    format!("{USER_MARK}{number:05}")
}

pub struct Stage {
    pub simulator: Simulator,
    pub amqp: Amqp,
    url: String,
    settings: BTreeMap<String, String>,
    log: Log,
}

impl Stage {
    /// A stage on a virtual host of its own on the shared node.
    pub async fn new() -> Stage {
        let vhost = shared().await.vhost().await.expect("a virtual host");
        Stage::on(&vhost).await
    }

    pub async fn on(vhost: &Vhost<'_>) -> Stage {
        Stage::with_broker(&vhost.url(), &vhost.url()).await
    }

    /// With another way to the broker for the worker than for the test.
    pub async fn with_broker(worker_url: &str, test_url: &str) -> Stage {
        let simulator = Simulator::start(Options {
            secret_key: SECRET_KEY.to_owned(),
            ..Options::default()
        })
        .await;
        let mut stage = Stage {
            simulator: simulator.expect("the simulator starts"),
            amqp: Amqp::connect(test_url).await.expect("the broker answers"),
            url: test_url.to_owned(),
            settings: BTreeMap::new(),
            log: Log::start(),
        };
        stage.set("RABBITMQ__URL", worker_url);
        stage.set("IM__BASE_URL", stage.simulator.url());
        stage.set("IM__SDK_APP_ID", 1_400_000_000);
        stage.set("IM__SECRET_KEY", SECRET_KEY);
        stage.set("WINDOW__MAX_WAIT", "50ms");
        stage.set("RETRY__BACKOFF_MIN", "20ms");
        stage.set("RETRY__BACKOFF_MAX", "500ms");
        stage
    }

    /// After the broker has closed all connections, the test's own among them.
    pub async fn connect_again(&mut self) {
        let amqp = Amqp::connect(&self.url).await;
        self.amqp = amqp.expect("the broker answers");
    }

    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.settings
            .insert(format!("TAGSWEEP__{key}"), value.to_string());
    }

    pub fn unset(&mut self, key: &str) {
        self.settings.remove(&format!("TAGSWEEP__{key}"));
    }

    /// Users that the app knows, each with a tag.
    pub fn import(&self, users: impl IntoIterator<Item = usize>) {
        for number in users {
            self.simulator.set_tags(user(number), &["tag"]);
        }
    }

    /// Starts a worker and waits until it consumes, or stands by to.
    pub async fn worker(&self) -> Worker {
        let sessions = self.said("broker session open");
        let worker = self.start_worker();
        self.says("broker session open", sessions + 1).await;
        worker
    }

    pub fn start_worker(&self) -> Worker {
        let settings = config::load(&[], self.settings.clone()).expect("the settings are in order");
        let shutdown = Shutdown::default();
        let steps = shutdown.clone();
        let (inquirer, inquiries) = shell::inquiries();
        let task =
            tokio::spawn(async move { worker::run(&settings, None, inquiries, steps).await });
        Worker {
            shutdown,
            task,
            inquirer,
        }
    }

    pub async fn publish(&self, messages: impl IntoIterator<Item = Outgoing>) {
        self.amqp
            .publish(EXCHANGE, messages)
            .await
            .expect("events are published");
    }

    /// One event per user.
    pub async fn delete(&self, users: impl IntoIterator<Item = usize>) {
        self.publish(users.into_iter().map(|number| deleted(&[number])))
            .await;
    }

    /// Makes queues and exchanges as a worker makes them, with no worker left.
    pub async fn prepare_queues(&self) {
        let worker = self.worker().await;
        worker.drain().await.expect("it ends in good order");
    }

    pub async fn seen(&self, what: &str, condition: impl FnMut(&Stats) -> bool) -> Stats {
        match self.simulator.wait_for(PATIENCE, condition).await {
            Ok(stats) => stats,
            Err(not_seen) => panic!("{what}: {not_seen}\n{}", self.log.summary()),
        }
    }

    pub async fn cleared(&self, users: u64) -> Stats {
        self.seen("users are cleared", |stats| {
            stats.distinct_users_cleared >= users
        })
        .await
    }

    /// No second, wherever it begins, may hold more calls than that.
    pub fn assert_quota(&self, calls_per_second: usize) {
        let journal = self.simulator.journal();
        let arrivals: Vec<Duration> = journal.entries.iter().map(|call| call.at).collect();
        for (first, begin) in arrivals.iter().enumerate() {
            let end = *begin + Duration::from_secs(1);
            let within = arrivals[first..].iter().take_while(|at| **at < end);
            let calls = within.count();
            assert!(
                calls <= calls_per_second,
                "{calls} calls within a second: {:?}\n{}",
                &arrivals[first..first + calls],
                self.log.text()
            );
        }
    }

    /// Waits until so many dead letters are there, and takes them.
    pub async fn letters(&self, count: u32) -> Vec<Incoming> {
        eventually(PATIENCE, "dead letters arrive", async || {
            (self.ready(DEAD_LETTERS).await >= count).then_some(())
        })
        .await;
        let letters = self.amqp.take_all(DEAD_LETTERS).await;
        letters.expect("dead letters can be read")
    }

    /// Messages that wait in `queue`, not counting those in a worker's hands.
    pub async fn ready(&self, queue: &str) -> u32 {
        self.amqp.depth(queue).await.expect("the queue is there").0
    }

    /// How often the worker's log says `text`.
    pub fn said(&self, text: &str) -> usize {
        self.log.text().matches(text).count()
    }

    /// Waits until the worker's log says `text` for the `times`th time.
    pub async fn says(&self, text: &str, times: usize) {
        let said = eventually(PATIENCE, text, async || {
            (self.said(text) >= times).then_some(())
        });
        said.await;
    }

    /// The fields of the last log line with this message.
    pub fn last_line(&self, message: &str) -> Value {
        let text = self.log.text();
        let mut lines = text.lines().rev().map(|line| {
            let mut line: Value = serde_json::from_str(line).expect("the log is in JSON lines");
            line["fields"].take()
        });
        lines
            .find(|fields| fields["message"] == message)
            .unwrap_or_else(|| panic!("the log does not say {message:?}"))
    }

    /// Ends the worker in good order. Then every event must be acknowledged, and there must be no dead
    /// letter that the test did not take. Returns the worker's own account of its run.
    pub async fn finish(self, worker: Worker) -> Account {
        if let Err(error) = worker.drain().await {
            panic!(
                "the drain ends in good order, not with: {error}\n{}",
                self.log.text()
            );
        }
        self.close().await
    }

    /// The same when all workers have ended.
    pub async fn close(self) -> Account {
        // What a worker leaves unacknowledged is ready again when its consumer is gone.
        eventually(PATIENCE, "all consumers are gone", async || {
            let (_, consumers) = self.amqp.depth(QUEUE).await.expect("the queue is there");
            (consumers == 0).then_some(())
        })
        .await;
        let left = self.ready(QUEUE).await;
        assert_eq!(left, 0, "events left:\n{}", self.log.text());
        assert_eq!(
            self.ready(DEAD_LETTERS).await,
            0,
            "unexpected dead letters:\n{}",
            self.log.summary()
        );
        self.log.assert_clean();
        Account(self.last_line("ended"))
    }
}

/// What the worker says of its run when it has ended.
pub struct Account(Value);

impl Account {
    pub fn count(&self, what: &str) -> u64 {
        let count = self.0[what].as_u64();
        count.unwrap_or_else(|| panic!("the account does not tell {what}"))
    }
}

/// A running worker.
pub struct Worker {
    pub shutdown: Shutdown,
    pub task: JoinHandle<Result<(), worker::Error>>,
    pub inquirer: shell::Inquirer,
}

impl Worker {
    pub async fn drain(self) -> Result<(), worker::Error> {
        self.shutdown.drain.cancel();
        self.ended().await
    }

    pub async fn ended(self) -> Result<(), worker::Error> {
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the worker ends")
            .expect("no panic")
    }

    /// Ends it at once, as a crash would: nothing is settled any more.
    pub async fn crash(self) {
        self.task.abort();
        assert!(
            self.task.await.is_err_and(|error| error.is_cancelled()),
            "it had ended before"
        );
    }
}

/// An event in the plain form.
pub fn deleted(users: &[usize]) -> Outgoing {
    let users: Vec<String> = users.iter().map(|number| user(*number)).collect();
    let id = format!("{:032x}", fastrand::u128(..));
    let kind = "user.deleted";
    let body = match users.as_slice() {
        [user] => json!({ "type": kind, "user_id": user, "id": id }),
        users => json!({ "type": kind, "user_ids": users, "id": id }),
    };
    Outgoing::json(kind, body)
}

/// An event that cannot be read.
pub fn malformed() -> Outgoing {
    Outgoing::json("user.deleted", "no JSON")
}
