//! What is known of the API's health: witnesses, the run of failures, and the pause.
//!
//! *Guilt needs a witness*: an answer that blames a user, or a window that fails again and again, is
//! only believed while other calls succeed. Without a witness it is not the data but the API or us,
//! so the worker pauses and probes.

use std::time::{Duration, Instant};

use super::verdict::Class;
use super::window::WindowId;

/// How long a success speaks for the API.
const WITNESS: Duration = Duration::from_secs(60);
/// So many calls in a row that fail, whatever their reasons, are taken for an outage.
const RUN_LIMIT: u32 = 16;
/// After this time, and this seldom, a lone rejected user is believed to be guilty without a witness.
const LONE_AFTER: Duration = Duration::from_secs(5 * 60);
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(60);

/// Why no calls are made but probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseReason {
    pub class: Class,
    /// The API's error code; none where there was no usable answer.
    pub code: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Pause {
    pub reason: PauseReason,
    pub since: Instant,
    /// When the next probe may start.
    pub probe_at: Instant,
    pub probe: Option<WindowId>,
    /// Probes take turns between new windows and those that were called before.
    pub fresh_turn: bool,
    wait: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Health {
    succeeded: Option<Instant>,
    /// Failed calls since the last success.
    run: u32,
    pause: Option<Pause>,
    /// When the UserSig was renewed, if no call succeeded since.
    renewed: Option<Instant>,
    last_lone: Option<Instant>,
}

impl Health {
    /// Whether some call succeeded within the last minute.
    pub(super) fn has_witness(&self, now: Instant) -> bool {
        self.succeeded.is_some_and(|at| now < at + WITNESS)
    }

    /// A call succeeded: a witness for the minute to come.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.succeeded = Some(now);
    }

    /// The API works, whatever it said of this user. Ends the pause; returns it.
    pub(super) fn works(&mut self) -> Option<Pause> {
        self.run = 0;
        self.renewed = None;
        self.pause.take()
    }

    /// One more failed call. True when that makes an outage.
    pub(super) fn failed(&mut self) -> bool {
        self.run += 1;
        self.run >= RUN_LIMIT
    }

    /// Pauses, or names the newest reason of a pause. True when the pause is new.
    pub(super) fn pause(&mut self, reason: PauseReason, now: Instant) -> bool {
        match &mut self.pause {
            Some(pause) => {
                pause.reason = reason;
                false
            }
            None => {
                let probe_at = now + PROBE_MIN;
                self.pause = Some(Pause {
                    reason,
                    since: now,
                    probe_at,
                    probe: None,
                    fresh_turn: false,
                    wait: PROBE_MIN,
                });
                true
            }
        }
    }

    /// The call is over; if it was the probe, the next one waits twice as long.
    pub(super) fn probe_over(&mut self, window: WindowId, now: Instant) {
        if let Some(pause) = self
            .pause
            .as_mut()
            .filter(|pause| pause.probe == Some(window))
        {
            pause.probe = None;
            pause.wait = (pause.wait * 2).min(PROBE_MAX);
            pause.probe_at = now + pause.wait;
        }
    }

    pub(super) fn paused(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    pub(super) fn paused_mut(&mut self) -> Option<&mut Pause> {
        self.pause.as_mut()
    }

    /// Whether a new UserSig may help a call that started at `called` and was refused for its UserSig.
    pub(super) fn may_renew(&mut self, called: Instant, now: Instant) -> Renewal {
        match self.renewed {
            None => {
                self.renewed = Some(now);
                Renewal::Renew
            }
            Some(renewed) if called < renewed => Renewal::Done,
            Some(_) => Renewal::Useless,
        }
    }

    /// Whether a single user, rejected since `first` with no witness, may be believed guilty at `now`:
    /// one user in five minutes, so that even an API that rejects everything costs next to nothing.
    pub(super) fn believes_lone(&self, first: Instant, now: Instant) -> bool {
        now >= first + LONE_AFTER && self.last_lone.is_none_or(|last| now >= last + LONE_AFTER)
    }

    /// A lone user was believed guilty.
    pub(super) fn convicted_lone(&mut self, now: Instant) {
        self.last_lone = Some(now);
    }
}

/// What a refused UserSig asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// Make a new one and call again.
    Renew,
    /// The call was made with the old one: just call again.
    Done,
    /// The new one was refused too.
    Useless,
}
