//! The items that the engine has in hand, by their delivery tags: these count up by one, so a ring is the whole index.

use std::collections::VecDeque;

use super::input::Item;
use crate::engine::Delivery;

/// There is one session with a file, and it is never lost.
const SESSION: u32 = 0;

pub(super) struct Hand {
    /// The tag of the item at the head.
    head: u64,
    items: VecDeque<Option<(u64, Item)>>,
    open: usize,
}

impl Default for Hand {
    fn default() -> Hand {
        Hand {
            head: 1,
            items: VecDeque::new(),
            open: 0,
        }
    }
}

impl Hand {
    pub(super) fn push(&mut self, number: u64, item: Item) -> Delivery {
        let tag = self.head + self.items.len() as u64;
        self.items.push_back(Some((number, item)));
        self.open += 1;
        let session = SESSION;
        Delivery { session, tag }
    }

    pub(super) fn item(&self, delivery: Delivery) -> Option<&(u64, Item)> {
        self.items.get(self.place(delivery)?)?.as_ref()
    }

    pub(super) fn remove(&mut self, delivery: Delivery) -> Option<(u64, Item)> {
        let place = self.place(delivery)?;
        let item = self.items.get_mut(place)?.take();
        self.open -= usize::from(item.is_some());
        while let Some(None) = self.items.front() {
            self.items.pop_front();
            self.head += 1;
        }
        item
    }

    /// The oldest one, if it is not younger than this.
    pub(super) fn pop_up_to(&mut self, delivery: Delivery) -> Option<(u64, Item)> {
        // The ones before the oldest are gone, so that is at the head.
        let oldest = Delivery {
            tag: self.head,
            ..delivery
        };
        (self.head <= delivery.tag).then(|| self.remove(oldest))?
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// How many there were since the oldest of them.
    pub(super) fn reach(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn place(&self, delivery: Delivery) -> Option<usize> {
        Some(delivery.tag.checked_sub(self.head)? as usize)
    }
}
