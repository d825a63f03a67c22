//! What a row is run on: a real broker, the simulator, a proxy in front of each, the worker's process and
//! the publisher.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use im_simulator::{Entry, Options, Simulator};
use tempfile::TempDir;
use testkit::amqp::Amqp;
use testkit::eventually;
use testkit::proxy::FaultProxy;
use testkit::rabbitmq::{Node, Vhost, shared};
use testkit::tls::{Certificates, TlsFront};

use crate::account::Letters;
use crate::fault::{Fault, api, link, node};
use crate::load::Load;
use crate::worker::{Place, Worker};

pub const QUEUE: &str = "tagsweep.events";
pub const DEAD_LETTERS: &str = "tagsweep.dead-letters";
pub const EXCHANGE: &str = "account.events";
/// Long enough for a busy machine; a row that needs it all has found something.
pub const PATIENCE: Duration = Duration::from_secs(120);
pub const SECRET_KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";
pub const SESSION_OPEN: &str = "broker session open";
/// Little more than what the load needs, so that a worker that forgets what another one called exceeds it.
pub const CALLS_PER_SECOND: u32 = 30;
/// Shorter than the default of 10 s, so that what only a heartbeat can tell takes seconds.
const HEARTBEAT: &str = "2";
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(3);

/// The node that all rows share, or one that the row may break.
pub enum Broker {
    Shared(Vhost<'static>),
    Own(Box<Node>),
}

pub struct Stage {
    pub broker: Broker,
    pub broker_link: FaultProxy,
    pub simulator: Arc<Simulator>,
    pub api_link: FaultProxy,
    pub tls: Option<(TlsFront, Certificates)>,
    /// Where the row's own files are: certificates, hosts, the broker's URL.
    pub folder: TempDir,
    /// The password of the worker's own user at the broker, where it has one.
    pub password: String,
    /// Whether the worker looks names up in the folder's hosts.
    pub own_names: bool,
    /// An address that swallows packets.
    pub black_hole: Option<link::BlackHole>,
    pub settings: BTreeMap<String, String>,
    /// Those that run, the active one first.
    pub workers: VecDeque<Worker>,
    pub load: Load,
    pub letters: Letters,
}

impl Broker {
    async fn start(fault: Fault) -> Broker {
        let builder = Node::builder();
        match fault {
            Fault::Node(node::Fault::ConsumerTimeout) => {
                Broker::own(builder.consumer_timeout(CONSUMER_TIMEOUT).start().await)
            }
            Fault::Node(_) => Broker::own(builder.start().await),
            _ => Broker::Shared(shared().await.vhost().await.unwrap()),
        }
    }

    fn own(started: anyhow::Result<Node>) -> Broker {
        Broker::Own(Box::new(started.unwrap()))
    }

    pub fn vhost(&self) -> Vhost<'_> {
        match self {
            Broker::Shared(vhost) => vhost.clone(),
            Broker::Own(node) => node.default_vhost(),
        }
    }

    pub fn node(&self) -> &Node {
        match self {
            Broker::Shared(vhost) => vhost.node(),
            Broker::Own(node) => node,
        }
    }

    /// The node, to break it.
    pub fn own_node(&mut self) -> &mut Node {
        match self {
            Broker::Shared(_) => panic!("the shared node is nobody's to break"),
            Broker::Own(node) => node,
        }
    }
}

impl Stage {
    /// Returns when the worker consumes.
    pub async fn set_up(fault: Fault) -> Stage {
        let broker = Broker::start(fault).await;
        let simulator = Simulator::start(Options {
            secret_key: SECRET_KEY.to_owned(),
            calls_per_second: Some(CALLS_PER_SECOND),
            ..Options::default()
        });
        let simulator = Arc::new(simulator.await.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let tls = match fault {
            Fault::Api(api::Fault::WrongCertificate) => {
                let certificates = Certificates::make(folder.path()).unwrap();
                let front = TlsFront::start(simulator.address(), &certificates.server).await;
                Some((front.unwrap(), certificates))
            }
            _ => None,
        };
        let api = tls
            .as_ref()
            .map_or(simulator.address(), |(front, _)| front.address());
        let mut stage = Stage {
            broker_link: FaultProxy::start(broker.node().address()).unwrap(),
            api_link: FaultProxy::start(api).unwrap(),
            load: Load::start(broker.vhost().url(), Arc::clone(&simulator)),
            broker,
            simulator,
            tls,
            folder,
            password: String::new(),
            own_names: false,
            black_hole: None,
            settings: BTreeMap::new(),
            workers: VecDeque::new(),
            letters: Letters::default(),
        };
        stage.configure();
        fault.prepare(&mut stage).await;
        stage.start_worker();
        stage.worker().says_since(0, SESSION_OPEN).await;
        stage
    }

    fn configure(&mut self) {
        self.set("RABBITMQ__URL", self.broker_url());
        self.set(
            "IM__BASE_URL",
            format!("http://{}", self.api_link.address()),
        );
        self.set("IM__SDK_APP_ID", "1400000000");
        self.set("ADMIN__LISTEN", "127.0.0.1:0");
        self.set("IM__SECRET_KEY", SECRET_KEY);
        self.set("IM__CALLS_PER_SECOND", CALLS_PER_SECOND.to_string());
        self.set("IM__CONNECT_TIMEOUT", "1s");
        self.set("IM__REQUEST_TIMEOUT", "2s");
        self.set("WINDOW__MAX_IDS", "25");
        self.set("WINDOW__MAX_WAIT", "50ms");
    }

    /// The worker's way to the broker.
    pub fn broker_url(&self) -> String {
        let url = self.broker.vhost();
        let url = url.url_through(self.broker_link.address().port());
        format!("{url}?heartbeat={HEARTBEAT}")
    }

    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.settings
            .insert(format!("TAGSWEEP__{key}"), value.into());
    }

    /// Writes a file of the row's own.
    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).unwrap();
    }

    /// Starts one more worker, which becomes the active one when those before it are gone.
    pub fn start_worker(&mut self) {
        let place = match self.own_names {
            true => Place::OwnNames(self.folder.path()),
            false => Place::Ordinary,
        };
        let worker = Worker::start(&self.settings, place);
        self.workers.push_back(worker);
    }

    /// Ends the active worker in good order.
    pub async fn drain_worker(&mut self) {
        let worker = self.workers.pop_front().expect("a worker runs");
        assert_eq!(worker.drain().await, Some(0), "an end in good order");
    }

    /// The worker that consumes.
    pub fn worker(&self) -> &Worker {
        self.workers.front().expect("a worker runs")
    }

    /// A connection of the test's own, past the proxy.
    pub async fn amqp(&self) -> Amqp {
        eventually(PATIENCE, "the broker answers", async || {
            Amqp::connect(&self.broker.vhost().url()).await.ok()
        })
        .await
    }

    /// Takes the dead letters that are there.
    pub async fn take_letters(&mut self) {
        let letters = eventually(PATIENCE, "dead letters are taken", async || {
            self.amqp().await.take_all(DEAD_LETTERS).await.ok()
        });
        self.letters.add(letters.await);
    }

    /// The first `count` calls after `moment` that were done and answered.
    pub async fn calls_succeed(&self, moment: Duration, count: usize) -> Vec<Entry> {
        let done = |call: &Entry| call.code == Some(0) && call.fault.is_none() && call.ids > 0;
        eventually(PATIENCE, "calls succeed", async || {
            let calls = self.simulator.journal_since(moment);
            let done: Vec<Entry> = calls.into_iter().filter(done).take(count).collect();
            (done.len() == count).then_some(done)
        })
        .await
    }
}
