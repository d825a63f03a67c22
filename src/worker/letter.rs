//! Builds a dead letter: the original message, with headers that say why it failed.

use std::time::SystemTime;

use jiff::Timestamp;

use super::held::{Fault, LetterParts};
use crate::engine::{Letter, LetterId, Reason, error_code};
use crate::event::UserId;
use crate::rabbitmq::{self, Mark};

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
    due: &Letter,
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
    let mut marks = vec![
        ("tagsweep-reason", text(due.reason.name())),
        ("tagsweep-detail", Mark::Text(detail)),
        ("tagsweep-letter-id", Mark::Text(id)),
        ("tagsweep-attempts", Mark::Integer(i64::from(due.attempts))),
        ("tagsweep-first-seen", time(first_seen)),
        ("tagsweep-dead-lettered-at", time(SystemTime::now())),
        ("tagsweep-exchange", text(message.exchange())),
        ("tagsweep-routing-key", text(message.routing_key())),
        ("tagsweep-version", text(env!("CARGO_PKG_VERSION"))),
    ];
    if let Some(code) = due.code {
        marks.push(("tagsweep-error-code", Mark::Integer(code)));
    }
    if let Some(digest) = digest {
        marks.push(("tagsweep-body-sha256", Mark::Text(digest.sha256)));
        let bytes = i64::try_from(digest.bytes).unwrap_or(i64::MAX);
        marks.push(("tagsweep-body-bytes", Mark::Integer(bytes)));
    }
    let failed = failed_users(due, fault);
    if !failed.is_empty() {
        marks.push(("tagsweep-failed-users", Mark::Texts(failed)));
    }
    rabbitmq::Letter {
        id: due.id.0,
        session: due.delivery.session,
        message,
        marks,
    }
}

/// The users that failed for this letter's reason. The engine bounds how many a letter names.
fn failed_users(due: &Letter, fault: Fault) -> Vec<String> {
    if due.reason == Reason::InvalidUserId {
        return fault.invalid;
    }
    due.users
        .iter()
        .map(UserId::as_str)
        .map(str::to_owned)
        .collect()
}

/// A short text of ours: it never contains the API's text or an ID.
pub(super) fn detail(due: &Letter, fault: &Fault) -> String {
    let known = due.code.and_then(error_code).map(|known| known.meaning);
    match due.reason {
        Reason::MalformedEvent => fault.malformed.map_or_else(
            || "the event cannot be read".to_owned(),
            |why| why.to_string(),
        ),
        Reason::InvalidUserId => "not 1 to 32 bytes of printable ASCII".to_owned(),
        Reason::RejectedByApi => known.unwrap_or("the API rejects this user").to_owned(),
        Reason::UnknownAccount => "the API does not know this user".to_owned(),
        Reason::RetriesExhausted => known
            .unwrap_or("no usable answer, while other calls succeeded")
            .to_owned(),
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
        id.truncate(id.floor_char_boundary(INVALID_BYTES));
        id.shrink_to_fit();
    }
    invalid.shrink_to_fit();
}

fn text(text: &str) -> Mark {
    Mark::Text(text.to_owned())
}

/// RFC 3339 in UTC, to the millisecond.
fn time(at: SystemTime) -> Mark {
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    Mark::Text(format!("{at:.3}"))
}
