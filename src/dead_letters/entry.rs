//! One letter, whoever wrote it.

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::letter::{CHECK, Letter, Origin, Redriven};
use crate::rabbitmq::{HeldMessage, Message, Place};

/// The reason of what neither tagsweep nor the broker dead-lettered.
pub const FOREIGN: &str = "foreign";
/// What an operator must know before such a letter is redriven.
pub const UNRECOGNISED: &str = "Another program has put messages here. One that the worker does not recognise is \
                                acknowledged (events.unmatched), and gone.";
/// What begins the reason of a letter that the broker wrote.
pub const BROKER: &str = "broker:";

/// Who put the message into the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Tagsweep,
    /// RabbitMQ, by a limit of a queue.
    Broker,
    /// Another program.
    Other,
}

/// A letter. `Debug` shows no user IDs.
#[derive(Clone)]
pub struct Entry {
    /// Of the letter; derived from the message where tagsweep did not write it.
    pub id: String,
    pub writer: Writer,
    pub reason: String,
    /// The API's error code.
    pub code: Option<i64>,
    pub detail: String,
    /// The users that failed; none if the letter names none.
    pub users: Vec<String>,
    /// More users failed than `users` names.
    pub users_cut: bool,
    /// Number of calls for the user that was tried most.
    pub attempts: u32,
    pub first_seen: Option<Timestamp>,
    pub dead_lettered_at: Option<Timestamp>,
    /// How often it was redriven before.
    pub redriven: u32,
    /// Its earlier failures, the latest last.
    pub history: Vec<String>,
    /// Where the event was published.
    pub exchange: String,
    pub routing_key: String,
    /// Size of the event's body.
    pub bytes: u64,
    /// The letter has no body, only its hash.
    pub body_left_out: bool,
    pub(super) place: Place,
    pub(super) message: Option<Message>,
}

impl Entry {
    /// None for the message of `tagsweep check`.
    pub(super) fn read(held: &HeldMessage) -> Option<Entry> {
        let message = &held.message;
        if message.header(CHECK).is_some() && message.body.is_empty() {
            return None;
        }
        Some(match letter(message) {
            Some(letter) => Entry::of_ours(held, letter),
            None => Entry::of_others(held),
        })
    }

    fn of_ours(held: &HeldMessage, letter: Letter) -> Entry {
        let message = &held.message;
        let body = letter.body.filter(|_| message.body.is_empty());
        Entry {
            id: match letter.id.is_empty() {
                true => derived_id(message),
                false => letter.id,
            },
            writer: Writer::Tagsweep,
            reason: letter.reason,
            code: letter.code,
            detail: letter.detail,
            users: letter.users,
            users_cut: letter.users_cut,
            attempts: letter.attempts,
            first_seen: letter.first_seen,
            dead_lettered_at: letter.dead_lettered_at,
            redriven: letter.redriven,
            history: letter.history,
            exchange: letter.origin.exchange,
            routing_key: letter.origin.routing_key,
            body_left_out: body.is_some(),
            bytes: body.map_or(message.body.len() as u64, |body| body.bytes),
            place: held.place,
            message: None,
        }
    }

    fn of_others(held: &HeldMessage) -> Entry {
        let message = &held.message;
        let death = message.death();
        let before = before(message);
        let (writer, reason, detail) = match death {
            Some(death) => (
                Writer::Broker,
                format!("{BROKER}{}", death.reason),
                format!("dead-lettered by RabbitMQ from queue {:?}", death.queue),
            ),
            None => (
                Writer::Other,
                FOREIGN.to_owned(),
                "published by another program".to_owned(),
            ),
        };
        let at = death.and_then(|death| i64::try_from(death.at?).ok());
        let body = before.body.filter(|_| message.body.is_empty());
        Entry {
            id: derived_id(message),
            writer,
            reason,
            code: None,
            detail,
            users: before.only_users.unwrap_or_default(),
            users_cut: false,
            attempts: 0,
            first_seen: before.first_seen,
            dead_lettered_at: at.and_then(|seconds| Timestamp::from_second(seconds).ok()),
            redriven: before.times,
            history: before.history,
            exchange: before.origin.exchange,
            routing_key: before.origin.routing_key,
            body_left_out: body.is_some(),
            bytes: body.map_or(message.body.len() as u64, |body| body.bytes),
            place: held.place,
            message: None,
        }
    }

    /// The whole message, if it was kept.
    pub fn message(&self) -> Option<&Message> {
        self.message.as_ref()
    }

    /// Size of the body that is there.
    pub fn held_bytes(&self) -> u64 {
        match self.body_left_out {
            true => 0,
            false => self.bytes,
        }
    }

    /// The object of `list --each --json`.
    pub fn as_json(&self) -> Value {
        json!({
            "id": self.id,
            "reason": self.reason,
            "code": self.code,
            "detail": self.detail,
            "users": self.users,
            "attempts": self.attempts,
            "first_seen": self.first_seen.map(text),
            "dead_lettered_at": self.dead_lettered_at.map(text),
            "redriven": self.redriven,
            "exchange": self.exchange,
            "routing_key": self.routing_key,
            "bytes": self.bytes,
        })
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("id", &self.id)
            .field("reason", &self.reason)
            .field("code", &self.code)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

/// The letter that tagsweep wrote, if it did. What the broker dead-lettered is none, though its producer may have copied
/// the headers of one: a letter keeps nothing of an earlier death.
pub(super) fn letter(message: &Message) -> Option<Letter> {
    match message.death() {
        Some(_) => None,
        None => Letter::read(&|name| message.mark(name)),
    }
}

/// What a message that tagsweep did not dead-letter says of earlier redrives, or would say.
pub(super) fn before(message: &Message) -> Redriven {
    message.redriven().unwrap_or_else(|| {
        let route = message.published_to();
        Redriven {
            origin: Origin {
                exchange: route.exchange.to_owned(),
                routing_key: route.routing_key.to_owned(),
            },
            ..Redriven::default()
        }
    })
}

/// RFC 3339, to the millisecond.
pub(super) fn text(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The same for as long as the message waits. Equal messages have equal ones; `Letters` tells them apart.
fn derived_id(message: &Message) -> String {
    let mut hash = Sha256::new();
    let route = message.published_to();
    let id = message.message_id().unwrap_or_default();
    let at = message.death().and_then(|death| death.at).unwrap_or(0);
    for part in [route.exchange, route.routing_key, id, &at.to_string()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(&message.body);
    let digits = hash.finalize();
    let digits = digits.iter().take(8).map(|byte| format!("{byte:02x}"));
    format!("m-{}", digits.collect::<String>())
}
