//! Builds a dead letter: the original message, with headers that say why it failed.

use std::time::SystemTime;

use jiff::Timestamp;

use super::held::{Fault, LetterParts};
use crate::engine::{self, LetterId, Reason, error_code};
use crate::event::UserId;
use crate::letter::{Letter, Origin};
use crate::rabbitmq;

/// All headers of a message must fit into one frame, of 128 KiB by default, with the original's own.
const INVALID_IDS: usize = 100;
const INVALID_BYTES: usize = 200;

/// IDs of dead letters, in a header and in the log: unique over all runs, and unchanged when a letter is sent
/// again.
pub(super) struct LetterIds(u64);

impl LetterIds {
    pub(super) fn new() -> LetterIds {
        LetterIds(fastrand::u64(..))
    }

    pub(super) fn of(&self, letter: LetterId) -> String {
        format!("{:016x}-{}", self.0, letter.0)
    }
}

/// Writes the headers of the contract.
pub(super) fn letter(
    due: &engine::Letter,
    parts: LetterParts,
    first_seen: SystemTime,
    id: String,
    detail: String,
) -> rabbitmq::Letter {
    let LetterParts {
        message,
        digest,
        fault,
    } = parts;
    let route = message.published_to();
    let origin = Origin {
        exchange: route.exchange.to_owned(),
        routing_key: route.routing_key.to_owned(),
    };
    // What a redriven event says of its earlier letters is kept.
    let before = message.redriven().unwrap_or_default();
    let mut users = failed_users(due, fault);
    let named = users.len();
    if users.is_empty() {
        users = before.only_users.unwrap_or_default();
    }
    let letter = Letter {
        id,
        reason: due.reason.name().to_owned(),
        code: due.code,
        detail,
        users_cut: named < due.invalid as usize,
        users,
        attempts: due.attempts,
        first_seen: before.first_seen.or_else(|| time(first_seen)),
        dead_lettered_at: time(SystemTime::now()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        origin,
        body: digest.or(before.body),
        redriven: before.times,
        history: before.history,
        dropped: Vec::new(),
    };
    rabbitmq::Letter {
        id: due.id.0,
        session: due.delivery.session,
        message,
        marks: letter.marks(),
    }
}

/// The users that failed for this letter's reason. The engine bounds how many a letter names.
fn failed_users(due: &engine::Letter, fault: Fault) -> Vec<String> {
    match due.reason {
        Reason::InvalidUserId => fault.invalid,
        Reason::MalformedEvent => fault.absent,
        _ => due
            .users
            .iter()
            .map(UserId::as_str)
            .map(str::to_owned)
            .collect(),
    }
}

/// A short text of ours: it never contains the API's text or an ID.
pub(super) fn detail(due: &engine::Letter, fault: &Fault) -> String {
    let known = due.code.and_then(error_code).map(|known| known.meaning);
    match due.reason {
        Reason::MalformedEvent if !fault.absent.is_empty() => {
            "the event, as it is read now, does not name these users of the letter".to_owned()
        }
        Reason::MalformedEvent => fault.malformed.map_or_else(
            || "the event cannot be read".to_owned(),
            |why| why.to_string(),
        ),
        Reason::InvalidUserId => "not 1 to 32 bytes of printable ASCII".to_owned(),
        Reason::RejectedByApi => known.unwrap_or("the API rejects this user").to_owned(),
        Reason::UnknownAccount => "the API does not know this user".to_owned(),
        Reason::RetriesExhausted => match (known, due.http) {
            (Some(known), _) => known.to_owned(),
            (None, Some(status)) => {
                format!("HTTP status {status}, while other calls succeeded")
            }
            (None, None) => "no usable answer, while other calls succeeded".to_owned(),
        },
        Reason::UnrecognisedEvent => {
            "no rule holds, and neither a form nor a type was recognised".to_owned()
        }
        Reason::ReturnedTooOften => {
            "returned to the queue so often that the broker would drop it soon".to_owned()
        }
    }
}

/// Leaves of the IDs that break the rule what a letter names of them: they may be of any length and number, and
/// must fit into a header.
pub(super) fn cut_to_fit(invalid: &mut Vec<String>) {
    invalid.truncate(INVALID_IDS);
    for id in invalid.iter_mut() {
        id.truncate(cut(id).len());
        id.shrink_to_fit();
    }
    invalid.shrink_to_fit();
}

/// An ID as a letter names it.
pub(super) fn cut(id: &str) -> &str {
    let (named, _) = id.split_at(id.floor_char_boundary(INVALID_BYTES));
    named
}

fn time(at: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(at).ok()
}
