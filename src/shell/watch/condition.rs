//! What the worker is doing, and whether it makes progress.
//!
//! A running process proves nothing: a worker that holds events and settles none needs a restart as much as one
//! that has ended. But a restart does not fix an outage or a wrong key, so whatever has a known reason is not a
//! stall. This module has no clock of its own.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use crate::engine::{PauseReason, Status};
use crate::rabbitmq::{Cause, LetterRefusal, Loss, QueueCount};
use crate::shell::{InHand, Recent, View};

/// How long a worker may be without a broker session before `/livez` fails: a restart costs nothing then, and
/// starts with new name lookups and certificates.
const CONNECTING_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Failed calls in a row after which their users cannot be the cause.
const FAILED_CALLS: u32 = 8;

/// How long no call may start for want of a sign of life from the broker before that is said: much longer than
/// between two of them.
const UNLEASED: Duration = Duration::from_secs(15);

/// A broker that fails at a message fails again within this time.
const FAILED_LATELY: Duration = Duration::from_secs(30);

/// What the worker is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// No broker session.
    Connecting,
    /// Nothing was delivered yet in this session: the queue is empty, or another worker consumes it. AMQP does not
    /// tell which.
    Standby,
    Consuming,
    /// No calls, except probes if the pause is for the API.
    Paused(Pause),
    Draining,
}

impl State {
    pub const NAMES: [&'static str; 5] =
        ["connecting", "standby", "consuming", "paused", "draining"];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        let [connecting, standby, consuming, paused, draining] = State::NAMES;
        match self {
            State::Connecting => connecting,
            State::Standby => standby,
            State::Consuming => consuming,
            State::Paused(_) => paused,
            State::Draining => draining,
        }
    }
}

/// Who or what pauses the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// An operator at the console. Nothing is probed, whatever the API does.
    Operator,
    Api(PauseReason),
}

impl Pause {
    /// The class of an operator's pause.
    pub const OPERATOR: &'static str = "operator";

    /// Its class in metrics.
    pub fn class(self) -> &'static str {
        match self {
            Pause::Operator => Pause::OPERATOR,
            Pause::Api(reason) => reason.class.name(),
        }
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pause::Operator => write!(
                f,
                "paused for class operator: an operator paused this worker at the console, resume it there"
            ),
            Pause::Api(reason) => reason.fmt(f),
        }
    }
}

/// What makes no progress, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// Events are held; none was acknowledged, and no call has finished.
    Settling(Duration),
    /// The queue has messages for this worker, and none is delivered.
    Receiving(Duration),
    Connecting(Duration),
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, since) = match self {
            Stall::Settling(since) => ("events are held and none was acknowledged", since),
            Stall::Receiving(since) => ("the queue has messages and none was delivered", since),
            Stall::Connecting(since) => ("there was no broker session", since),
        };
        write!(f, "{what} for {} s", since.as_secs())
    }
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paused for class {}", self.class.name())?;
        match (self.code, self.http) {
            (Some(code), _) => write!(f, ", error code {code}")?,
            (None, Some(status)) => write!(f, ", HTTP status {status}")?,
            (None, None) => return write!(f, ": the API gave no usable answer"),
        }
        match self.meaning() {
            Some(meaning) => write!(f, ": {meaning}"),
            None => Ok(()),
        }
    }
}

/// State of the source, and of progress.
#[derive(Debug)]
pub(super) struct Condition {
    limit: Duration,
    /// The whole quota, and how many workers share it.
    quota: u32,
    share: u32,
    /// The last moment at which something showed progress, or the reason for the lack of it.
    sign: Instant,
    /// Since when the queue has had messages for this worker without delivering any.
    starving: Option<Instant>,
    /// Since when there is no session.
    connecting: Option<Instant>,
    /// When the broker failed in a session.
    broker_failed: Option<Instant>,
    /// Why the last session was lost, or the last attempt at one failed.
    unconnected: Option<String>,
    /// Deliveries are wanted.
    consuming: bool,
    /// A delivery came in this session: this worker is the active consumer.
    active: bool,
    /// Since when the worker consumes, or is on standby.
    ready: Instant,
    /// As the broker counted it last, in this session.
    queue: Option<QueueCount>,
    /// What was wrong with the latest call.
    trouble: Option<String>,
    /// Why the broker refused a dead letter last.
    refusal: Option<LetterRefusal>,
    /// The broker takes no messages because of an alarm.
    blocked: bool,
}

