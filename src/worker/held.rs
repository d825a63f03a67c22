//! The messages in our hands, until they are settled: a dead letter needs the original.

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use crate::engine::Delivery;
use crate::event::Malformed;
use crate::rabbitmq::Message;

/// Messages by delivery tag. Tags of one session count up by one, so a ring is the whole index.
#[derive(Default)]
pub(super) struct Held {
    /// The tag of the message at the head.
    head: u64,
    messages: VecDeque<Option<Entry>>,
    /// What was wrong with the few that were not all right.
    faults: HashMap<Delivery, Fault>,
}

struct Entry {
    message: Message,
    since: Since,
}

/// From when the age of an event counts.
#[derive(Clone, Copy)]
enum Since {
    Arrived(SystemTime),
    /// The event says when it happened.
    Happened(SystemTime),
}

/// What decoding found wrong with a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault {
    /// IDs that break the API's rule, as the event gives them.
    pub(super) invalid: Vec<String>,
    pub(super) malformed: Option<Malformed>,
}

impl Entry {
    fn happened(&self) -> Option<SystemTime> {
        match self.since {
            Since::Arrived(_) => None,
            Since::Happened(time) => Some(time),
        }
    }
}

impl Held {
    pub(super) fn insert(&mut self, delivery: Delivery, message: Message, arrived: SystemTime) {
        if self.messages.is_empty() {
            self.head = delivery.tag;
        }
        while self.head + (self.messages.len() as u64) < delivery.tag {
            self.messages.push_back(None);
        }
        self.messages.push_back(Some(Entry {
            message,
            since: Since::Arrived(arrived),
        }));
    }

    pub(super) fn message(&self, delivery: Delivery) -> Option<&Message> {
        let entry = self.messages.get(self.place(delivery)?)?.as_ref();
        entry.map(|entry| &entry.message)
    }

    pub(super) fn set_invalid(&mut self, delivery: Delivery, invalid: Vec<String>) {
        self.faults.insert(
            delivery,
            Fault {
                invalid,
                malformed: None,
            },
        );
    }

    pub(super) fn set_malformed(&mut self, delivery: Delivery, malformed: Malformed) {
        self.faults.insert(
            delivery,
            Fault {
                invalid: Vec::new(),
                malformed: Some(malformed),
            },
        );
    }

    /// The original of a letter, and what was found wrong with it.
    pub(super) fn letter_parts(&self, delivery: Delivery) -> Option<(Message, Fault)> {
        let message = self.message(delivery)?.clone();
        Some((
            message,
            self.faults.get(&delivery).cloned().unwrap_or_default(),
        ))
    }

    /// The event says when it happened.
    pub(super) fn set_time(&mut self, delivery: Delivery, happened: SystemTime) {
        if let Some(place) = self.place(delivery)
            && let Some(Some(entry)) = self.messages.get_mut(place)
        {
            entry.since = Since::Happened(happened);
        }
    }

    /// The earliest time of all that is held: of the event where it has one, else of its arrival.
    pub(super) fn oldest(&self) -> Option<SystemTime> {
        let entries = self.messages.iter().flatten();
        let times = entries.map(|entry| match entry.since {
            Since::Arrived(time) | Since::Happened(time) => time,
        });
        times.min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Gives the time of the event, if it has one.
    pub(super) fn remove(&mut self, delivery: Delivery) -> Option<SystemTime> {
        let place = self.place(delivery)?;
        let entry = self.messages.get_mut(place)?.take();
        self.faults.remove(&delivery);
        self.trim();
        entry?.happened()
    }

    /// Gives `each` the times of the events that have one.
    pub(super) fn remove_up_to(&mut self, delivery: Delivery, each: impl FnMut(SystemTime)) {
        let Some(place) = self.place(delivery) else {
            return;
        };
        let count = (place + 1).min(self.messages.len());
        let removed = self.messages.drain(..count).flatten();
        removed.filter_map(|entry| entry.happened()).for_each(each);
        self.head += count as u64;
        if !self.faults.is_empty() {
            self.faults.retain(|other, _| other.tag > delivery.tag);
        }
        self.trim();
    }

    /// Nothing of a lost session can be settled.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.faults.clear();
    }

    fn trim(&mut self) {
        while let Some(None) = self.messages.front() {
            self.messages.pop_front();
            self.head += 1;
        }
    }

    fn place(&self, delivery: Delivery) -> Option<usize> {
        delivery
            .tag
            .checked_sub(self.head)
            .map(|place| place as usize)
    }
}
