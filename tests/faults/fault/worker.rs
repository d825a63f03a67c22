//! What befalls the worker's own process.

use testkit::eventually;

use crate::load::Flaw;
use crate::stage::{CALLS_PER_SECOND, PATIENCE, QUEUE, SESSION_OPEN, Stage};
use crate::worker::{Place, Worker};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Killed,
    /// Stopped until the broker has given it up.
    Stopped,
    /// Nothing can be written to its log.
    LogDiskFull,
    /// Nobody reads its log, and the pipe is full.
    LogReaderStuck,
    /// One of two workers.
    ActiveKilled,
}

/// Events for three seconds of the quota.
const BACKLOG: usize = 1_200;

impl Fault {
    pub async fn prepare(self, stage: &mut Stage) {
        if self == Fault::ActiveKilled {
            stage.start_worker();
            stage.worker().says_since(0, SESSION_OPEN).await;
        }
    }

    /// The next worker is to have work for the whole quota, in the second in which this one has used it.
    pub async fn lead_up(self, stage: &Stage) {
        if matches!(self, Fault::Killed | Fault::ActiveKilled) {
            stage.load.publish_many(BACKLOG, Flaw::None).await;
            let now = stage.simulator.now();
            stage.calls_succeed(now, CALLS_PER_SECOND as usize).await;
        }
    }

    pub async fn strike(self, stage: &mut Stage) {
        match self {
            Fault::Killed | Fault::ActiveKilled => {
                let active = stage.workers.pop_front().expect("a worker runs");
                active.kill().await;
            }
            Fault::Stopped => {
                stage.worker().signal("STOP").await;
                eventually(PATIENCE, "the broker gives the worker up", async || {
                    let consumers = stage.broker.vhost().consumers(QUEUE).await;
                    consumers.is_ok_and(|count| count == 0).then_some(())
                })
                .await;
            }
            Fault::LogDiskFull | Fault::LogReaderStuck => {
                stage.drain_worker().await;
                let place = match self {
                    Fault::LogDiskFull => Place::FullDisk,
                    _ => Place::StuckReader,
                };
                let speechless = Worker::start(&stage.settings, place);
                stage.workers.push_back(speechless);
                // It cannot say that it works; it works.
                let now = stage.simulator.now();
                stage.calls_succeed(now, 5).await;
            }
        }
    }

    pub async fn lift(self, stage: &mut Stage) {
        match self {
            Fault::Killed | Fault::ActiveKilled => stage.start_worker(),
            Fault::Stopped => stage.worker().signal("CONT").await,
            Fault::LogDiskFull | Fault::LogReaderStuck => {
                stage.drain_worker().await;
                stage.start_worker();
            }
        }
    }
}
