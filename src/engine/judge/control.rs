//! Calls for the control user: whether the API takes calls at all.

use std::time::{Duration, Instant};

use super::codes::Class;
use super::pause::PauseReason;
use super::suspects::{Record, Refusals, Suspect};
use crate::event::UserId;

/// At most one control call in this time, and in the time of so many calls at the current pace.
const APART: Duration = Duration::from_secs(1);
const SHARE: u32 = 5;
/// After so many refusals in a row that others went through, it may be the control user's own, and starts no
/// pause any more.
const CONTRADICTED: u32 = 2;

#[derive(Debug)]
pub(in super::super) struct Control {
    pub user: UserId,
    /// Whether a control call is out.
    pub is_out: bool,
    /// When the next one may start.
    next: Option<Instant>,
    pub measure: Measure,
    /// What is held against the control user itself: the API may refuse this name for good.
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
    /// Not known yet: none has gone through.
    Unknown,
    /// That the API works.
    Whole,
    /// That it takes calls, and does not know this account.
    Door,
    /// Nothing: it refuses the control user and takes others.
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
            measure: Measure::Unknown,
            suspect: None,
        }
    }

    /// When a control call may start. None while one is out, or where it would show nothing.
    pub(in super::super) fn next(&self, now: Instant) -> Option<Instant> {
        let usable = !self.is_out && self.measure != Measure::None;
        usable.then(|| self.next.map_or(now, |next| next.max(now)))
    }

    /// A control call starts, at a pace of one call in such a `gap`.
    pub(in super::super) fn call(&mut self, gap: Duration, now: Instant) {
        self.next = Some(now + APART.max(gap * SHARE));
        self.is_out = true;
    }

    /// The control user went through. Returns how it was refused before.
    pub(super) fn passed(&mut self, measure: Measure) -> Refusals {
        self.measure = measure;
        let refused = self.suspect.take();
        refused.map(|refused| refused.times).unwrap_or_default()
    }

    /// Whether a witness against such refusals can be had from it.
    pub(in super::super) fn tells(&self, reject: bool) -> bool {
        self.measure.tells(reject) && !self.is_contradicted()
    }

    /// Whether it was refused, and has not gone through since.
    pub(in super::super) fn is_refused(&self) -> bool {
        self.suspect.is_some()
    }

    /// Whether the API itself has refused it since it last went through.
    pub(in super::super) fn was_refused_by_code(&self) -> bool {
        self.suspect.as_ref().is_some_and(|refused| refused.by_code)
    }

    /// Whether others went through time and again while the control user did not.
    pub(super) fn is_contradicted(&self) -> bool {
        let refused = self
            .suspect
            .as_ref()
            .map(|refused| refused.suspect.refusals);
        refused.is_some_and(|times| times.of(true) + times.of(false) >= CONTRADICTED)
    }

    /// The control user was refused. Judged like any other: true when it has turned out to be no measure.
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
        useless
    }
}
