//! The unacknowledged messages: a dead letter needs the original.
//!
//! They are bounded by bytes, not by number: beyond [`ROOM`] a body is decoded on arrival, and if it was understood whole,
//! only what is needed of it is kept. Its dead letter then has hash and size instead.

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::engine::Delivery;
use crate::event::{Decoded, Form, Malformed, UserId};
use crate::letter::Digest;
use crate::rabbitmq::Message;
use crate::shell::InHand;

/// Bytes of messages that are kept whole.
const ROOM: usize = 8 << 20;
/// Bytes at which the prefetch must be lowered, since nothing more can be left out.
pub(super) const LIMIT: usize = 16 << 20;
/// A body of at most this size is always kept: what would replace it is no smaller.
const SMALL: usize = 512;

/// Messages by delivery tag. Tags of one session count up by one, so a ring is the whole index.
#[derive(Default)]
pub(super) struct Held {
    /// The tag of the message at the head.
    head: u64,
    messages: VecDeque<Option<Entry>>,
    /// What decoding found wrong, for the few messages where it did.
    faults: HashMap<Delivery, Fault>,
    /// The decoded content of those that were decoded on arrival.
    read: HashMap<Delivery, Read>,
    /// Total size of what is held, in bytes.
    bytes: usize,
}

struct Entry {
    message: Message,
    /// How often it was returned to its queue.
    returned: u32,
    since: Since,
    /// Replaces the body where that is not kept.
    digest: Option<Box<Digest>>,
    /// What it counts in [`Held::bytes`].
    bytes: usize,
}

/// A decoded message.
pub(super) struct Read {
    /// At most as many invalid IDs as a dead letter names.
    pub(super) decoded: Decoded,
    /// What decided how it was read.
    pub(super) form: Option<Form>,
    /// How many invalid IDs there were.
    pub(super) invalid: u32,
    /// Users that a redriven event is to be done for, and does not name as it is read now.
    pub(super) absent: Vec<String>,
}

impl Read {
    /// Whether what was read is all that a letter needs of the body.
    pub(super) fn is_understood(&self) -> bool {
        let is_known = match self.decoded {
            Decoded::Event(_) | Decoded::NotForUs(_) => true,
            Decoded::Malformed(_) | Decoded::Unrecognised => false,
        };
        is_known && self.invalid == 0 && self.absent.is_empty()
    }
}

/// Start of an event's age.
#[derive(Clone, Copy)]
enum Since {
    Arrived(SystemTime),
    /// The event says when it happened.
    Happened(SystemTime),
}

/// What decoding found wrong with a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault {
    /// IDs that break the API's rule, as the event gives them, as many and as long as a letter names them.
    pub(super) invalid: Vec<String>,
    /// Users that the letter of a redriven event names and the event does not.
    pub(super) absent: Vec<String>,
    pub(super) malformed: Option<Malformed>,
}

/// The original of a dead letter, and what decoding found wrong with it.
pub(super) struct LetterParts {
    pub(super) message: Message,
    pub(super) digest: Option<Digest>,
    pub(super) fault: Fault,
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
    pub(super) fn insert(
        &mut self,
        delivery: Delivery,
        message: Message,
        returned: u32,
        arrived: SystemTime,
    ) {
        if self.messages.is_empty() {
            self.head = delivery.tag;
        }
        while self.head + (self.messages.len() as u64) < delivery.tag {
            self.messages.push_back(None);
        }
        let bytes = message.size();
        self.bytes += bytes;
        self.messages.push_back(Some(Entry {
            message,
            returned,
            since: Since::Arrived(arrived),
            digest: None,
            bytes,
        }));
    }

    /// Size of what is held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is no room for the body of this delivery.
    pub(super) fn is_too_much(&self, delivery: Delivery) -> bool {
        let body = self
            .message(delivery)
            .map_or(0, |message| message.body.len());
        self.bytes > ROOM && body > SMALL
    }

    /// Keeps the decoded content of the delivery instead of its body.
    pub(super) fn keep_read(&mut self, delivery: Delivery, read: Read) {
        let Some(entry) = self.entry(delivery) else {
            return;
        };
        let body = std::mem::take(&mut entry.message.body);
        entry.digest = Some(Box::new(Digest {
            sha256: sha256(&body),
            bytes: body.len() as u64,
        }));
        let bytes = entry.message.size() + size_of::<Digest>() + users_of(&read.decoded);
        let before = std::mem::replace(&mut entry.bytes, bytes);
        self.bytes = self.bytes + bytes - before;
        self.read.insert(delivery, read);
    }

