//! A stage for one test: a virtual host of its own on a real broker, the simulator on a socket, and the
//! worker in this process, with its log in a file that is searched for secrets at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use im_simulator::{Options, Simulator, Stats};
use serde_json::json;
use tagsweep::shutdown::Shutdown;
use tagsweep::{config, worker};
use testkit::amqp::{Amqp, Incoming, Outgoing};
use testkit::rabbitmq::Vhost;
use tokio::task::JoinHandle;
use tracing::subscriber::DefaultGuard;

pub const QUEUE: &str = "tagsweep.events";
pub const DEAD_LETTERS: &str = "tagsweep.dead-letters";
pub const EXCHANGE: &str = "account.events";
/// Long enough for a busy machine; a test that needs it all has found something.
pub const PATIENCE: Duration = Duration::from_secs(60);

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
    settings: BTreeMap<String, String>,
    log: PathBuf,
    _log: DefaultGuard,
}

impl Stage {
    /// A stage on `vhost`, where the worker has what it needs declared.
    pub async fn new(vhost: &Vhost<'_>) -> Stage {
        Stage::with_broker(&vhost.url(), &vhost.url()).await
    }

    /// As [`new`](Stage::new), with another way to the broker for the worker than for the test.
    pub async fn with_broker(worker_url: &str, test_url: &str) -> Stage {
        let simulator = Simulator::start(Options {
            secret_key: SECRET_KEY.to_owned(),
            ..Options::default()
        })
        .await;
        let simulator = simulator.expect("the simulator starts");
        let settings = BTreeMap::from([
            ("RABBITMQ__URL", worker_url.to_owned()),
            ("IM__BASE_URL", simulator.url()),
            ("IM__SDK_APP_ID", "1400000000".to_owned()),
            ("IM__SECRET_KEY", SECRET_KEY.to_owned()),
            ("WINDOW__MAX_WAIT", "50ms".to_owned()),
        ]);
        let settings = settings
            .into_iter()
            .map(|(key, value)| (format!("TAGSWEEP__{key}"), value))
            .collect();
        let (log, guard) = log_to_file();
        let amqp = Amqp::connect(test_url).await.expect("the broker answers");
        Stage {
            simulator,
            amqp,
            settings,
            log,
            _log: guard,
        }
    }

    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.settings
            .insert(format!("TAGSWEEP__{key}"), value.to_string());
    }

    /// Users that the app knows, each with a tag.
    pub fn import(&self, users: impl IntoIterator<Item = usize>) {
        for number in users {
            self.simulator.set_tags(user(number), &["tag"]);
        }
    }

    /// Starts a worker and waits until it consumes.
    pub async fn worker(&self) -> Worker {
        let worker = self.start_worker();
        testkit::eventually(PATIENCE, "the worker consumes", async || {
            self.log_text()
                .contains("broker session open")
                .then_some(())
        })
        .await;
        worker
    }

    pub fn start_worker(&self) -> Worker {
        let settings = config::load(&[], self.settings.clone()).expect("the settings are in order");
        let shutdown = Shutdown::default();
        let steps = shutdown.clone();
        let task = tokio::spawn(async move { worker::run(&settings, steps).await });
        Worker { shutdown, task }
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

    pub async fn seen(&self, what: &str, condition: impl FnMut(&Stats) -> bool) -> Stats {
        match self.simulator.wait_for(PATIENCE, condition).await {
            Ok(stats) => stats,
            Err(not_seen) => panic!("{what}: {not_seen}\n{}", self.log_text()),
        }
    }

    pub async fn cleared(&self, users: u64) -> Stats {
        self.seen("users are cleared", |stats| {
            stats.distinct_users_cleared >= users
        })
        .await
    }

    /// Waits until so many dead letters are there, and takes them.
    pub async fn letters(&self, count: u32) -> Vec<Incoming> {
        testkit::eventually(PATIENCE, "dead letters arrive", async || {
            let (ready, _) = self.amqp.depth(DEAD_LETTERS).await.ok()?;
            (ready >= count).then_some(())
        })
        .await;
        self.amqp
            .take_all(DEAD_LETTERS)
            .await
            .expect("dead letters can be read")
    }

    /// Ends the worker in good order: then nothing may be left in the queue, and no dead letter either
    /// that the test did not take.
    pub async fn finish(self, worker: Worker) {
        worker.drain().await.expect("the drain ends in good order");
        assert_eq!(
            self.amqp.depth(QUEUE).await.expect("the queue is there").0,
            0,
            "events left"
        );
        assert_eq!(
            self.amqp.depth(DEAD_LETTERS).await.expect("it is there").0,
            0,
            "unexpected dead letters"
        );
        self.assert_clean_log();
    }

    pub fn assert_clean_log(&self) {
        crate::secrets::assert_clean(&self.log);
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log can be read")
    }
}

/// A running worker.
pub struct Worker {
    pub shutdown: Shutdown,
    pub task: JoinHandle<Result<(), worker::Error>>,
}

impl Worker {
    pub async fn drain(self) -> Result<(), worker::Error> {
        self.shutdown.drain.cancel();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the worker ends")
            .expect("no panic")
    }

    /// Ends it at once, as a crash would: nothing is settled any more.
    pub async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// An event in the plain form.
pub fn deleted(users: &[usize]) -> Outgoing {
    event("user.deleted", users)
}

pub fn event(kind: &str, users: &[usize]) -> Outgoing {
    let id = format!("{:032x}", fastrand::u128(..));
    let body = match users {
        [number] => json!({ "type": kind, "user_id": user(*number), "id": id }),
        numbers => {
            let users: Vec<String> = numbers.iter().map(|number| user(*number)).collect();
            json!({ "type": kind, "user_ids": users, "id": id })
        }
    };
    Outgoing::json(kind, body)
}

/// Everything that this thread logs goes into a file of its own.
fn log_to_file() -> (PathBuf, DefaultGuard) {
    let path = crate::secrets::folder().join(format!("{}.log", testkit::rabbitmq::unique("it")));
    let file = std::fs::File::create(&path).expect("the log can be created");
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(Mutex::new(file))
        .finish();
    (path, tracing::subscriber::set_default(subscriber))
}
