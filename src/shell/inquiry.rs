//! Questions to a worker that works. Its own loop answers them, so that an answer shows that it turns.

use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use super::{Stall, State};
use crate::engine::Status;
use crate::rabbitmq::QueueCount;

/// Longer than a turn of the loop takes on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions that wait; more than that are refused.
const WAITING: usize = 16;

/// What the worker tells of itself.
#[derive(Clone, Debug)]
pub struct View {
    pub state: State,
    /// Why there is no broker session, where an attempt at one has failed.
    pub unconnected: Option<String>,
    pub stall: Option<Stall>,
    pub engine: Status,
    /// Age of the oldest event in hand; zero when nothing is.
    pub oldest_event: Duration,
    /// Of all events in hand, how often the one was returned to its queue that was returned most.
    pub highest_delivery_count: u32,
    /// Since the last sign of progress; zero when nothing is in hand.
    pub since_progress: Duration,
    /// This worker's share of the quota.
    pub limit_calls_per_second: f64,
    /// As the broker counted it last, in this session.
    pub queue: Option<QueueCount>,
    /// What was wrong with the latest call, where its code or status does not say.
    pub trouble: Option<String>,
    /// What keeps events from being worked off though there is a session and no pause.
    pub hindrance: Option<String>,
}

/// The extremes of the events in hand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InHand {
    /// The earliest time: of the event where it has one, else of its arrival.
    pub(crate) oldest: Option<SystemTime>,
    pub(crate) highest_delivery_count: u32,
}

pub(crate) enum Question {
    View(oneshot::Sender<View>),
    Metrics(oneshot::Sender<String>),
}

/// Asks a worker. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct Inquirer(mpsc::Sender<Question>);

/// The worker's end.
#[derive(Debug)]
pub struct Inquiries(mpsc::Receiver<Question>);

/// The worker does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker does not answer")]
pub struct NoAnswer;

/// The two ends of the line between a worker and whoever wants to know of it.
pub fn inquiries() -> (Inquirer, Inquiries) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Inquirer(sender), Inquiries(receiver))
}

impl Inquirer {
    /// What the worker is doing.
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

    async fn ask<T>(&self, question: fn(oneshot::Sender<T>) -> Question) -> Result<T, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(question(reply)).map_err(|_| NoAnswer)?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(NoAnswer),
        }
    }
}

impl Inquiries {
    /// The next question. Never ready when nobody is left to ask one.
    pub(crate) async fn next(&mut self) -> Question {
        match self.0.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }
}
