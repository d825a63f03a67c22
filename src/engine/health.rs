//! What is known of the API's health: witnesses, the run of failures, and the pause.
//!
//! *Guilt needs a witness*: an answer that blames a user, or a window that fails again and again, is
//! only believed when another call succeeded between one failure and the start of the next. Without
//! such a witness it is not the data but the API or us, so the worker waits, or pauses and probes.

use std::fmt;
use std::time::{Duration, Instant};

use super::verdict::{Class, error_code};
use super::window::WindowId;

/// How long a success speaks for the API.
const WITNESS: Duration = Duration::from_secs(60);
/// So many calls in a row that fail, whatever their reasons, are taken for an outage.
const RUN_LIMIT: u32 = 16;
/// After this time a lone rejected user is believed to be guilty without a witness.
const LONE_AFTER: Duration = Duration::from_secs(5 * 60);
/// And this seldom.
const LONE_AGAIN: Duration = Duration::from_secs(5 * 60);
/// So many rejections of one user in a row are believed if all went well until it came.
const LONE_TIMES: u32 = 3;
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(60);

/// Why no calls are made but probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseReason {
    pub class: Class,
    /// The API's error code; none where there was no usable answer.
    pub code: Option<i64>,
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paused for class {}", self.class.name())?;
        let Some(code) = self.code else {
            return write!(f, ": the API gave no usable answer");
        };
        write!(f, ", error code {code}")?;
        match error_code(code) {
            Some(known) => write!(f, ": {}", known.meaning),
            None => Ok(()),
        }
    }
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

#[derive(Debug)]
pub(super) struct Health {
    lone_after: Duration,
    succeeded: Option<Instant>,
    /// Failed calls since the last success.
    run: u32,
    pause: Option<Pause>,
    /// When the UserSig was renewed, if no call succeeded since.
    renewed: Option<Instant>,
    last_lone: Option<Instant>,
}

impl Health {
    /// A delivery is held for `hold_limit` at most: what is not known of its users by then is never known.
    pub(super) fn new(hold_limit: Duration) -> Health {
        Health {
            lone_after: LONE_AFTER.min(hold_limit / 2),
            succeeded: None,
            run: 0,
            pause: None,
            renewed: None,
            last_lone: None,
        }
    }

    /// Whether some call succeeded within the last minute.
    pub(super) fn has_witness(&self, now: Instant) -> bool {
        self.succeeded.is_some_and(|at| now < at + WITNESS)
    }

    /// Whether some call succeeded since `moment`, and within the last minute.
    pub(super) fn has_witness_since(&self, moment: Instant, now: Instant) -> bool {
        self.has_witness(now) && self.succeeded.is_some_and(|at| at >= moment)
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

    /// Whether the newest failure is the only one since a call succeeded.
    pub(super) fn is_first_failure(&self) -> bool {
        self.run == 1
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

    /// Whether a single user that was rejected `times` times since `first` may be believed guilty at `now`
    /// though nobody else was called in between. It is after five minutes of this; or sooner, when all went
    /// well until this user came. One user in five minutes, so that even an API that rejects everybody
    /// costs next to nothing.
    pub(super) fn believes_lone(&self, first: Instant, times: u32, now: Instant) -> bool {
        let alone = self.has_witness(now) && times >= LONE_TIMES && self.run <= times;
        let allowed = self.last_lone.is_none_or(|last| now >= last + LONE_AGAIN);
        allowed && (alone || now >= first + self.lone_after)
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

#[cfg(test)]
mod tests {
    use super::*;

    const REASON: PauseReason = PauseReason {
        class: Class::Transient,
        code: None,
    };

    #[test]
    fn a_success_speaks_for_the_api_for_a_minute() {
        let now = Instant::now();
        let mut health = Health::new(LONE_AFTER * 2);
        assert!(!health.has_witness(now));
        health.succeeded(now);
        assert!(health.has_witness(now + Duration::from_secs(59)));
        assert!(!health.has_witness(now + WITNESS));
        assert!(
            !health.has_witness_since(now + Duration::from_secs(1), now + Duration::from_secs(2))
        );
    }

    #[test]
    fn probes_are_ever_further_apart_up_to_a_minute() {
        let mut now = Instant::now();
        let mut health = Health::new(LONE_AFTER * 2);
        assert!(health.pause(REASON, now));
        assert!(!health.pause(REASON, now), "a pause is told once");
        let mut waits = Vec::new();
        for number in 0..8 {
            let probe_at = health.paused().unwrap().probe_at;
            waits.push((probe_at - now).as_secs());
            now = probe_at;
            health.paused_mut().unwrap().probe = Some(WindowId(number));
            health.probe_over(WindowId(number), now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_run_of_failures_is_an_outage_and_a_success_ends_the_run() {
        let mut health = Health::new(LONE_AFTER * 2);
        assert!((1..RUN_LIMIT).all(|_| !health.failed()));
        health.works();
        assert!((1..RUN_LIMIT).all(|_| !health.failed()));
        assert!(health.failed());
    }

    #[test]
    fn a_user_sig_is_renewed_once_between_two_successes() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut health = Health::new(LONE_AFTER * 2);
        assert_eq!(health.may_renew(now, now), Renewal::Renew);
        assert_eq!(
            health.may_renew(now - Duration::from_millis(1), now),
            Renewal::Done
        );
        assert_eq!(health.may_renew(later, later), Renewal::Useless);
        health.works();
        assert_eq!(health.may_renew(later, later), Renewal::Renew);
    }
}
