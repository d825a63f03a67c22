//! Calls for the control user: whether the API takes calls at all.

use std::time::{Duration, Instant};

use super::codes::Class;
use super::suspects::{Record, Refusals, Suspect};
use crate::event::UserId;

/// At most one control call in this time, and in the time of so many calls at the current pace.
const APART: Duration = Duration::from_secs(1);
const SHARE: u32 = 5;

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

    /// The control user was refused. Judged like any other: true when it has turned out to be no measure.
    pub(super) fn refused(&mut self, class: Class, record: &Record, now: Instant) -> bool {
        let reject = class == Class::Reject;
        let refused = self.suspect.get_or_insert_with(|| Refused {
            suspect: record.suspect(now),
            last: now,
            times: Refusals::default(),
        });
        if record.witness(false) >= Some(refused.last) {
            refused.suspect.refusals.add(reject);
        }
        refused.last = now;
        refused.times.add(reject);
        let useless = record.condemns(&refused.suspect, reject, now);
        if useless {
            self.measure = Measure::None;
        }
        useless
    }
}
