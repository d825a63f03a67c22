//! Recently finished events, so that their redelivery costs no second call.
//!
//! An acknowledgement can be lost after it was written; the broker then delivers the event again.
//! Entries are keyed by the event and not by the user: a *new* reset of the same user needs a new call.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::mem::swap;
use std::time::{Duration, Instant};

use super::ledger::Failure;
use crate::event::{EventKey, UserId};

/// Maximum number of users kept for partly done events that went back.
const UNFINISHED_USERS: usize = 100_000;

/// Two generations: one is filled, the previous one is dropped as a whole, so no event needs its own time or order.
#[derive(Debug)]
pub(super) struct Remembered {
    capacity: usize,
    lifetime: Duration,
    current: Generation,
    previous: Generation,
    /// When the current generation began.
    began: Instant,
}

type Generation = HashSet<EventKey, BuildHasherDefault<Placed>>;

/// Uses an event's key unchanged as its hash: it is a keyed hash already, so no outsider can cause collisions.
#[derive(Default)]
struct Placed(u64);

impl Hasher for Placed {
    fn write(&mut self, part: &[u8]) {
        for byte in part {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Remembered {
    /// Remembers each event for one to two lifetimes, and of more than `capacity` events in that time the
    /// latest: at least so many, at most twice.
    pub(super) fn new(capacity: usize, lifetime: Duration, now: Instant) -> Remembered {
        Remembered {
            capacity,
            lifetime,
            current: Generation::default(),
            previous: Generation::default(),
            began: now,
        }
    }

    pub(super) fn insert(&mut self, event: EventKey, now: Instant) {
        self.grow_old(now);
        if self.current.len() >= self.capacity {
            self.next_generation(now);
        }
        self.current.insert(event);
    }

    pub(super) fn contains(&mut self, event: EventKey, now: Instant) -> bool {
        self.grow_old(now);
        self.current.contains(&event) || self.previous.contains(&event)
    }

    fn grow_old(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.began);
        if age >= self.lifetime {
            self.next_generation(now);
        }
        if age >= self.lifetime * 2 {
            self.previous.clear();
        }
    }

    fn next_generation(&mut self, now: Instant) {
        swap(&mut self.current, &mut self.previous);
        self.current.clear();
        self.began = now;
    }
}

/// The remaining users of events that went back to the broker partly done: so an event that is too long for a hold
/// limit ends, and no finished user is called again.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    events: HashMap<EventKey, Rest, BuildHasherDefault<Placed>>,
    /// In the order in which they were returned.
    order: VecDeque<EventKey>,
    users: usize,
}

#[derive(Debug, Default)]
pub(super) struct Rest {
    pub users: HashSet<UserId>,
    /// What has failed already, and needs a dead letter.
    pub failures: Vec<Failure>,
}

impl Unfinished {
    /// If an event is there twice, a user that is done for one is done for both.
    pub(super) fn insert(&mut self, event: EventKey, mut rest: Rest) {
        if let Some(before) = self.remove(event) {
            rest.users.retain(|user| before.users.contains(user));
            let known: HashSet<_> = rest.failures.iter().map(|failure| failure.user).collect();
            let earlier = before.failures.into_iter();
            let earlier = earlier.filter(|failure| !known.contains(&failure.user));
            rest.failures.extend(earlier);
        }
        self.users += rest.size();
        self.events.insert(event, rest);
        self.order.push_back(event);
        while self.users > UNFINISHED_USERS
            && let Some(oldest) = self.order.front()
        {
            self.remove(*oldest);
        }
    }

    /// The remaining users of an event that was redelivered.
    pub(super) fn rest(&self, event: EventKey) -> Option<&Rest> {
        self.events.get(&event)
    }

    /// Nothing is left to do of it.
    pub(super) fn remove(&mut self, event: EventKey) -> Option<Rest> {
        let rest = self.events.remove(&event)?;
        self.order.retain(|other| *other != event);
        self.users -= rest.size();
        Some(rest)
    }
}

impl Rest {
    fn size(&self) -> usize {
        self.users.len() + self.failures.len()
    }
}
