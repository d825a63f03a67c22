//! Returns unfinished deliveries to the broker.
//!
//! A delivery is returned when it was held for the hold limit. A pause that outlasts that returns everything once,
//! and consuming stops until it is over: so even a long outage costs each event one return.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::judge::Measure;
use super::ledger::HandedBack;
use super::pending::Claim;
use super::remembered::Rest;
use super::{Action, Delivery, Ending, Engine, Notice};
use crate::event::UserId;

/// Deliveries that are held for probes where control calls are not enough, for each hold limit that has passed.
const PROBES_HELD: usize = 8;
/// While no control call has ever succeeded, control calls alone probe for so many hold limits.
const TRUSTED: u32 = 6;
/// If one has, they are trusted for longer: real users are probed only at intervals that double, so that an
/// outage of a week costs few returns.
fn is_seldom(holds: u32) -> bool {
    holds > TRUSTED && holds.is_power_of_two()
}
/// From such a quota on, a call of each worker at a moment at which nobody consumes the queue cannot break it.
const APART_QUOTA: u32 = 10;

/// Events stay with the broker until a pause is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspension {
    pub since: Instant,
    /// Number of deliveries that are still held, for probes or to keep the queue.
    pub held: usize,
}

impl Engine {
    /// Begins and ends a suspension. Where control calls do not show whether the API works, or cannot be told
    /// from those of another worker, some deliveries are held for probes.
    pub(super) fn consume(&mut self, now: Instant) -> Option<Action> {
        if self.draining {
            return None;
        }
        let begins = |from: Instant| self.suspension.is_some() || from <= now;
        let wanted = self.suspended_from().filter(|from| begins(*from));
        let held = wanted.map(|_| self.wanted_held(now));
        if held == self.suspension.map(|suspension| suspension.held) {
            return None;
        }
        if self.suspension.is_none() {
            let returned = self.ledger.unsettled();
            let by_operator = self.operator_pause.is_some();
            self.tell(Notice::Suspended {
                returned,
                by_operator,
            });
        }
        let since = self.suspension.map_or(now, |suspension| suspension.since);
        self.suspension = held.map(|held| Suspension { since, held });
        // What the consumer before had comes again to the next one, ours or another's.
        self.returned = now.checked_sub(Duration::from_nanos(1));
        // Another worker may have the queue until something is delivered again.
        self.ours = false;
        let prefetch = held.unwrap_or(self.settings.prefetch);
        Some(Action::Consume { prefetch })
    }

    /// How many deliveries are held while consuming is suspended.
    fn wanted_held(&self, now: Instant) -> usize {
        match self.operator_pause {
            Some(_) => self.held_in_operator_pause(),
            None => self.wanted_for_probes(now),
        }
    }

    /// How many deliveries are held for probes: more each time, as those that are held may all be of bad users,
    /// and come first again when they went back.
    fn wanted_for_probes(&self, now: Instant) -> usize {
        let holds = self.suspended_for(now);
        let control = &self.judge.control;
        let times = match control.measure {
            _ if self.settings.calls_per_second < APART_QUOTA => holds + 1,
            Measure::None => holds + 1,
            Measure::Door if !control.is_refused() => holds + 1,
            // What is out of reach, is so for all. Should the API refuse it for good, only real users show that.
            _ if !control.was_refused_by_code() => 0,
            Measure::Unknown => (holds + 1).saturating_sub(TRUSTED),
            Measure::Whole | Measure::Door if is_seldom(holds) => holds,
            Measure::Whole | Measure::Door => 0,
        };
        let most = self.settings.prefetch;
        (times as usize).saturating_mul(PROBES_HELD).min(most)
    }

    /// Number of hold limits for which (almost) nothing is consumed.
    fn suspended_for(&self, now: Instant) -> u32 {
        let since = self.suspension.map_or(now, |suspension| suspension.since);
        let holds = (now - since).as_nanos() / self.settings.hold_limit.as_nanos();
        u32::try_from(holds).unwrap_or(u32::MAX - 1)
    }

    /// When [`consume`](Engine::consume) has something to do.
    pub(super) fn next_consume(&self, now: Instant) -> Option<Instant> {
        match self.suspension {
            _ if self.draining => None,
            None => self.suspended_from(),
            Some(Suspension { since, .. }) => {
                Some(since + self.settings.hold_limit * (self.suspended_for(now) + 1))
            }
        }
    }

    /// When the pause outlasts the hold limit: at the latest, or when the first delivery has been held for so
    /// long and half of it passed in the pause.
    fn suspended_from(&self) -> Option<Instant> {
        if let Some(since) = self.operator_pause {
            return self.suspended_from_operator_pause(since);
        }
        let pause = self.judge.pauses.current.as_ref()?;
        let limit = self.settings.hold_limit;
        let held = self.ledger.next_held();
        let held = held.map_or(pause.since + limit, |held| {
            held.max(pause.since + limit / 2)
        });
        Some(held.min(pause.since + limit))
    }

    /// Returns what was held for the whole hold limit, or dead-letters it if the broker might drop it. Its finished
    /// users are remembered, so that they are not called again.
    pub(super) fn hand_back(&mut self, now: Instant) -> Option<Delivery> {
        let latest = match self.suspension {
            Some(Suspension { held: 0, .. }) => Some(now),
            _ => self.returned.max(now.checked_sub(self.settings.hold_limit)),
        };
        let (delivery, partly_done) = loop {
            match self.ledger.hand_back(latest?)? {
                HandedBack::Returned(delivery, partly_done) => break (delivery, partly_done),
                HandedBack::Stays(delivery) => self.give_up(now, delivery),
            }
        };
        if let Some((event, failures)) = partly_done {
            let users = self.users_of(delivery);
            self.unfinished.insert(event, Rest { users, failures });
        }
        self.forget(|window| window.suspect.is_some() && window.is_for(delivery));
        self.tally.count(Ending::Returned);
        self.letters.forget(delivery);
        Some(delivery)
    }

    /// The users of all events in hand.
    pub(super) fn claims(&self) -> impl Iterator<Item = &Claim> {
        let in_windows = self.windows.all().flat_map(|window| &window.claims);
        self.pending.claims().chain(in_windows)
    }

    /// The users that a delivery still waits for.
    pub(super) fn users_of(&self, delivery: Delivery) -> HashSet<UserId> {
        self.claims()
            .filter(|claim| claim.waiters.contains(&delivery))
            .map(|claim| claim.user)
            .collect()
    }
}
