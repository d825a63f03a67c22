//! What befalls the worker's own process.

use std::time::Duration;

use im_simulator::Simulator;
use testkit::eventually;

use crate::stage::{PATIENCE, QUEUE, SESSION_OPEN, Stage};
use crate::worker::{Place, Worker};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Killed,
    /// Stopped until the broker has given it up.
    Stopped,
    /// Nothing can be written to its log.
    LogDiskFull,
    /// One of two workers.
    ActiveKilled,
}

impl Fault {
    pub async fn prepare(self, stage: &mut Stage) {
        if self == Fault::ActiveKilled {
            stage.start_worker();
            stage.worker().says_since(0, SESSION_OPEN).await;
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
            Fault::LogDiskFull => {
                stage.drain_worker().await;
                let speechless = Worker::start(&stage.settings, Place::FullDisk);
                stage.workers.push_back(speechless);
                // It cannot say that it works; it works.
                let now = stage.simulator.now();
                stage.calls_succeed(now, 5).await;
            }
        }
    }

    /// Tells the moment at which it is over.
    pub async fn lift(self, stage: &mut Stage) -> Duration {
        match self {
            Fault::Killed | Fault::ActiveKilled => stage.start_worker(),
            Fault::Stopped => return resume(stage.worker(), &stage.simulator).await,
            Fault::LogDiskFull => {
                stage.drain_worker().await;
                stage.start_worker();
            }
        }
        stage.simulator.now()
    }
}

/// Returns when the worker has found its session lost and opened another one: what it calls before that are
/// windows of the old one.
async fn resume(worker: &Worker, simulator: &Simulator) -> Duration {
    let mark = worker.mark();
    worker.signal("CONT").await;
    let resumed = simulator.now();
    worker.says_since(mark, SESSION_OPEN).await;
    resumed
}
