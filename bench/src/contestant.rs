//! The contestants, and how each is started. The peers themselves are in `bench/peers`.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::backlog::{EXCHANGE, Format};
use crate::queue::QUEUE;

/// So high that it is no quota: the most that tagsweep can be set to.
pub const NO_QUOTA: u32 = 10_000;
const SECRET_KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";
const API_PATH: &str = "/v4/all_member_push/im_remove_all_tags";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    Tagsweep,
    BareLapin,
    NodeUndici,
    MqBridge,
    AioPikaHttpx,
    CeleryBatches,
}

/// What a contestant is told.
#[derive(Clone, Debug)]
pub struct Setting {
    pub broker_url: String,
    pub api_url: String,
    /// Calls at the same time; the prefetch follows from it.
    pub in_flight: u32,
    pub calls_per_second: u32,
    pub events: u32,
}

/// Where programs are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The release binaries of this project.
    pub binaries: PathBuf,
    /// What `bench/install-peers.sh` has made.
    pub installed: PathBuf,
    /// `bench/peers`.
    pub peers: PathBuf,
}

impl Contestant {
    pub const ALL: [Contestant; 6] = [
        Contestant::Tagsweep,
        Contestant::BareLapin,
        Contestant::NodeUndici,
        Contestant::MqBridge,
        Contestant::AioPikaHttpx,
        Contestant::CeleryBatches,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Contestant::Tagsweep => "tagsweep",
            Contestant::BareLapin => "bare lapin consumer, no calls",
            Contestant::MqBridge => "mq-bridge",
            Contestant::NodeUndici => "Node rabbitmq-client + undici",
            Contestant::AioPikaHttpx => "Python aio-pika + httpx",
            Contestant::CeleryBatches => "celery-batches",
        }
    }

    /// One that does the same work as tagsweep.
    pub fn is_peer(self) -> bool {
        !matches!(self, Contestant::Tagsweep | Contestant::BareLapin)
    }

    pub fn format(self) -> Format {
        match self {
            Contestant::CeleryBatches => Format::CeleryTask,
            _ => Format::Event,
        }
    }

    /// Whether it has quorum queues. mq-bridge insists on declaring its queue, without arguments.
    pub fn takes_quorum_queues(self) -> bool {
        self != Contestant::MqBridge
    }

    /// Users for a run of some seconds; the slow would take minutes for what the fast need.
    pub fn backlog(self) -> u32 {
        match self {
            Contestant::Tagsweep | Contestant::BareLapin => 250_000,
            Contestant::NodeUndici => 100_000,
            Contestant::MqBridge => 60_000,
            Contestant::AioPikaHttpx => 30_000,
            Contestant::CeleryBatches => 10_000,
        }
    }

    pub fn command(self, setting: &Setting, places: &Places) -> Command {
        let python = places.installed.join("python/bin/python");
        let mut command = match self {
            Contestant::Tagsweep => return tagsweep(setting, places),
            Contestant::BareLapin => Command::new(places.binaries.join("bare_lapin")),
            Contestant::MqBridge => script(python, places.peers.join("mq_bridge_route.py")),
            Contestant::AioPikaHttpx => script(python, places.peers.join("aio_pika_httpx.py")),
            Contestant::NodeUndici => {
                let node = places.installed.join("node/node");
                script(node, places.installed.join("node/worker.js"))
            }
            Contestant::CeleryBatches => celery(python, setting, places),
        };
        command
            .env("BENCH_AMQP_URL", &setting.broker_url)
            .env("BENCH_QUEUE", QUEUE)
            .env("BENCH_API_URL", format!("{}{API_PATH}", setting.api_url))
            .env("BENCH_IN_FLIGHT", setting.in_flight.to_string())
            .env("BENCH_EVENTS", setting.events.to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&option_name(self))
    }
}

/// As it is written on the command line.
pub fn option_name(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn script(interpreter: PathBuf, file: PathBuf) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(file);
    command
}

fn celery(python: PathBuf, setting: &Setting, places: &Places) -> Command {
    let mut command = Command::new(python);
    command
        .current_dir(&places.peers)
        .args(["-m", "celery", "-A", "celery_batches_worker", "worker"])
        .args([
            "--pool",
            "threads",
            "--queues",
            QUEUE,
            "--loglevel",
            "warning",
        ])
        .args(["--concurrency", &setting.in_flight.to_string()])
        .args([
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]);
    command
}

fn tagsweep(setting: &Setting, places: &Places) -> Command {
    let mut command = Command::new(places.binaries.join("tagsweep"));
    command.arg("run");
    for (key, value) in [
        ("RABBITMQ__URL", setting.broker_url.clone()),
        ("RABBITMQ__EXCHANGE", EXCHANGE.to_owned()),
        ("RABBITMQ__QUEUE", QUEUE.to_owned()),
        ("IM__BASE_URL", setting.api_url.clone()),
        ("IM__PATH", API_PATH.to_owned()),
        ("IM__SDK_APP_ID", "1400000000".to_owned()),
        ("ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
        ("IM__SECRET_KEY", SECRET_KEY.to_owned()),
        ("IM__CALLS_PER_SECOND", setting.calls_per_second.to_string()),
        ("IM__MAX_IN_FLIGHT", setting.in_flight.to_string()),
    ] {
        command.env(format!("TAGSWEEP__{key}"), value);
    }
    command
}
