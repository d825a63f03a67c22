//! Is it the user or the API? Three ideas answer it, without special cases:
//!
//! - *Witness.* A refusal counts only if another call that started after it succeeded. If no ordinary call does, a [`control`] call is made: the same interface, for a user ID that belongs to nobody. If that is refused too, the API is at fault, not the user: [`pause`].
//! - *Record.* How often does the API refuse good users?
//! - *Verdict.* Who stands alone and was refused so often that an innocent user would meet that less than once
//!   in a billion times is dead-lettered. Both in [`suspects`].
//!
//! Where only the control user speaks against many users, verdicts wait: [`crowd`]. [`codes`] says which class a code has,
//! [`classes`] what follows from each class, and [`answers`] reads an answer, so that a code means the same for a whole
//! call and for one user of an `ErrorList`.

mod answers;
mod classes;
mod codes;
mod control;
mod crowd;
mod http;
mod pause;
mod suspects;

use std::collections::HashMap;
use std::time::{Duration, Instant};

pub use codes::{Class, ErrorCode, class, error_code, error_codes};
use control::Control;
pub(super) use control::Measure;
use crowd::Crowd;
pub use http::{HttpStatus, http_status};
pub use pause::PauseReason;
use pause::Pauses;
use suspects::Record;
pub(super) use suspects::{Refusals, Suspect};

use crate::event::UserId;

/// Failed calls in a row, for any reason, after which a control call checks for an outage.
const RUN_LIMIT: u32 = 16;
/// In doubt no other call is made until the control call is over, unless one worked this short a time ago, or in the
/// time of so few calls, or control calls prove nothing.
const FRESH: Duration = Duration::from_secs(2);
const FRESH_CALLS: u32 = 10;
/// Where a call worked within this time, neither an answer that asks for time nor one of class config closes the API.
const LATELY: Duration = Duration::from_secs(10);
/// Minimum time between two renewals of the UserSig because of refusals.
const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// Maximum number of remembered suspects whose deliveries went back to the broker.
const MOST_AWAY: usize = 10_000;

#[derive(Debug)]
pub(super) struct Judge {
    pub record: Record,
    pub control: Control,
    pub pauses: Pauses,
    /// Failed calls since the last success, and why the latest failed.
    pub run: u32,
    latest: PauseReason,
    /// When a call last showed that the API works.
    worked: Option<Instant>,
    /// A call was refused with class config or auth-refresh, throttled again, or told to wait when none had worked lately.
    doubt: bool,
    renewed: Option<Instant>,
    pub crowd: Crowd,
    /// Suspects whose deliveries went back to the broker: when redelivered, they are called alone, and keep their
    /// refusals.
    away: HashMap<UserId, Suspect>,
}

impl Judge {
    pub(super) fn new(control_user: UserId) -> Judge {
        Judge {
            record: Record::default(),
            control: Control::new(control_user),
            pauses: Pauses::default(),
            run: 0,
            latest: PauseReason::NO_ANSWER,
            worked: None,
            doubt: false,
            renewed: None,
            crowd: Crowd::default(),
            away: HashMap::new(),
        }
    }

    /// Whether a call was refused that only a control call can explain.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt || self.run >= RUN_LIMIT
    }

    /// Whether ordinary calls wait for the control call, at a pace of one call in such a `gap`.
    pub(super) fn holds_calls(&self, gap: Duration, now: Instant) -> bool {
        let fresh = FRESH.max(gap * FRESH_CALLS);
        self.is_in_doubt()
            && self.control.proves()
            && self.worked.is_none_or(|worked| now > worked + fresh)
    }

    /// Lets a control call explain a refusal; in a pause the probes do.
    fn ask(&mut self) {
        self.doubt |= self.pauses.current.is_none();
    }

    fn worked_lately(&self, now: Instant) -> bool {
        self.worked.is_some_and(|worked| now < worked + LATELY)
    }

    /// The refusals of a user that is delivered again.
    pub(super) fn recall(&mut self, user: &UserId) -> Option<Suspect> {
        // Nearly always empty, and a hash has its price.
        if self.away.is_empty() {
            return None;
        }
        self.away.remove(user)
    }

    /// The user's delivery went back to the broker. If several do, what is known for longest counts.
    pub(super) fn remember(&mut self, user: UserId, suspect: Suspect) {
        if self.away.len() >= MOST_AWAY {
            self.away.clear();
        }
        let known = self.away.entry(user).or_insert_with(|| suspect.clone());
        if suspect.since < known.since {
            *known = suspect;
        }
    }

    /// A control call succeeded: earlier refusals of the control user were wrong.
    fn control_passed(&mut self, measure: Measure, now: Instant) {
        let refused = self.control.passed(measure);
        self.record.wronged(refused, now);
    }

    /// A call that started at `started` cleared a user of an event.
    fn cleared(&mut self, started: Instant) {
        self.record.cleared.add(started);
        self.crowd.since = None;
    }

    fn works(&mut self, now: Instant) {
        self.run = 0;
        self.doubt = false;
        self.worked = Some(now);
    }
}
