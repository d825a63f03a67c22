//! What the worker is doing, and whether it gets on.
//!
//! A process that runs proves nothing: a worker that holds events and settles none is as dead as one that
//! has ended, and restarting it is the mend. But restarting mends no outage and no wrong key, so whatever
//! explains itself is no stall. It has no clock of its own.

use std::fmt;
use std::time::{Duration, Instant};

use crate::engine::PauseReason;

/// So long a worker may look for its broker before a restart is worth a try: it costs nothing then, and
/// begins with new name lookups and certificates.
const CONNECTING_LIMIT: Duration = Duration::from_secs(30 * 60);

/// What the worker is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// No broker session.
    Connecting,
    /// The broker has given nothing yet in this session: the queue is empty, or another worker has it. Which
    /// of the two, AMQP does not tell.
    Standby,
    Consuming,
    /// No calls but probes.
    Paused(PauseReason),
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

/// What does not get on, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// Events are in hand; none was acknowledged, and no call failed that would explain it.
    Settling(Duration),
    /// The queue holds messages for this worker, and none arrives.
    Receiving(Duration),
    Connecting(Duration),
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, since) = match self {
            Stall::Settling(since) => ("events are in hand and nothing was acknowledged", since),
            Stall::Receiving(since) => ("the queue holds messages and none arrived", since),
            Stall::Connecting(since) => ("there was no broker session", since),
        };
        write!(f, "{what} for {} s", since.as_secs())
    }
}

/// Watches for a stall.
#[derive(Debug)]
pub(super) struct Progress {
    limit: Duration,
    /// The last moment at which something showed that what is in hand gets on, or why it does not.
    sign: Instant,
    /// Since when the queue holds messages for us that do not arrive.
    starving: Option<Instant>,
    /// Since when there is no session.
    connecting: Option<Instant>,
}

impl Progress {
    /// `limit` is how long events may be in hand without a sign.
    pub(super) fn new(limit: Duration, now: Instant) -> Progress {
        Progress {
            limit,
            sign: now,
            starving: None,
            connecting: Some(now),
        }
    }

    pub(super) fn opened(&mut self) {
        self.connecting = None;
    }

    pub(super) fn lost(&mut self, now: Instant) {
        self.connecting.get_or_insert(now);
        self.starving = None;
    }

    /// A delivery came; `first` when nothing was in hand before.
    pub(super) fn delivered(&mut self, first: bool, now: Instant) {
        self.starving = None;
        if first {
            self.sign = now;
        }
    }

    /// The broker has counted; `starving` when it has messages for us while nothing is in hand.
    pub(super) fn counted(&mut self, starving: bool, now: Instant) {
        self.starving = starving.then(|| self.starving.unwrap_or(now));
    }

    /// An event was acknowledged, a call failed, or a pause has ended.
    pub(super) fn sign(&mut self, now: Instant) {
        self.sign = now;
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.connecting.is_some()
    }

    pub(super) fn last_sign(&self) -> Instant {
        self.sign
    }

    /// What does not get on at `now`. Where nothing is in hand, nothing can be settled; `paused` says that
    /// the worker knows why it settles nothing.
    pub(super) fn stall(&self, in_hand: usize, paused: bool, now: Instant) -> Option<Stall> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(300);
    const HOUR: Duration = Duration::from_secs(3_600);

    /// Connected, at a moment.
    fn progress() -> (Progress, Instant) {
        let now = Instant::now();
        let mut progress = Progress::new(LIMIT, now);
        progress.opened();
        (progress, now)
    }

    #[test]
    fn an_idle_hour_is_no_stall() {
        let (mut progress, now) = progress();
        for second in 0..3_600 {
            let now = now + Duration::from_secs(second);
            progress.counted(false, now);
            assert_eq!(progress.stall(0, false, now), None);
        }
        // And the first event after it has all its time.
        progress.delivered(true, now + HOUR);
        assert_eq!(progress.stall(1, false, now + HOUR), None);
        assert_eq!(
            progress.stall(1, false, now + HOUR + LIMIT),
            Some(Stall::Settling(LIMIT))
        );
    }

    #[test]
    fn events_in_hand_without_a_sign_are_a_stall_and_more_deliveries_are_no_sign() {
        let (mut progress, now) = progress();
        progress.delivered(true, now);
        progress.delivered(false, now + LIMIT / 2);
        assert_eq!(progress.stall(2, false, now + LIMIT / 2), None);
        assert_eq!(
            progress.stall(2, false, now + LIMIT),
            Some(Stall::Settling(LIMIT))
        );
        progress.sign(now + LIMIT);
        assert_eq!(progress.stall(1, false, now + LIMIT), None);
    }

    #[test]
    fn a_pause_is_no_stall_however_long_and_its_end_gives_new_time() {
        let (mut progress, now) = progress();
        progress.delivered(true, now);
        assert_eq!(progress.stall(1, true, now + 24 * HOUR), None);
        progress.sign(now + 24 * HOUR);
        assert_eq!(progress.stall(1, false, now + 24 * HOUR), None);
    }

    #[test]
    fn messages_that_wait_for_us_and_do_not_come_are_a_stall() {
        let (mut progress, now) = progress();
        progress.counted(true, now);
        progress.counted(true, now + LIMIT);
        let stall = progress.stall(0, false, now + LIMIT);
        assert_eq!(stall, Some(Stall::Receiving(LIMIT)));
        progress.delivered(true, now + LIMIT);
        assert_eq!(progress.stall(1, false, now + LIMIT), None);
    }

    #[test]
    fn looking_for_the_broker_is_no_stall_within_its_bound() {
        let (mut progress, now) = progress();
        progress.delivered(true, now);
        progress.lost(now);
        progress.lost(now + LIMIT);
        assert_eq!(progress.stall(0, false, now + 2 * LIMIT), None);
        let stall = progress.stall(0, false, now + CONNECTING_LIMIT);
        assert_eq!(stall, Some(Stall::Connecting(CONNECTING_LIMIT)));
        progress.opened();
        assert_eq!(progress.stall(0, false, now + CONNECTING_LIMIT), None);
    }
}
