//! The stage: a broker and an API, with one contestant at a time.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use testkit::rabbitmq::Node;
use tokio::time::sleep;

use crate::api::{Api, Latency, Record};
use crate::backlog::Backlog;
use crate::contestant::{Contestant, Places, Setting};
use crate::process::{Process, Usage};
use crate::queue::{self, QUEUE};

/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// A contestant that does nothing for so long will do nothing more.
const STALLED: Duration = Duration::from_secs(60);

/// A broker node and an API that serve all runs.
pub struct Stage {
    pub node: Node,
    pub api: Api,
    pub places: Places,
    /// Where contestants' output goes.
    pub logs: PathBuf,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    pub contestant: Contestant,
    pub backlog: Backlog,
    pub latency: Latency,
    pub in_flight: u32,
    pub calls_per_second: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// From the first call to the last user cleared.
    pub working: Duration,
    /// From the start of the process to its first call, if it makes any.
    pub first_call: Option<Duration>,
    /// From the start of the process to the moment when all was done and acknowledged.
    pub lifetime: Duration,
    /// At that moment.
    pub usage: Usage,
    pub users: u32,
    pub ids: u64,
    pub calls: usize,
    pub ids_per_second_between_calls: f64,
    pub busiest_second: usize,
}

impl Outcome {
    pub fn users_per_second(&self) -> f64 {
        f64::from(self.users) / self.working.as_secs_f64()
    }

    pub fn cpu_micros_per_user(&self) -> f64 {
        self.usage.cpu.as_secs_f64() * 1e6 / f64::from(self.users)
    }

    pub fn ids_per_call(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.ids as f64 / self.calls as f64)
    }

    /// Of one core.
    pub fn cpu_share(&self) -> f64 {
        self.usage.cpu.as_secs_f64() / self.lifetime.as_secs_f64()
    }

    pub fn peak_rss_mb(&self) -> f64 {
        self.usage.peak_rss as f64 / 1e6
    }
}

impl Stage {
    /// Lets a contestant work a backlog off.
    ///
    /// # Errors
    /// When it stalls, ends, makes a call that the API refuses, or leaves something unacknowledged.
    pub async fn run(&self, trial: &Trial) -> anyhow::Result<Outcome> {
        queue::make_anew(&self.node, trial.contestant).await?;
        trial.backlog.publish(&self.node.url()).await?;
        let began = self.api.begin(trial.backlog.users, trial.latency);
        let mut process = self.start(trial, trial.backlog.events())?;
        self.all_done(&mut process, trial).await?;

        let done = Instant::now();
        let usage = process.usage()?;
        let started = process.started();
        self.end(process, trial.contestant).await?;
        let mut outcome = self.api.record(|record| Outcome {
            working: record.last_cleared() - record.first_call().unwrap_or_default(),
            first_call: record.first_call().map(|first| (began + first) - started),
            lifetime: done - started,
            usage,
            users: trial.backlog.users,
            ids: record.ids(),
            calls: record.calls(),
            ids_per_second_between_calls: record.ids_per_second_between_calls(),
            busiest_second: record.busiest_second(),
        });
        if trial.contestant == Contestant::BareLapin {
            outcome.working = self.time_told_by(trial.contestant)?;
        }
        Ok(outcome)
    }

    /// Starts a contestant. It is ended when the node is, should this process be killed.
    pub fn start(&self, trial: &Trial, events: u32) -> anyhow::Result<Process> {
        let setting = Setting {
            broker_url: self.node.url(),
            api_url: self.api.url(),
            in_flight: trial.in_flight,
            calls_per_second: trial.calls_per_second,
            events,
        };
        let mut command = trial.contestant.command(&setting, &self.places);
        let (name, value) = self.node.mark();
        command.env(name, value);
        Process::start(command, &self.log(trial.contestant))
    }

    /// Ends a contestant that has done everything.
    ///
    /// # Errors
    /// When it does not end in good order, or messages come back to the queue.
    pub async fn end(&self, process: Process, contestant: Contestant) -> anyhow::Result<()> {
        let title = contestant.title();
        let well = process.end().await?;
        // Some peers end with a failure when they are asked to end; the queue tells what matters.
        ensure!(well || contestant.is_peer(), "{title} did not end well");
        let left = self.node.default_vhost().ready(QUEUE).await?;
        ensure!(left == 0, "{title} has left {left} messages");
        Ok(())
    }

    /// Waits until every user was cleared and every message is acknowledged.
    async fn all_done(&self, process: &mut Process, trial: &Trial) -> anyhow::Result<()> {
        let title = trial.contestant.title();
        let log = self.log(trial.contestant);
        let mut last = (0, Instant::now());
        while !self.is_worked_off(trial)? {
            let (distinct, refusals) = self
                .api
                .record(|record| (record.distinct(), record.refusals()));
            ensure!(refusals == 0, "the API refused {refusals} calls of {title}");
            if let Some(status) = process.ended()? {
                bail!("{title} has ended, {status}; see {}", log.display());
            }
            if distinct > last.0 {
                last = (distinct, Instant::now());
            } else if last.1.elapsed() > STALLED {
                let log = log.display();
                bail!("{title} stalls, {distinct} users cleared; see {log}");
            }
            sleep(LOOK).await;
        }
        self.settled().await
    }

    /// The broker is not asked, which would disturb a contestant at work.
    fn is_worked_off(&self, trial: &Trial) -> anyhow::Result<bool> {
        match trial.contestant {
            // It says something only when it has had all.
            Contestant::BareLapin => Ok(fs::metadata(self.log(trial.contestant))?.len() > 0),
            _ => Ok(self.api.record(Record::distinct) == trial.backlog.users),
        }
    }

    /// Waits until every message is acknowledged.
    pub async fn settled(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while queue::unsettled(&self.node).await? > 0 {
            ensure!(began.elapsed() < STALLED, "messages stay unacknowledged");
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn time_told_by(&self, contestant: Contestant) -> anyhow::Result<Duration> {
        let said = fs::read_to_string(self.log(contestant))?;
        let seconds: f64 = said.trim().parse().context("it does not tell its time")?;
        Ok(Duration::from_secs_f64(seconds))
    }

    fn log(&self, contestant: Contestant) -> PathBuf {
        self.logs.join(format!("{contestant:?}.log"))
    }
}
