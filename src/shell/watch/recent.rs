//! What was done in the last quarter of an hour, in slots of ten seconds: for the console, which has no database.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::engine::Tally;

pub const SLOT: Duration = Duration::from_secs(10);
/// Slots that are kept, the present one included.
pub const SLOTS: usize = 90;

/// What was done in ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Users that were cleared, unknown to the API, or dead-lettered.
    pub users: u64,
    /// Calls that ended.
    pub calls: u32,
    /// User IDs in them.
    pub ids: u64,
    /// Sum and maximum of the times that they took.
    pub took: Duration,
    pub slowest: Duration,
}

/// The slots, the present one last.
#[derive(Clone, Debug)]
pub struct Recent {
    slots: VecDeque<Slot>,
    /// When the present slot began.
    since: Instant,
    /// Users that were done by then.
    users: u64,
}

impl Recent {
    pub(super) fn new(now: Instant) -> Recent {
        Recent {
            slots: VecDeque::from([Slot::default()]),
            since: now,
            users: 0,
        }
    }

    /// From the oldest to the present one, which is not over yet.
    pub fn slots(&self) -> impl DoubleEndedIterator<Item = &Slot> + ExactSizeIterator {
        self.slots.iter()
    }

    /// Begins the slots whose time has come. After a long time only empty ones are left.
    pub(super) fn advance(&mut self, now: Instant) {
        let over = now.saturating_duration_since(self.since).as_secs() / SLOT.as_secs();
        for _ in 0..over.min(SLOTS as u64) {
            if self.slots.len() == SLOTS {
                self.slots.pop_front();
            }
            self.slots.push_back(Slot::default());
        }
        self.since += SLOT * u32::try_from(over).unwrap_or(u32::MAX);
    }

    /// A call for so many users ended.
    pub(super) fn call(&mut self, now: Instant, ids: usize, took: Duration) {
        self.advance(now);
        if let Some(slot) = self.slots.back_mut() {
            slot.calls += 1;
            slot.ids += ids as u64;
            slot.took += took;
            slot.slowest = slot.slowest.max(took);
        }
    }

    /// These are the totals after a call.
    pub(super) fn users(&mut self, now: Instant, tally: &Tally) {
        self.advance(now);
        let users = tally.users_cleared + tally.users_missing + tally.users_dead_lettered;
        let more = users - std::mem::replace(&mut self.users, users);
        if let Some(slot) = self.slots.back_mut() {
            slot.users += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_an_hour_is_kept_in_slots_of_ten_seconds_and_nothing_older() {
        let start = Instant::now();
        let mut recent = Recent::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let took = Duration::from_millis(20);
        recent.call(at(3), 100, took);
        recent.call(at(9), 50, 3 * took);
        recent.call(at(10), 7, took);
        let tally = Tally {
            users_cleared: 150,
            users_missing: 7,
            ..Tally::default()
        };
        recent.users(at(12), &tally);
        recent.users(at(13), &tally);
        let slots: Vec<Slot> = recent.slots().copied().collect();
        assert_eq!(slots.len(), 2);
        assert_eq!((slots[0].calls, slots[0].ids), (2, 150));
        assert_eq!((slots[0].took, slots[0].slowest), (4 * took, 3 * took));
        assert_eq!((slots[1].calls, slots[1].users), (1, 157));
        recent.advance(at(899));
        assert_eq!(recent.slots().len(), SLOTS);
        assert_eq!(recent.slots().next().map(|slot| slot.ids), Some(150));
        recent.advance(at(900));
        assert_eq!(recent.slots().next().map(|slot| slot.ids), Some(7));
        recent.advance(at(1_000_000));
        assert_eq!(recent.slots().len(), SLOTS);
        assert!(recent.slots().all(|slot| *slot == Slot::default()));
        recent.call(at(1_000_009), 1, took);
        assert_eq!(recent.slots().last().map(|slot| slot.calls), Some(1));
    }
}