impl Condition {
    /// `limit` is how long events may be held without progress.
    pub(super) fn new(limit: Duration, quota: u32, now: Instant) -> Condition {
        Condition {
            limit,
            quota,
            share: 1,
            sign: now,
            starving: None,
            connecting: Some(now),
            broker_failed: None,
            unconnected: None,
            consuming: true,
            active: false,
            ready: now,
            queue: None,
            trouble: None,
            refusal: None,
            blocked: false,
        }
    }

    pub(super) fn opened(&mut self, now: Instant, share: u32) {
        self.connecting = None;
        self.ready = now;
        self.unconnected = None;
        self.share = share;
    }

    pub(super) fn not_opened(&mut self, reason: &Loss) {
        self.unconnected = Some(reason.to_string());
    }

    pub(super) fn lost(&mut self, now: Instant, reason: &Loss) {
        self.unconnected = Some(reason.to_string());
        if *reason == Loss::Ended(Cause::Internal) {
            self.broker_failed = Some(now);
        }
        self.connecting.get_or_insert(now);
        self.starving = None;
        self.active = false;
        self.queue = None;
        self.blocked = false;
    }

    pub(super) fn blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    pub(super) fn consume(&mut self, now: Instant, wanted: bool) {
        self.consuming = wanted;
        self.ready = now;
        self.starving = None;
        self.active = false;
    }

    pub(super) fn is_consuming(&self) -> bool {
        self.consuming
    }

    /// Notes a delivery; `idle` if no event was held before. Returns the time on standby before it, if any.
    pub(super) fn delivered(&mut self, idle: bool, now: Instant) -> Option<Duration> {
        let stood_by = self.stands_by().then(|| now - self.ready);
        self.starving = None;
        self.active = true;
        if idle {
            self.sign = now;
        }
        stood_by
    }

    /// Notes a count of the queue; `idle` if no event is held. Returns whether the number of workers that share the
    /// quota has changed.
    pub(super) fn counted(&mut self, queue: QueueCount, idle: bool, now: Instant) -> bool {
        let changed = std::mem::replace(&mut self.share, queue.share) != queue.share;
        self.queue = Some(queue);
        let starving = self.consuming && !self.stands_by() && queue.ready > 0 && idle;
        self.starving = starving.then(|| self.starving.unwrap_or(now));
        changed
    }

    /// An operator pauses or resumes. What was not received or done meanwhile is no stall.
    pub(super) fn operator(&mut self, now: Instant, pause: bool) {
        self.starving = None;
        self.sign = now;
        if !pause {
            self.ready = now;
        }
    }

