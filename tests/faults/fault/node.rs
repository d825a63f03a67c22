//! What befalls the RabbitMQ node. Each of these rows has one of its own.

use im_simulator::Fault as Spoilt;

use super::{LETTER_REDUCED, SESSION_LOST};
use crate::load::Flaw;
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
    /// The broker takes no message as large as some events in its queue, as after an upgrade to RabbitMQ 4.
    LettersTooLarge,
}

/// Enough that some are not published yet when the alarm is there.
const LETTERS: usize = 40;

/// What the broker takes, in bytes, before and after it was upgraded.
const TAKEN: [usize; 2] = [128 * 1024 * 1024, 10_000];
const TOO_LARGE: usize = 50_000;
const LARGE_EVENTS: usize = 4;

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
            Fault::LettersTooLarge => return lower_the_limit(stage).await,
        }
        stage.worker().says_since(mark, SESSION_LOST).await;
    }

    /// The broker only blocks who publishes: letters must be due when the alarm is there.
    async fn alarm(self, stage: &mut Stage, mark: u64) {
        stage.broker_link.stall();
        stage.load.publish_many(LETTERS, Flaw::Malformed).await;
        let node = stage.broker.own_node();
        match self {
            Fault::DiskAlarm => node.raise_disk_alarm().await.unwrap(),
            _ => node.raise_memory_alarm().await.unwrap(),
        }
        stage.broker_link.flow();
        let blocked = "publishing blocked by a broker alarm";
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
            Fault::LettersTooLarge => set_limit(stage, TAKEN[0]).await,
        }
    }
}

/// Events that are too large for letters of theirs come in between; the worker's channels learn of the limit
/// when they are opened anew.
async fn lower_the_limit(stage: &Stage) {
    stage.worker().signal("STOP").await;
    stage
        .load
        .publish_many(LARGE_EVENTS, Flaw::Large(TOO_LARGE))
        .await;
    set_limit(stage, TAKEN[1]).await;
    let vhost = stage.broker.vhost();
    vhost.close_connections("an upgrade").await.unwrap();
    let mark = stage.worker().mark();
    stage.worker().signal("CONT").await;
    stage.worker().says_since(mark, LETTER_REDUCED).await;
}

async fn set_limit(stage: &Stage, bytes: usize) {
    let set = format!(
        "application:set_env(rabbit, max_message_size, {bytes}), persistent_term:put(max_message_size, {bytes})"
    );
    stage.broker.node().eval(&set).await.unwrap();
}
