//! What befalls the RabbitMQ node. Each of these rows has one of its own.

use im_simulator::Fault as Spoilt;

use super::SESSION_LOST;
use crate::stage::Stage;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Killed,
    Restarted,
    Paused,
    /// Deliveries are held for longer than the broker allows.
    ConsumerTimeout,
    MemoryAlarm,
    DiskAlarm,
}

/// Enough that some are not published yet when the alarm is there.
const LETTERS: usize = 40;

impl Fault {
    pub async fn strike(self, stage: &mut Stage) {
        let mark = stage.worker().mark();
        match self {
            Fault::Killed => stage.broker.own_node().kill().unwrap(),
            Fault::Restarted => stage.broker.own_node().stop().await.unwrap(),
            Fault::Paused => stage.broker.own_node().pause().await.unwrap(),
            Fault::ConsumerTimeout => {
                // The worker believes in 30 minutes, its default, and the API answers nobody.
                stage.simulator.add_fault(Spoilt::Hang);
            }
            Fault::MemoryAlarm | Fault::DiskAlarm => return self.alarm(stage, mark).await,
        }
        stage.worker().says_since(mark, SESSION_LOST).await;
    }

    /// The broker only blocks who publishes: letters must be due when the alarm is there.
    async fn alarm(self, stage: &mut Stage, mark: u64) {
        stage.broker_link.stall();
        stage.load.publish_malformed(LETTERS).await;
        let node = stage.broker.own_node();
        match self {
            Fault::DiskAlarm => node.raise_disk_alarm().await.unwrap(),
            _ => node.raise_memory_alarm().await.unwrap(),
        }
        stage.broker_link.flow();
        let blocked = "the broker takes no messages for now";
        stage.worker().says_since(mark, blocked).await;
    }

    pub async fn lift(self, stage: &mut Stage) {
        match self {
            Fault::Killed | Fault::Restarted => {
                stage.broker.own_node().start_again().await.unwrap();
            }
            Fault::Paused => stage.broker.own_node().resume().await.unwrap(),
            Fault::ConsumerTimeout => stage.simulator.clear_faults(),
            Fault::MemoryAlarm => stage.broker.own_node().clear_memory_alarm().await.unwrap(),
            Fault::DiskAlarm => stage.broker.own_node().clear_disk_alarm().await.unwrap(),
        }
    }
}
