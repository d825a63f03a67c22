//! Control calls: they show whether the API accepts calls at all.

use std::time::{Duration, Instant};

use super::codes::Class;
use super::pause::PauseReason;
use super::suspects::{Record, Refusals, Suspect};
use crate::event::UserId;

/// Minimum time between control calls; also at most one in the time of this many calls at the current pace.
const APART: Duration = Duration::from_secs(1);
const SHARE: u32 = 5;
/// So many decoys, in turn, come between a control call and the suspect's.
const DECOYS: [u32; 3] = [0, 1, 2];
/// Refusals in a row, while others succeeded, after which the cause may be the control user itself, so they start
/// a pause only after `RUN_LIMIT` failed calls in a row.
const CONTRADICTED: u32 = 2;

/// How often a control user that proves nothing is tried all the same, in a pause.
const USELESS: Duration = Duration::from_secs(10 * 60);

#[derive(Debug)]
pub(in super::super) struct Control {
    pub user: UserId,
    /// Whether a control call is in flight.
    pub is_out: bool,
    /// When the next one may start.
    next: Option<Instant>,
    /// Calls that come before the next one of a suspect. In a quiet queue control calls and a suspect take turns; where
    /// the front ends of the API do so too, he would meet the same one each time.
    decoys: u32,
    is_decoy: bool,
    passes: usize,
    pub measure: Measure,
    /// Since when control calls prove nothing, or when one was made all the same.
    useless: Option<Instant>,
    /// The refusals of the control user itself: the API may refuse this ID permanently.
    suspect: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    suspect: Suspect,
    last: Instant,
    times: Refusals,
    /// By the API itself, with a code.
    by_code: bool,
}

/// What a control call can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Measure {
    /// Not known yet: none has succeeded.
    Unknown,
    /// That the API works.
    Whole,
    /// That the API accepts calls, and does not know this account.
    Door,
    /// Nothing: the API refuses the control user but accepts others.
    None,
}

impl Measure {
    /// Whether a control call can be a witness against refusals of class reject, or of the other classes.
    pub(in super::super) fn tells(self, reject: bool) -> bool {
        match self {
            Measure::Unknown | Measure::Whole => true,
            Measure::Door => reject,
            Measure::None => false,
        }
    }
}

impl Control {
    pub(super) fn new(user: UserId) -> Control {
        Control {
            user,
            is_out: false,
            next: None,
            decoys: 0,
            is_decoy: false,
            passes: 0,
            measure: Measure::Unknown,
            useless: None,
            suspect: None,
        }
    }

    /// When a control call may start. None while one is in flight.
    pub(in super::super) fn next(&self, now: Instant) -> Option<Instant> {
        let useful = self.useless.map(|since| since + USELESS);
        let next = self.next.max(useful).max(Some(now));
        next.filter(|_| !self.is_out)
    }

    /// A control call starts, at a pace of one call in such a `gap`.
    pub(in super::super) fn call(&mut self, gap: Duration, is_decoy: bool, now: Instant) {
        self.next = Some(now + APART.max(gap * SHARE));
        self.is_out = true;
        self.useless = self.useless.map(|_| now);
        self.is_decoy = is_decoy;
        self.decoys = self.decoys.saturating_sub(1);
    }

    pub(in super::super) fn wants_decoy(&self) -> bool {
        self.decoys > 0 && self.proves()
    }

    /// The call has finished. Whether it counts: what a decoy is refused does not.
    pub(super) fn answered(&mut self, is_let_in: bool) -> bool {
        self.is_out = false;
        if is_let_in && !self.is_decoy {
            self.decoys = DECOYS[self.passes % DECOYS.len()];
            self.passes += 1;
        }
        is_let_in || !self.is_decoy
    }

    /// A control call succeeded. Returns its earlier refusals.
    pub(super) fn passed(&mut self, measure: Measure) -> Refusals {
        self.measure = measure;
        self.useless = None;
        let refused = self.suspect.take();
        refused.map(|refused| refused.times).unwrap_or_default()
    }

    /// Whether control calls show anything.
    pub(in super::super) fn proves(&self) -> bool {
        self.measure != Measure::None
    }

    /// Whether a control call can be a witness against such refusals.
    pub(in super::super) fn tells(&self, reject: bool) -> bool {
        self.measure.tells(reject) && !self.is_contradicted()
    }

    /// Whether the latest control call was refused.
    pub(in super::super) fn is_refused(&self) -> bool {
        self.suspect.is_some()
    }

    /// Whether the API itself has refused a control call since the last success.
    pub(in super::super) fn was_refused_by_code(&self) -> bool {
        self.suspect.as_ref().is_some_and(|refused| refused.by_code)
    }

    /// Whether other calls succeeded repeatedly while control calls did not.
    pub(super) fn is_contradicted(&self) -> bool {
        let refused = self
            .suspect
            .as_ref()
            .map(|refused| refused.suspect.refusals);
        refused.is_some_and(|times| times.of(true) + times.of(false) >= CONTRADICTED)
    }

    /// A control call was refused. It is judged like any other user: true if control calls prove nothing from now on.
    pub(super) fn refused(&mut self, why: PauseReason, record: &Record, now: Instant) -> bool {
        let reject = why.class == Class::Reject;
        let refused = self.suspect.get_or_insert_with(|| Refused {
            suspect: record.suspect(now),
            last: now,
            times: Refusals::default(),
            by_code: false,
        });
        if record.witness(false) >= Some(refused.last) {
            refused.suspect.refusals.add(reject);
        }
        refused.last = now;
        refused.times.add(reject);
        refused.by_code |= why.code.is_some();
        let useless = record.condemns(&refused.suspect, reject, now);
        if useless {
            self.measure = Measure::None;
        }
        useless && self.useless.replace(now).is_none()
    }
}
