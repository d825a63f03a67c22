//! The parts of the demo: a broker, the simulator, the worker's process.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use im_simulator::{Options, Simulator};
use testkit::proxy::FaultProxy;
use testkit::rabbitmq::Node;
use tokio::process::{Child, Command};

use super::plan::{self, Plan};

pub const SECRET_KEY: &str = "6f1d0c7f24a3fd6f4f4d2fb6c0b28c4f9f1a7e5f6a3b4c5d6e7f8091a2b3c4d5";
const BROKER_URL: &str = "TAGSWEEP__RABBITMQ__URL";

/// The broker that is given, or a private one; and a proxy in front of it whose connections can be cut.
pub struct Broker {
    pub url: String,
    pub description: String,
    proxied_url: String,
    proxy: FaultProxy,
    // Ends with the demo.
    _node: Option<Node>,
}

impl Broker {
    pub async fn start() -> anyhow::Result<Broker> {
        let start = Instant::now();
        let (url, node) = match std::env::var(BROKER_URL) {
            Ok(url) => (url, None),
            Err(_) => {
                let node = Node::start().await?;
                (node.url(), Some(node))
            }
        };
        let parsed = url::Url::parse(&url).context(BROKER_URL)?;
        ensure!(
            parsed.scheme() == "amqp",
            "the demo cuts the connection, so {BROKER_URL} must be amqp://"
        );
        let host = parsed
            .host_str()
            .context("the broker's URL names no host")?;
        let address = format!("{host}:{}", parsed.port().unwrap_or(5672));
        let description = match &node {
            Some(_) => format!(
                "private RabbitMQ node on {address}, up in {:.1} s",
                start.elapsed().as_secs_f64()
            ),
            None => format!("{address}, as {BROKER_URL} says"),
        };
        let target = tokio::net::lookup_host(&address)
            .await?
            .next()
            .context("the broker's host is unknown")?;
        let proxy = FaultProxy::start(target)?;
        let mut proxied = parsed;
        let through = proxy.address();
        if proxied.set_host(Some(&through.ip().to_string())).is_err()
            || proxied.set_port(Some(through.port())).is_err()
        {
            bail!("the broker's URL cannot be led through a proxy");
        }
        Ok(Broker {
            url,
            description,
            proxied_url: proxied.into(),
            proxy,
            _node: node,
        })
    }

    /// Resets the worker's connections.
    pub async fn cut(&self) {
        self.proxy.cut().await;
    }
}

pub async fn simulator(plan: &Plan) -> anyhow::Result<Simulator> {
    let simulator = Simulator::start(Options {
        secret_key: SECRET_KEY.to_owned(),
        latency: Duration::from_millis(20),
        latency_jitter: Duration::from_millis(5),
        ..Options::default()
    })
    .await?;
    for user in plan.cleared.iter().chain(&plan.rejected) {
        simulator.set_tags(user.as_str(), &["vip", "city-42"]);
    }
    for user in &plan.rejected {
        simulator.reject_user(user.as_str(), 90001);
    }
    Ok(simulator)
}

/// Names that clash with nobody's on a broker that is not ours.
pub struct Names {
    pub exchange: String,
    pub queue: String,
    pub dead_letter_exchange: String,
    pub dead_letter_queue: String,
}

impl Names {
    pub fn new() -> Names {
        let run = testkit::rabbitmq::unique("tagsweep-demo");
        Names {
            exchange: format!("{run}.events"),
            queue: format!("{run}.queue"),
            dead_letter_exchange: format!("{run}.dead-letters"),
            dead_letter_queue: format!("{run}.dead-letters"),
        }
    }

    pub fn queues(&self) -> [&str; 2] {
        [&self.queue, &self.dead_letter_queue]
    }

    pub fn exchanges(&self) -> [&str; 2] {
        [&self.exchange, &self.dead_letter_exchange]
    }
}

/// The worker's binary, configured.
pub struct Worker {
    binary: PathBuf,
    settings: Vec<(&'static str, String)>,
    pub log: PathBuf,
}

impl Worker {
    pub fn prepare(
        broker: &Broker,
        simulator: &Simulator,
        names: &Names,
    ) -> anyhow::Result<Worker> {
        // The demo lies in target/<profile>/examples, the worker beside that folder.
        let demo = std::env::current_exe()?;
        let binary = demo
            .ancestors()
            .nth(2)
            .context("the build folder")?
            .join("tagsweep");
        ensure!(
            binary.exists(),
            "{} is not built; run `make demo`",
            binary.display()
        );
        let settings = vec![
            (BROKER_URL, broker.proxied_url.clone()),
            ("TAGSWEEP__RABBITMQ__EXCHANGE", names.exchange.clone()),
            ("TAGSWEEP__RABBITMQ__QUEUE", names.queue.clone()),
            (
                "TAGSWEEP__RABBITMQ__DEAD_LETTER_EXCHANGE",
                names.dead_letter_exchange.clone(),
            ),
            (
                "TAGSWEEP__RABBITMQ__DEAD_LETTER_QUEUE",
                names.dead_letter_queue.clone(),
            ),
            (
                "TAGSWEEP__RABBITMQ__ROUTING_KEYS",
                plan::ROUTING_KEYS.join(","),
            ),
            ("TAGSWEEP__EVENTS__PRESETS", plan::PRESETS.join(",")),
            ("TAGSWEEP__IM__BASE_URL", simulator.url()),
            ("TAGSWEEP__IM__SDK_APP_ID", "1400000000".to_owned()),
            ("TAGSWEEP__IM__SECRET_KEY", SECRET_KEY.to_owned()),
            // The usual port may be taken.
            ("TAGSWEEP__ADMIN__LISTEN", String::new()),
        ];
        let log = std::env::temp_dir().join(format!("tagsweep-demo-{}.log", std::process::id()));
        Ok(Worker {
            binary,
            settings,
            log,
        })
    }

    /// Runs `tagsweep check --declare`, which creates the queues. Returns its outcome in one line.
    pub async fn check(&self) -> anyhow::Result<String> {
        let output = self.command().args(["check", "--declare"]).output().await?;
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "tagsweep check failed:\n{lines}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(format!(
            "tagsweep check: {} parts in order",
            lines.lines().filter(|line| line.starts_with("ok")).count()
        ))
    }

    pub fn run(&self) -> anyhow::Result<Running> {
        let log = File::create(&self.log)?;
        let child = self
            .command()
            .arg("run")
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Running { child })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.envs(self.settings.iter().map(|(key, value)| (key, value)));
        command
    }
}

/// The worker's process. It does not outlive the demo.
pub struct Running {
    child: Child,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Asks it to stop as a container runtime would, and waits for its exit code.
    pub async fn terminate(&mut self) -> anyhow::Result<Option<i32>> {
        let sent = Command::new("kill")
            .args(["-TERM", &self.id().to_string()])
            .status()
            .await?;
        ensure!(sent.success(), "the worker is gone already");
        let status = tokio::time::timeout(Duration::from_secs(40), self.child.wait()).await;
        Ok(status.context("the worker does not end")??.code())
    }
}