    /// Takes the decoded content of a delivery that was decoded on arrival.
    pub(super) fn take_read(&mut self, delivery: Delivery) -> Option<Read> {
        let read = self.read.remove(&delivery)?;
        let users = users_of(&read.decoded);
        if let Some(entry) = self.entry(delivery) {
            entry.bytes -= users;
            self.bytes -= users;
        }
        Some(read)
    }

    pub(super) fn message(&self, delivery: Delivery) -> Option<&Message> {
        let entry = self.messages.get(self.place(delivery)?)?.as_ref();
        entry.map(|entry| &entry.message)
    }

    pub(super) fn set_invalid(
        &mut self,
        delivery: Delivery,
        invalid: Vec<String>,
        absent: Vec<String>,
    ) {
        self.faults.insert(
            delivery,
            Fault {
                invalid,
                absent,
                malformed: None,
            },
        );
    }

    pub(super) fn set_malformed(&mut self, delivery: Delivery, malformed: Malformed) {
        self.faults.insert(
            delivery,
            Fault {
                malformed: Some(malformed),
                ..Fault::default()
            },
        );
    }

    pub(super) fn letter_parts(&self, delivery: Delivery) -> Option<LetterParts> {
        let entry = self.messages.get(self.place(delivery)?)?.as_ref()?;
        Some(LetterParts {
            message: entry.message.clone(),
            digest: entry.digest.as_deref().cloned(),
            fault: self.faults.get(&delivery).cloned().unwrap_or_default(),
        })
    }

    /// The event says when it happened.
    pub(super) fn set_time(&mut self, delivery: Delivery, happened: SystemTime) {
        if let Some(entry) = self.entry(delivery) {
            entry.since = Since::Happened(happened);
        }
    }

    /// Returns the extreme values over all that is held.
    pub(super) fn in_hand(&self) -> InHand {
        let entries = || self.messages.iter().flatten();
        let times = entries().map(|entry| match entry.since {
            Since::Arrived(time) | Since::Happened(time) => time,
        });
        InHand {
            oldest: times.min(),
            highest_delivery_count: entries().map(|entry| entry.returned).max().unwrap_or(0),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many are held.
    pub(super) fn len(&self) -> usize {
        self.messages.iter().flatten().count()
    }

    /// Gives the time of the event, if it has one.
    pub(super) fn remove(&mut self, delivery: Delivery) -> Option<SystemTime> {
        let place = self.place(delivery)?;
        let entry = self.messages.get_mut(place)?.take();
        self.faults.remove(&delivery);
        self.read.remove(&delivery);
        self.bytes -= entry.as_ref().map_or(0, |entry| entry.bytes);
        self.trim();
        entry?.happened()
    }

    /// Gives `each` the times of the events that have one.
    pub(super) fn remove_up_to(&mut self, delivery: Delivery, mut each: impl FnMut(SystemTime)) {
        let Some(place) = self.place(delivery) else {
            return;
        };
        let count = (place + 1).min(self.messages.len());
        for entry in self.messages.drain(..count).flatten() {
            self.bytes -= entry.bytes;
            entry.happened().into_iter().for_each(&mut each);
        }
        self.head += count as u64;
        if !self.faults.is_empty() {
            self.faults.retain(|other, _| other.tag > delivery.tag);
        }
        if !self.read.is_empty() {
            self.read.retain(|other, _| other.tag > delivery.tag);
        }
        self.trim();
    }

    /// Forgets everything: nothing of a lost session can be settled.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.faults.clear();
        self.read.clear();
        self.bytes = 0;
    }

    fn trim(&mut self) {
        while let Some(None) = self.messages.front() {
            self.messages.pop_front();
            self.head += 1;
        }
    }

    fn entry(&mut self, delivery: Delivery) -> Option<&mut Entry> {
        let place = self.place(delivery)?;
        self.messages.get_mut(place)?.as_mut()
    }

    fn place(&self, delivery: Delivery) -> Option<usize> {
        delivery
            .tag
            .checked_sub(self.head)
            .map(|place| place as usize)
    }
}

/// What the users of an event take, in bytes.
fn users_of(read: &Decoded) -> usize {
    match read {
        Decoded::Event(event) => event.users.len() * size_of::<UserId>(),
        Decoded::NotForUs(_) | Decoded::Malformed(_) | Decoded::Unrecognised => 0,
    }
}

fn sha256(body: &[u8]) -> String {
    let digits = |byte: &u8| format!("{byte:02x}");
    Sha256::digest(body).iter().map(digits).collect()
}
