//! Inquiries to a running worker, and an operator's wishes. Its main loop answers them, so an answer proves that the
//! loop runs.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use super::{Recent, Stall, State};
use crate::engine::Status;
use crate::rabbitmq::QueueCount;

/// Answer timeout: longer than a turn of the loop takes on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// Maximum number of waiting inquiries; further ones are refused.
const WAITING: usize = 16;

/// A snapshot of the worker.
#[derive(Clone, Debug)]
pub struct View {
    pub state: State,
    pub state_for: Duration,
    /// Why there is no broker session, where an attempt at one has failed.
    pub unconnected: Option<String>,
    pub stall: Option<Stall>,
    pub engine: Status,
    /// Age of the oldest unacknowledged event; zero if there is none.
    pub oldest_event: Duration,
    /// Highest number of returns to the queue among unacknowledged events.
    pub highest_delivery_count: u32,
    /// Time since the last progress; zero if the worker holds no event.
    pub since_progress: Duration,
    /// This worker's share of the quota.
    pub limit_calls_per_second: f64,
    /// As the broker counted it last, in this session.
    pub queue: Option<QueueCount>,
    /// What was wrong with the latest call, where its code or status does not say.
    pub trouble: Option<String>,
    /// What prevents events from being processed although there is a session and no pause.
    pub hindrance: Option<String>,
    /// What was done lately.
    pub recent: Recent,
}

impl View {
    /// Whether the worker could process an event now, as `/readyz` has it.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Consuming | State::Standby) && self.hindrance.is_none()
    }
}

/// Extreme values over the unacknowledged events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InHand {
    /// The earliest time: of the event where it has one, else of its arrival.
    pub(crate) oldest: Option<SystemTime>,
    pub(crate) highest_delivery_count: u32,
}

pub(crate) enum Question {
    View(oneshot::Sender<View>),
    Metrics(oneshot::Sender<String>),
    /// Pause, or resume. The answer: whether that changes anything.
    Operator(Wish, oneshot::Sender<bool>),
}

/// What an operator wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// No calls from now on; else they resume.
    pub pause: bool,
    /// Who wants it, for the log.
    pub who: Who,
}

/// An operator at the console, as logs name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// A name of the session that is no secret.
    pub session: String,
    pub address: IpAddr,
}

/// The asking end. Clones ask the same worker.
#[derive(Clone, Debug)]
pub struct Inquirer(mpsc::Sender<Question>);

/// The worker's end.
#[derive(Debug)]
pub struct Inquiries(mpsc::Receiver<Question>);

/// The worker does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker does not answer")]
pub struct NoAnswer;

/// Creates the two connected ends: one for the asker, one for the worker.
pub fn inquiries() -> (Inquirer, Inquiries) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Inquirer(sender), Inquiries(receiver))
}

impl Inquirer {
    /// Asks what the worker is doing.
    ///
    /// # Errors
    /// When it does not answer within two seconds.
    pub async fn view(&self) -> Result<View, NoAnswer> {
        self.ask(Question::View).await
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// When it does not answer within two seconds.
    pub async fn metrics(&self) -> Result<String, NoAnswer> {
        self.ask(Question::Metrics).await
    }

    /// Pauses or resumes. Returns whether that changed anything.
    ///
    /// # Errors
    /// When the worker does not answer within two seconds. It may heed the wish later.
    pub async fn wish(&self, wish: Wish) -> Result<bool, NoAnswer> {
        self.ask(|reply| Question::Operator(wish, reply)).await
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(question(reply)).map_err(|_| NoAnswer)?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(NoAnswer),
        }
    }
}

impl Inquiries {
    /// Waits for the next inquiry. Never ready if no asking end is left.
    pub(crate) async fn next(&mut self) -> Question {
        match self.0.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }
}
