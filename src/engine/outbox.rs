//! Unconfirmed dead letters: each is published until the broker has confirmed it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::ledger::Failure;
use super::{Delivery, Reason};
use crate::event::UserId;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Number of refused letters after which intake stops: a single refused message must not stop the queue.
const STUCK: usize = 8;

/// Maximum number of users in a letter. They are in one header, and all headers must fit into a frame.
const MAX_USERS: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId(pub u64);

/// A dead letter to publish: the delivery's original body with these facts in its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub id: LetterId,
    pub delivery: Delivery,
    pub reason: Reason,
    pub code: Option<i64>,
    /// The HTTP status, if something other than the API answered.
    pub http: Option<u16>,
    /// The users that failed for this reason; empty where no ID could be read.
    pub users: Vec<UserId>,
    /// Number of invalid or absent IDs, if that is the reason.
    pub invalid: u32,
    /// Calls made for the user that was tried most.
    pub attempts: u32,
    /// When the delivery arrived.
    pub first_seen: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Letters {
    /// To be sent at that moment: at once, or again after the broker has refused it.
    due: BTreeSet<(Instant, LetterId)>,
    /// Every letter that is not confirmed, with the number of its refusals.
    open: HashMap<LetterId, (Letter, u32)>,
    next: u64,
}

impl Letters {
    /// Writes the letters of one delivery, one for each reason and code (and some hundred users),
    /// so that each says exactly what is wrong with whom. Returns how many.
    pub(super) fn write(
        &mut self,
        delivery: Delivery,
        failures: Vec<Failure>,
        first_seen: Instant,
        now: Instant,
    ) -> u32 {
        let mut letters: Vec<Letter> = Vec::new();
        for failure in failures {
            let Failure {
                reason, code, http, ..
            } = failure;
            let is_same = |letter: &&mut Letter| {
                (letter.reason, letter.code, letter.http) == (reason, code, http)
                    && letter.users.len() < MAX_USERS
            };
            let same = letters.iter_mut().find(is_same);
            if let Some(letter) = same {
                letter.users.extend(failure.user);
                letter.invalid += failure.invalid;
                letter.attempts = letter.attempts.max(failure.attempts);
                continue;
            }
            self.next += 1;
            letters.push(Letter {
                id: LetterId(self.next),
                delivery,
                reason,
                code,
                http,
                users: failure.user.into_iter().collect(),
                invalid: failure.invalid,
                attempts: failure.attempts,
                first_seen,
            });
        }
        let count = letters.len() as u32;
        for letter in letters {
            self.due.insert((now, letter.id));
            self.open.insert(letter.id, (letter, 0));
        }
        count
    }

    /// The next letter to send.
    pub(super) fn send(&mut self, now: Instant) -> Option<Letter> {
        while self.deadline()? <= now {
            let (_, id) = self.due.pop_first()?;
            if let Some((letter, _)) = self.open.get(&id) {
                return Some(letter.clone());
            }
        }
        None
    }

    /// The broker has confirmed the letter.
    pub(super) fn confirmed(&mut self, id: LetterId) -> Option<Letter> {
        self.open.remove(&id).map(|(letter, _)| letter)
    }

    /// The broker refused the letter: it is retried with exponential backoff.
    pub(super) fn refused(&mut self, id: LetterId, now: Instant) {
        if let Some((_, refusals)) = self.open.get_mut(&id) {
            let wait = BACKOFF_MIN
                .saturating_mul(1 << (*refusals).min(10))
                .min(BACKOFF_MAX);
            *refusals += 1;
            self.due.insert((now + wait, id));
        }
    }

    /// Whether the dead-letter queue refuses everything, not only a particular letter. New events must wait then:
    /// they could not be dead-lettered either.
    pub(super) fn is_stuck(&self) -> bool {
        self.refused_count() >= STUCK
    }

    pub(super) fn refused_count(&self) -> usize {
        let refused = self.open.values().filter(|(_, refusals)| *refusals > 0);
        refused.count()
    }

    /// The delivery has gone back.
    pub(super) fn forget(&mut self, delivery: Delivery) {
        self.keep(|letter, _| letter.delivery != delivery);
    }

    /// Gives up on the refused letters; their deliveries stay unacknowledged.
    pub(super) fn give_up_refused(&mut self) {
        self.keep(|_, refusals| refusals == 0);
    }

    fn keep(&mut self, wanted: impl Fn(&Letter, u32) -> bool) {
        self.open
            .retain(|_, (letter, refusals)| wanted(letter, *refusals));
        self.due.retain(|(_, id)| self.open.contains_key(id));
    }

    pub(super) fn clear(&mut self) {
        self.keep(|_, _| false);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The delivery of each letter that is not confirmed.
    pub(super) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.open.values().map(|(letter, _)| &letter.delivery)
    }

    /// When a letter is to be sent.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }
}
