//! The calls that hold a slot of the quota.
//!
//! The API counts calls in a sliding second of its own. What counts is when a call *arrives there*, and all that is
//! known here is that this lies between its start and its answer. So each call holds a slot until a second after
//! the latest moment at which the API may have counted it, and a call in flight always holds its slot until it is
//! overtaken: if a later call has arrived, the earlier one has too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::SECOND;

/// How much younger an answered call must be to show that the older one has arrived. A packet that was lost
/// twice is sent again within this time.
const OVERTAKEN: Duration = Duration::from_secs(1);

/// Number of a started call, in order of the starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(u64);

#[derive(Debug, Default)]
pub(super) struct Log {
    /// Calls in flight: when each started.
    open: BTreeMap<Slot, Instant>,
    /// When the slot of each counted call is free again. The number tells entries of one moment apart.
    pub(super) held: BTreeSet<(Instant, Slot)>,
    next: u64,
}

impl Log {
    /// When one of this many `slots` is free. None: that depends on a call in flight.
    pub(super) fn free_at(&self, slots: usize, now: Instant) -> Option<Instant> {
        let held = self.held.len() + self.open.len();
        match (held + 1).checked_sub(slots) {
            None | Some(0) => Some(now),
            // So many must be free again first.
            Some(surplus) => self.held.iter().nth(surplus - 1).map(|(free, _)| *free),
        }
    }

    pub(super) fn start(&mut self, now: Instant) -> Slot {
        self.forget_free(now);
        self.next += 1;
        let slot = Slot(self.next);
        self.open.insert(slot, now);
        slot
    }

    /// The call has finished, and its slot is free at `free`. A call that was overtaken already has such a slot.
    pub(super) fn answered(&mut self, slot: Slot, free: Instant, now: Instant) {
        if self.open.remove(&slot).is_some() {
            self.held.insert((free, slot));
        }
        self.forget_free(now);
    }

    /// A call that started at `started` has succeeded: much older ones have arrived by now, whatever keeps
    /// their answers.
    pub(super) fn overtake(&mut self, started: Instant, now: Instant) {
        while let Some(oldest) = self.open.first_entry() {
            if started < *oldest.get() + OVERTAKEN {
                return;
            }
            self.held.insert((now + SECOND, oldest.remove_entry().0));
        }
    }

    fn forget_free(&mut self, now: Instant) {
        while self.held.first().is_some_and(|(free, _)| *free <= now) {
            self.held.pop_first();
        }
    }
}
