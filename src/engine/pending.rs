//! User IDs that wait for a call, distinct and in the order of their arrival.
//!
//! It knows nothing of calls or acknowledgement: it keeps who waits for which ID, and cuts windows.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::Delivery;
use crate::event::UserId;

/// One user ID, and the deliveries that are done only when it is.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub user: UserId,
    /// When the first of its deliveries asked for it.
    pub since: Instant,
    pub waiters: Waiters,
}

/// The deliveries that wait for one user ID. Nearly always one, which then costs no allocation.
#[derive(Clone, Debug)]
pub(super) enum Waiters {
    One(Delivery),
    Many(Vec<Delivery>),
}

impl Waiters {
    pub(super) fn as_slice(&self) -> &[Delivery] {
        match self {
            Waiters::One(delivery) => std::slice::from_ref(delivery),
            Waiters::Many(deliveries) => deliveries,
        }
    }

    fn push(&mut self, delivery: Delivery) {
        match self {
            Waiters::One(first) => *self = Waiters::Many(vec![*first, delivery]),
            Waiters::Many(deliveries) => deliveries.push(delivery),
        }
    }

    /// Keeps those that `keep` wants; false when nobody is left.
    fn retain(&mut self, mut keep: impl FnMut(Delivery) -> bool) -> bool {
        match self {
            Waiters::One(delivery) => keep(*delivery),
            Waiters::Many(deliveries) => {
                deliveries.retain(|delivery| keep(*delivery));
                !deliveries.is_empty()
            }
        }
    }
}

impl Claim {
    /// Forgets the waiters that `keep` does not want; false when the claim serves nobody any more.
    pub(super) fn retain_waiters(&mut self, keep: impl FnMut(Delivery) -> bool) -> bool {
        self.waiters.retain(keep)
    }
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    claims: VecDeque<Claim>,
    /// Where each waiting ID stands: its number in order of arrival.
    numbers: HashMap<UserId, u64>,
    /// The number of the claim at the head.
    head: u64,
}

impl Pending {
    /// Makes `delivery` wait for `user`. An ID that already waits is joined, so that one call serves
    /// both. Returns false when this delivery waits for it already.
    pub(super) fn join(&mut self, user: UserId, delivery: Delivery, now: Instant) -> bool {
        let next = self.head + self.claims.len() as u64;
        let number = *self.numbers.entry(user).or_insert(next);
        if number == next {
            self.claims.push_back(Claim {
                user,
                since: now,
                waiters: Waiters::One(delivery),
            });
            return true;
        }
        let waiters = &mut self.claims[(number - self.head) as usize].waiters;
        // The users of one event join together, so its earlier claim to this ID can only be the last.
        if waiters.as_slice().last() == Some(&delivery) {
            return false;
        }
        waiters.push(delivery);
        true
    }

    /// Takes up to `limit` claims from the head.
    pub(super) fn cut(&mut self, limit: usize) -> Vec<Claim> {
        let count = limit.min(self.claims.len());
        self.head += count as u64;
        let claims: Vec<Claim> = self.claims.drain(..count).collect();
        for claim in &claims {
            self.numbers.remove(&claim.user);
        }
        claims
    }

    pub(super) fn clear(&mut self) {
        self.claims.clear();
        self.numbers.clear();
    }

    /// When the ID at the head began to wait.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.claims.front().map(|claim| claim.since)
    }

    pub(super) fn len(&self) -> usize {
        self.claims.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(number: u8) -> UserId {
        UserId::parse(&format!("u{number}")).unwrap()
    }

    fn delivery(tag: u64) -> Delivery {
        Delivery { session: 1, tag }
    }

    proptest! {
        /// Steps: (user, delivery, cut size), where a cut of 0 means none.
        #[test]
        fn every_wait_leaves_exactly_once_and_no_cut_repeats_an_id(
            steps in proptest::collection::vec((0u8..20, 1u64..8, 0usize..5), 1..200),
        ) {
            let now = Instant::now();
            let mut pending = Pending::default();
            let mut waits = Vec::new();
            let mut left = Vec::new();
            let take = |pending: &mut Pending, limit, left: &mut Vec<_>| {
                let claims = pending.cut(limit);
                let mut users: Vec<_> = claims.iter().map(|claim| claim.user.as_str().to_owned()).collect();
                users.sort();
                users.dedup();
                assert_eq!(users.len(), claims.len(), "an ID twice in one cut");
                for claim in claims {
                    left.extend(claim.waiters.as_slice().iter().map(|w| (claim.user.as_str().to_owned(), w.tag)));
                }
            };
            for (step, (id, _, cut)) in steps.into_iter().enumerate() {
                // Each step is an event of its own, as a delivery's users join in one go.
                let tag = step as u64;
                if pending.join(user(id), delivery(tag), now) {
                    waits.push((user(id).as_str().to_owned(), tag));
                }
                prop_assert!(!pending.join(user(id), delivery(tag), now), "the same wait twice");
                take(&mut pending, cut, &mut left);
            }
            take(&mut pending, usize::MAX, &mut left);
            prop_assert!(pending.is_empty());
            waits.sort();
            left.sort();
            prop_assert_eq!(waits, left);
        }
    }
}
