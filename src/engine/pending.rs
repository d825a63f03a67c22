//! User IDs that wait for a call, distinct and in the order of their arrival.
//!
//! It knows nothing of calls or acknowledgement: it keeps which delivery waits for which ID, and cuts windows. The
//! users of a long event wait in their own lane and leave half of each window to the others, so that small events
//! behind it get their turn.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use smallvec::{SmallVec, smallvec};

use super::Delivery;
use crate::event::UserId;

/// One user ID, and the deliveries that are done only when it is.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub user: UserId,
    /// Nearly always one, which then costs no allocation.
    pub waiters: SmallVec<[Delivery; 1]>,
}

/// Where an ID waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Common,
    /// For users of events that name very many.
    Long,
}

#[derive(Debug, Default)]
struct Line {
    claims: VecDeque<Claim>,
    /// The number of the claim at the head.
    head: u64,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    lines: [Line; 2],
    /// Position of each waiting ID: its lane, and its number there in order of arrival.
    places: HashMap<UserId, (Lane, u64)>,
    /// Of an odd number the lanes get the larger half in turn.
    odd: usize,
}

impl Pending {
    /// Makes `delivery` wait for `user`. An ID that already waits is joined, so that one call serves
    /// both. Returns false when this delivery waits for it already.
    pub(super) fn join(&mut self, user: UserId, delivery: Delivery, lane: Lane) -> bool {
        let line = &self.lines[lane as usize];
        let next = (lane, line.head + line.claims.len() as u64);
        let place = *self.places.entry(user).or_insert(next);
        let (lane, number) = place;
        let line = &mut self.lines[lane as usize];
        if place == next {
            let waiters = smallvec![delivery];
            line.claims.push_back(Claim { user, waiters });
            return true;
        }
        let waiters = &mut line.claims[(number - line.head) as usize].waiters;
        // The users of one event join together, so its earlier claim to this ID can only be the last.
        if waiters.last() == Some(&delivery) {
            return false;
        }
        waiters.push(delivery);
        true
    }

    /// Takes up to `limit` claims: of either lane half, or more where the other has less.
    pub(super) fn cut(&mut self, limit: usize) -> Vec<Claim> {
        let [common, long] = [Lane::Common, Lane::Long].map(|lane| self.waiting(lane));
        self.odd = 1 - self.odd;
        let half = limit / 2 + (limit % 2) * self.odd;
        let count = common.min(limit - long.min(half));
        let mut claims = self.take(Lane::Common, count);
        claims.append(&mut self.take(Lane::Long, (limit - count).min(long)));
        claims
    }

    /// Takes the claim that came last, of the common lane if there is one.
    pub(super) fn cut_newest(&mut self) -> Option<Claim> {
        let lines = &mut self.lines;
        let claim = lines.iter_mut().find_map(|line| line.claims.pop_back())?;
        self.places.remove(&claim.user);
        Some(claim)
    }

    fn take(&mut self, lane: Lane, count: usize) -> Vec<Claim> {
        let line = &mut self.lines[lane as usize];
        line.head += count as u64;
        let claims: Vec<Claim> = line.claims.drain(..count).collect();
        for claim in &claims {
            self.places.remove(&claim.user);
        }
        claims
    }

    pub(super) fn clear(&mut self) {
        self.lines.iter_mut().for_each(|line| line.claims.clear());
        self.places.clear();
    }

    pub(super) fn waiting(&self, lane: Lane) -> usize {
        self.lines[lane as usize].claims.len()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting(Lane::Common) + self.waiting(Lane::Long)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.lines.iter().flat_map(|line| &line.claims)
    }
}