    /// A call has ended; `trouble` says what was wrong with it.
    pub(super) fn call_over(&mut self, trouble: Option<String>) {
        self.trouble = trouble;
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn letter_refused(&mut self, reason: LetterRefusal) {
        self.refusal = Some(reason);
    }

    /// An event was acknowledged, a call has ended, or a pause has.
    pub(super) fn progress(&mut self, now: Instant) {
        self.sign = now;
    }

    pub(super) fn view(&self, now: Instant, engine: Status, held: InHand, recent: Recent) -> View {
        let in_hand = engine.unsettled_deliveries;
        let since_progress = match in_hand {
            0 => Duration::ZERO,
            _ => now.saturating_duration_since(self.sign),
        };
        let is_paused = engine.paused.is_some() || engine.operator_pause.is_some();
        let oldest = held.oldest.and_then(|time| time.elapsed().ok());
        View {
            state: self.state(&engine),
            state_for: self.state_for(&engine, now),
            unconnected: self.unconnected.clone(),
            stall: self.stall(in_hand, is_paused, now),
            oldest_event: oldest.unwrap_or_default(),
            highest_delivery_count: held.highest_delivery_count,
            since_progress,
            limit_calls_per_second: f64::from(self.quota) / f64::from(self.share.max(1)),
            queue: self.queue,
            trouble: self.trouble.clone(),
            hindrance: self.hindrance(&engine, now),
            recent,
            engine,
        }
    }

    /// What prevents events from being processed although there is a session and no pause.
    pub(super) fn hindrance(&self, engine: &Status, now: Instant) -> Option<String> {
        if self.broker_fails(now) {
            return Some(Cause::Internal.to_string());
        }
        if self.blocked {
            return Some("a memory or disk alarm of the broker: dead letters wait".to_owned());
        }
        let waits = engine.pending_ids > 0;
        if let Some(wait) = engine.told_to_wait.filter(|_| waits) {
            let left = wait.as_secs();
            return Some(format!(
                "an answer asked to wait: {left} s left (Retry-After)"
            ));
        }
        if let Some(since) = engine
            .without_lease
            .filter(|since| waits && *since >= UNLEASED)
        {
            let since = since.as_secs();
            return Some(format!(
                "no call may start for {since} s: the broker answers too late to show that no other worker has the queue; set a longer heartbeat in rabbitmq.url (?heartbeat=60)"
            ));
        }
        if let Some(since) = engine.nobody_cleared.filter(|_| waits) {
            let since = since.as_secs();
            return Some(format!(
                "no user was cleared for {since} s, and only calls for im.control_user succeed"
            ));
        }
        let letters = engine.refused_letters;
        let refusal = self.refusal.filter(|_| letters > 0);
        let failed = engine.failed_calls;
        let fails = failed >= FAILED_CALLS && engine.unsettled_deliveries > 0;
        match (refusal, &self.trouble) {
            (Some(why), _) => Some(format!(
                "the broker refuses dead letters, {letters} wait: {why}"
            )),
            (None, Some(why)) if fails => Some(format!("the last {failed} calls failed: {why}")),
            (None, None) if fails => Some(format!("the last {failed} calls failed")),
            _ => None,
        }
    }

    fn broker_fails(&self, now: Instant) -> bool {
        let failed_lately = |at| now < at + FAILED_LATELY;
        self.broker_failed.is_some_and(failed_lately)
    }

    fn state(&self, engine: &Status) -> State {
        match engine.paused {
            _ if engine.draining => State::Draining,
            _ if self.connecting.is_some() => State::Connecting,
            _ if engine.operator_pause.is_some() => State::Paused(Pause::Operator),
            Some(reason) => State::Paused(Pause::Api(reason)),
            None if self.stands_by() => State::Standby,
            None => State::Consuming,
        }
    }

    /// For how long this has been the state, as far as that is known: a drain has no time of its own.
    fn state_for(&self, engine: &Status, now: Instant) -> Duration {
        let since = self.connecting.unwrap_or(self.ready);
        let known = match self.state(engine) {
            State::Paused(Pause::Operator) => engine.operator_pause,
            State::Paused(Pause::Api(_)) => engine.paused_for,
            State::Connecting | State::Standby | State::Consuming | State::Draining => None,
        };
        known.unwrap_or(now.saturating_duration_since(since))
    }

    /// Whether another worker may be the active consumer.
    fn stands_by(&self) -> bool {
        self.share == 1 && !self.active
    }

    /// What has stalled at `now`. Without held events nothing can stall; in a pause the worker knows why it settles
    /// nothing.
    fn stall(&self, in_hand: usize, paused: bool, now: Instant) -> Option<Stall> {
        if let Some(connecting) = self.connecting {
            let since = now.saturating_duration_since(connecting);
            return (since >= CONNECTING_LIMIT).then_some(Stall::Connecting(since));
        }
        if paused {
            return None;
        }
        if let Some(starving) = self.starving {
            let since = now.saturating_duration_since(starving);
            return (since >= self.limit).then_some(Stall::Receiving(since));
        }
        let since = now.saturating_duration_since(self.sign);
        (in_hand > 0 && since >= self.limit).then_some(Stall::Settling(since))
    }
}
