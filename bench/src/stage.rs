//! Broker and API, and one contestant at a time on them.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use testkit::amqp::Amqp;
use testkit::rabbitmq::Node;
use tokio::time::sleep;

use crate::api::{Api, Latency};
use crate::backlog::{Backlog, EXCHANGE};
use crate::contestant::{Contestant, Places, QUEUE, Setting};
use crate::process::{Process, Usage};

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
        self.empty_queue(trial.contestant).await?;
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
        // Some peers end with a failure when they are asked to end; the queue tells what matters.
        process.end().await?;
        let left = self.node.default_vhost().ready(QUEUE).await?;
        ensure!(left == 0, "{title} has left {left} messages");
        Ok(())
    }

    /// Makes the queue anew, as tagsweep declares it, or a classic one.
    pub async fn empty_queue(&self, contestant: Contestant) -> anyhow::Result<()> {
        let url = self.node.url();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let none = FieldTable::default();
        channel
            .exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, none)
            .await?;
        channel
            .queue_delete(QUEUE.into(), Default::default())
            .await?;
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(QUEUE.into(), durable, queue_arguments(contestant))
            .await?;
        Amqp::connect(&url).await?.bind(QUEUE, EXCHANGE).await?;
        connection.close(200, "done".into()).await?;
        Ok(())
    }

    /// Waits until every user was cleared and every message is acknowledged.
    async fn all_done(&self, process: &mut Process, trial: &Trial) -> anyhow::Result<()> {
        let title = trial.contestant.title();
        let mut last = (0, u64::MAX, Instant::now());
        loop {
            let (distinct, refusals) = self
                .api
                .record(|record| (record.distinct(), record.refusals()));
            ensure!(refusals == 0, "the API refused {refusals} calls of {title}");
            let cleared =
                distinct == trial.backlog.users || trial.contestant == Contestant::BareLapin;
            // The broker is asked only when it would not disturb, and then often.
            let left = if cleared {
                self.unsettled().await?
            } else {
                u64::MAX
            };
            if left == 0 {
                return Ok(());
            }
            if (distinct, left) != (last.0, last.1) {
                last = (distinct, left, Instant::now());
            }
            let log = self.log(trial.contestant);
            if let Some(status) = process.ended()? {
                bail!("{title} has ended, {status}; see {}", log.display());
            }
            if last.2.elapsed() > STALLED {
                bail!(
                    "{title} stalls, {distinct} users cleared; see {}",
                    log.display()
                );
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until every message is acknowledged.
    pub async fn settled(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.unsettled().await? > 0 {
            ensure!(began.elapsed() < STALLED, "messages stay unacknowledged");
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Messages in the queue, with those that are out and not acknowledged.
    async fn unsettled(&self) -> anyhow::Result<u64> {
        let code = format!(
            "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{QUEUE}\">>)), \
             case amqqueue:get_type(Queue) of \
                 rabbit_quorum_queue -> \
                     {{ok, {{_, Total}}, _}} = ra:local_query(amqqueue:get_pid(Queue), \
                         fun rabbit_fifo:query_messages_total/1), \
                     Total; \
                 _ -> \
                     [{{messages, Total}}] = rabbit_amqqueue:info(Queue, [messages]), \
                     Total \
             end"
        );
        let total = self.node.eval(&code).await?;
        total
            .parse()
            .with_context(|| format!("not a number: {total}"))
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

fn queue_arguments(contestant: Contestant) -> FieldTable {
    let mut arguments = FieldTable::default();
    if !contestant.takes_quorum_queues() {
        return arguments;
    }
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    let limit = AMQPValue::LongLongInt(i32::MAX.into());
    arguments.insert("x-delivery-limit".into(), limit);
    arguments
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use lapin::options::{BasicAckOptions, BasicConsumeOptions};
    use testkit::eventually;

    use super::*;
    use crate::backlog::Format;

    #[tokio::test]
    async fn nothing_is_done_while_a_message_is_unacknowledged() {
        let stage = Stage {
            node: Node::start().await.unwrap(),
            api: Api::start().unwrap(),
            places: Places {
                binaries: PathBuf::new(),
                installed: PathBuf::new(),
                peers: PathBuf::new(),
            },
            logs: PathBuf::new(),
        };
        let url = stage.node.url();
        for contestant in [Contestant::Tagsweep, Contestant::MqBridge] {
            stage.empty_queue(contestant).await.unwrap();
            Backlog::of(100, Format::Event).publish(&url).await.unwrap();
            assert_eq!(stage.unsettled().await.unwrap(), 100, "{contestant}");

            let connection = Connection::connect(&url, ConnectionProperties::default());
            let connection = connection.await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            let options = BasicConsumeOptions::default();
            let none = FieldTable::default();
            let consumer = channel.basic_consume(QUEUE.into(), "test".into(), options, none);
            let deliveries: Vec<_> = consumer.await.unwrap().take(100).collect().await;
            assert_eq!(stage.unsettled().await.unwrap(), 100, "{contestant}");

            let all = BasicAckOptions { multiple: true };
            let last = deliveries.into_iter().next_back().unwrap().unwrap();
            assert!(last.ack(all).await.unwrap());
            eventually(Duration::from_secs(60), "an empty queue", async || {
                (stage.unsettled().await.unwrap() == 0).then_some(())
            })
            .await;
        }
    }
}
