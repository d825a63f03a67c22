//! Events that were finished lately, so that their redelivery costs no second call.
//!
//! An acknowledgement can be lost after it was written; the broker then delivers the event again.
//! Entries are keyed by the event and not by the user: a *new* reset of the same user needs a new call.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use crate::event::EventKey;

#[derive(Debug)]
pub(super) struct Remembered {
    capacity: usize,
    lifetime: Duration,
    order: VecDeque<EventKey>,
    finished: HashMap<EventKey, Instant, BuildHasherDefault<Placed>>,
}

/// Places an event by its key as it is: that is a keyed hash already, which nobody outside can aim.
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
    pub(super) fn new(capacity: usize, lifetime: Duration) -> Remembered {
        Remembered {
            capacity,
            lifetime,
            order: VecDeque::new(),
            finished: HashMap::default(),
        }
    }

    pub(super) fn insert(&mut self, event: EventKey, now: Instant) {
        if self.finished.insert(event, now).is_none() {
            self.order.push_back(event);
        }
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.finished.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, event: EventKey, now: Instant) -> bool {
        self.finished
            .get(&event)
            .is_some_and(|at| now < *at + self.lifetime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_remembered_for_its_lifetime_and_within_the_capacity() {
        let now = Instant::now();
        let lifetime = Duration::from_secs(60);
        let mut remembered = Remembered::new(2, lifetime);
        for event in [1, 1, 2, 3] {
            remembered.insert(EventKey(event), now);
        }
        assert!(!remembered.contains(EventKey(1), now));
        assert!(remembered.contains(EventKey(2), now));
        assert!(remembered.contains(EventKey(3), now + Duration::from_secs(59)));
        assert!(!remembered.contains(EventKey(3), now + lifetime));
    }
}
