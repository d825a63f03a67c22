//! What befalls the connections between worker and broker.

use super::SESSION_LOST;
use crate::stage::Stage;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both ends see a reset.
    Cut,
    /// No byte passes, and nobody is told.
    Stalled,
    /// The broker's end is closed, and the worker is not told.
    HalfOpen,
}

impl Fault {
    pub async fn strike(self, stage: &mut Stage) {
        let mark = stage.worker().mark();
        match self {
            Fault::Cut => assert!(stage.broker_link.cut().await > 0),
            Fault::Stalled => stage.broker_link.stall(),
            Fault::HalfOpen => assert!(stage.broker_link.half_open().await > 0),
        }
        stage.worker().says_since(mark, SESSION_LOST).await;
    }

    pub fn lift(self, stage: &Stage) {
        match self {
            Fault::Stalled => stage.broker_link.flow(),
            Fault::Cut | Fault::HalfOpen => {}
        }
    }
}
