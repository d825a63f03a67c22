//! The record of how the API treats others, and the verdict on a user that it refuses.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use super::pause::PauseReason;

/// How long a wrong refusal tells how the API is at this time; and for how long it is kept for those who were
/// suspected by then.
const LATELY: Duration = Duration::from_secs(5 * 60);
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Wrong refusals within this time are counted together, to keep few numbers.
const COUNTED_TOGETHER: Duration = Duration::from_secs(60);
/// A user is condemned when a good user would get so many refusals with a lower probability than this.
const BEYOND_DOUBT: f64 = 1e-9;

/// Refusals of the other classes, and of class reject. Each kind is judged for itself: that the API was out of
/// reach says nothing about how often it rejects an innocent user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Refusals([u32; 2]);

impl Refusals {
    pub(in super::super) fn add(&mut self, reject: bool) {
        self.0[usize::from(reject)] += 1;
    }

    pub(in super::super) fn of(self, reject: bool) -> u32 {
        self.0[usize::from(reject)]
    }
}

impl AddAssign for Refusals {
    fn add_assign(&mut self, more: Refusals) {
        for (count, more) in self.0.iter_mut().zip(more.0) {
            *count += more;
        }
    }
}

/// How often the API refuses good users.
#[derive(Debug, Default)]
pub(in super::super) struct Record {
    /// Calls that cleared somebody.
    pub through: Passed,
    /// Calls that found no such account: the API took them, but may not have looked far.
    pub found_nobody: Passed,
    /// Calls that cleared users of events: control calls are not among them.
    pub cleared: Passed,
    /// Refusals of users that succeeded afterwards, including the control user.
    wronged: VecDeque<(Instant, Refusals)>,
}

#[derive(Debug, Default)]
pub(in super::super) struct Passed {
    calls: u64,
    /// The latest start of such a call.
    pub latest: Option<Instant>,
}

impl Passed {
    pub(super) fn add(&mut self, started: Instant) {
        self.calls += 1;
        self.latest = self.latest.max(Some(started));
    }
}

/// A user that was refused alone.
#[derive(Clone, Debug)]
pub(in super::super) struct Suspect {
    /// Refusals that have a witness.
    pub refusals: Refusals,
    /// When it was refused alone for the first time.
    pub since: Instant,
    /// When it was last refused: the latest start of a call that had cleared users of events.
    others_cleared: Option<Instant>,
    /// Refusals for the same reason as the one before, with such a call started in between.
    apart: u32,
    why: Option<PauseReason>,
    /// The successes before the first refusal: they say nothing about now.
    through: u64,
    found_nobody: u64,
    cleared: u64,
}

impl Suspect {
    /// It was refused, once more or for the first time.
    pub(super) fn refused(&mut self, why: PauseReason, record: &Record) {
        let cleared = record.cleared.latest;
        match self.why.replace(why) == Some(why) {
            true => self.apart += u32::from(cleared > self.others_cleared),
            false => self.apart = 0,
        }
        self.others_cleared = cleared;
    }
}

impl Record {
    /// Records refusals that have turned out to be wrong.
    pub(super) fn wronged(&mut self, refusals: Refusals, now: Instant) {
        if refusals == Refusals::default() {
            return;
        }
        while let Some((at, _)) = self.wronged.front()
            && *at + KEPT < now
        {
            self.wronged.pop_front();
        }
        match self.wronged.back_mut() {
            Some((at, count)) if now < *at + COUNTED_TOGETHER => *count += refusals,
            _ => self.wronged.push_back((now, refusals)),
        }
    }

    /// The latest start of a call that is a witness against refusals of class reject, or of the other classes.
    /// "No such account" speaks only for the former: a store that fails for all real accounts must not condemn
    /// them.
    pub(in super::super) fn witness(&self, reject: bool) -> Option<Instant> {
        let nobody = self.found_nobody.latest.filter(|_| reject);
        self.through.latest.max(nobody)
    }

    /// A user is refused alone for the first time.
    pub(super) fn suspect(&self, now: Instant) -> Suspect {
        Suspect {
            refusals: Refusals::default(),
            since: now,
            others_cleared: self.cleared.latest,
            apart: 0,
            why: None,
            through: self.through.calls,
            found_nobody: self.found_nobody.calls,
            cleared: self.cleared.calls,
        }
    }

    /// Whether the probability that a good user gets this many refusals of a kind is below one in a billion.
    pub(super) fn condemns(&self, suspect: &Suspect, reject: bool, now: Instant) -> bool {
        let nobody = match reject {
            true => self.found_nobody.calls - suspect.found_nobody,
            false => 0,
        };
        let through = self.through.calls - suspect.through + nobody;
        let wronged = self.wronged_since(suspect, reject, now);
        is_beyond_doubt(suspect.refusals.of(reject), wronged, through)
    }

    /// The same, but only calls that cleared users of events count as successes.
    pub(super) fn tells_apart(&self, suspect: &Suspect, now: Instant) -> bool {
        let cleared = self.cleared.calls - suspect.cleared;
        let wronged = self.wronged_since(suspect, false, now);
        is_beyond_doubt(suspect.apart, wronged, cleared)
    }

    fn wronged_since(&self, suspect: &Suspect, reject: bool, now: Instant) -> u32 {
        let counts = |at: Instant| at >= suspect.since || now <= at + LATELY;
        let wronged = self
            .wronged
            .iter()
            .filter(|(at, _)| counts(*at + COUNTED_TOGETHER));
        wronged.map(|(_, refusals)| refusals.of(reject)).sum()
    }
}

fn is_beyond_doubt(refusals: u32, wronged: u32, through: u64) -> bool {
    let chance = f64::from(wronged + 1) / (through as f64 + f64::from(wronged) + 2.0);
    f64::from(refusals) * chance.ln() < BEYOND_DOUBT.ln()
}
