//! The headers of a dead letter, and of the event that it becomes when it is redriven.
//!
//! This is the one place where they are written and read. Reading never fails: a message of another program is no
//! letter, and a header that is not as we write it counts as absent.

#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;

/// What the names of all our headers begin with.
pub const PREFIX: &str = "tagsweep-";

const REASON: &str = "tagsweep-reason";
const CODE: &str = "tagsweep-error-code";
const DETAIL: &str = "tagsweep-detail";
const ID: &str = "tagsweep-letter-id";
const USERS: &str = "tagsweep-failed-users";
const ATTEMPTS: &str = "tagsweep-attempts";
const FIRST_SEEN: &str = "tagsweep-first-seen";
const DEAD_LETTERED_AT: &str = "tagsweep-dead-lettered-at";
const VERSION: &str = "tagsweep-version";
const TIMES: &str = "tagsweep-redriven";
pub const ONLY_USERS: &str = "tagsweep-only-users";
const HISTORY: &str = "tagsweep-history";
const BODY_HASH: &str = "tagsweep-body-sha256";
const BODY_SIZE: &str = "tagsweep-body-bytes";
/// Where the event was published.
pub const EXCHANGE: &str = "tagsweep-exchange";
pub const ROUTING_KEY: &str = "tagsweep-routing-key";
/// Names of properties and headers that were left out.
pub const DROPPED: &str = "tagsweep-dropped-headers";
/// Marks the message with which `tagsweep check` tests the dead-letter route. It is no letter.
pub const CHECK: &str = "tagsweep-check";

/// Of an exchange, a routing key or a queue, in bytes, as the protocol has it.
pub const LONGEST_NAME: usize = 255;
/// Hexadecimal digits of a SHA-256.
const HASH: usize = 64;
/// How many failures an event remembers.
const LONGEST_HISTORY: usize = 20;

/// The value of a header of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    Text(String),
    Integer(i64),
    Texts(Vec<String>),
}

/// Headers to write.
pub type Marks = Vec<(&'static str, Mark)>;

/// What the headers of a dead letter say. `Debug` shows no user IDs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Letter {
    /// Also in the log line of the worker.
    pub id: String,
    /// One of the names of [`Reason`](crate::engine::Reason).
    pub reason: String,
    /// The API's error code, if it gave one.
    pub code: Option<i64>,
    /// A fixed text of ours.
    pub detail: String,
    /// The users that failed; none if none could be read.
    pub users: Vec<String>,
    /// More users failed than `users` names.
    pub users_cut: bool,
    pub attempts: u32,
    pub first_seen: Option<Timestamp>,
    pub dead_lettered_at: Option<Timestamp>,
    pub version: String,
    pub origin: Origin,
    /// In place of a body that was left out.
    pub body: Option<Digest>,
    /// How often it was redriven before.
    pub redriven: u32,
    /// Its earlier failures.
    pub history: Vec<String>,
    /// Properties and headers that were left out.
    pub dropped: Vec<String>,
}

/// Where an event was published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub exchange: String,
    pub routing_key: String,
}

/// Hash and size of a body that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// In hexadecimal digits.
    pub sha256: String,
    pub bytes: u64,
}

/// What a redriven event says of the letter that it was. `Debug` shows no user IDs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redriven {
    pub times: u32,
    pub origin: Origin,
    /// It is done for these users only.
    pub only_users: Option<Vec<String>>,
    /// Of the first delivery of all.
    pub first_seen: Option<Timestamp>,
    pub history: Vec<String>,
    /// Its body was left out; the one that it has is ours, in the plain form.
    pub body: Option<Digest>,
}

/// Looks up headers by their names.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<Mark>;

impl Letter {
    /// None if the message is no dead letter of ours.
    pub fn read(mark: Lookup<'_>) -> Option<Letter> {
        let dropped = texts(mark, DROPPED).unwrap_or_default();
        Some(Letter {
            reason: text(mark, REASON)?,
            id: text(mark, ID).unwrap_or_default(),
            code: integer(mark, CODE),
            detail: text(mark, DETAIL).unwrap_or_default(),
            users: texts(mark, USERS).unwrap_or_default(),
            users_cut: dropped.iter().any(|name| name == USERS),
            attempts: count(mark, ATTEMPTS),
            first_seen: time(mark, FIRST_SEEN),
            dead_lettered_at: time(mark, DEAD_LETTERED_AT),
            version: text(mark, VERSION).unwrap_or_default(),
            origin: Origin::read(mark).unwrap_or_default(),
            body: Digest::read(mark),
            redriven: count(mark, TIMES),
            history: texts(mark, HISTORY).unwrap_or_default(),
            dropped: dropped.into_iter().filter(|name| name != USERS).collect(),
        })
    }

    /// The headers that say this. Lists come last: where headers do not fit, those end earlier.
    pub fn marks(self) -> Marks {
        let mut marks = vec![
            (REASON, Mark::Text(self.reason)),
            (DETAIL, Mark::Text(self.detail)),
            (ID, Mark::Text(self.id)),
            (ATTEMPTS, Mark::Integer(self.attempts.into())),
            (VERSION, Mark::Text(self.version)),
        ];
        marks.extend(self.origin.marks());
        marks.extend(self.code.map(|code| (CODE, Mark::Integer(code))));
        marks.extend(written(FIRST_SEEN, self.first_seen));
        marks.extend(written(DEAD_LETTERED_AT, self.dead_lettered_at));
        marks.extend(self.body.into_iter().flat_map(Digest::marks));
        marks.extend((self.redriven > 0).then(|| (TIMES, Mark::Integer(self.redriven.into()))));
        let cut = self.users_cut.then(|| USERS.to_owned());
        let dropped = self.dropped.into_iter().chain(cut).collect();
        marks.extend(list(DROPPED, dropped));
        marks.extend(list(HISTORY, self.history));
        marks.extend(list(USERS, self.users));
        marks
    }

    /// What the event says of this letter once it is redriven.
    pub fn redriven(&self) -> Redriven {
        let code = self.code.map(|code| code.to_string());
        let at = self.dead_lettered_at.map(|at| format!("{at:.3}"));
        let failure = [at, Some(self.reason.clone()), code, Some(self.id.clone())];
        let mut failure = Vec::from_iter(failure.into_iter().flatten());
        failure.retain(|part| !part.is_empty());
        let redriven = Redriven {
            times: self.redriven,
            origin: self.origin.clone(),
            only_users: (!self.users.is_empty() && !self.users_cut).then(|| self.users.clone()),
            first_seen: self.first_seen.or(self.dead_lettered_at),
            history: self.history.clone(),
            body: self.body.clone(),
        };
        redriven.again(failure.join(" "))
    }
}

impl Redriven {
    /// None if the message says nothing of that kind. Only to be asked of a message that was published to a queue
    /// directly: no producer does that by accident.
    pub fn read(mark: Lookup<'_>) -> Option<Redriven> {
        Some(Redriven {
            origin: Origin::read(mark)?,
            times: count(mark, TIMES),
            only_users: texts(mark, ONLY_USERS),
            first_seen: time(mark, FIRST_SEEN),
            history: texts(mark, HISTORY).unwrap_or_default(),
            body: Digest::read(mark),
        })
    }

    pub fn marks(self) -> Marks {
        let mut marks = vec![(TIMES, Mark::Integer(self.times.into()))];
        marks.extend(self.origin.marks());
        marks.extend(written(FIRST_SEEN, self.first_seen));
        marks.extend(self.body.into_iter().flat_map(Digest::marks));
        // An empty list is nobody, which no letter means.
        marks.extend(self.only_users.and_then(|users| list(ONLY_USERS, users)));
        marks.extend(list(HISTORY, self.history));
        marks
    }

    /// The same, redriven once more after this failure.
    pub fn again(mut self, failure: String) -> Redriven {
        self.times = self.times.saturating_add(1);
        self.history.push(failure);
        let excess = self.history.len().saturating_sub(LONGEST_HISTORY);
        self.history.drain(..excess);
        self
    }
}

impl Origin {
    fn read(mark: Lookup<'_>) -> Option<Origin> {
        let name = |header| text(mark, header).filter(|name| name.len() <= LONGEST_NAME);
        Some(Origin {
            routing_key: name(ROUTING_KEY)?,
            exchange: name(EXCHANGE).unwrap_or_default(),
        })
    }

    fn marks(self) -> Marks {
        vec![
            (EXCHANGE, Mark::Text(self.exchange)),
            (ROUTING_KEY, Mark::Text(self.routing_key)),
        ]
    }
}

impl Digest {
    fn read(mark: Lookup<'_>) -> Option<Digest> {
        Some(Digest {
            sha256: text(mark, BODY_HASH).filter(|hash| hash.len() <= HASH)?,
            bytes: integer(mark, BODY_SIZE)
                .and_then(|bytes| bytes.try_into().ok())
                .unwrap_or(0),
        })
    }

    pub fn marks(self) -> Marks {
        let bytes = i64::try_from(self.bytes).unwrap_or(i64::MAX);
        vec![
            (BODY_HASH, Mark::Text(self.sha256)),
            (BODY_SIZE, Mark::Integer(bytes)),
        ]
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter")
            .field("id", &self.id)
            .field("reason", &self.reason)
            .field("code", &self.code)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Redriven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redriven")
            .field("times", &self.times)
            .field("origin", &self.origin)
            .field("only_users", &self.only_users.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}

fn text(mark: Lookup<'_>, name: &str) -> Option<String> {
    match mark(name)? {
        Mark::Text(text) => Some(text),
        Mark::Integer(_) | Mark::Texts(_) => None,
    }
}

fn integer(mark: Lookup<'_>, name: &str) -> Option<i64> {
    match mark(name)? {
        Mark::Integer(number) => Some(number),
        Mark::Text(_) | Mark::Texts(_) => None,
    }
}

fn texts(mark: Lookup<'_>, name: &str) -> Option<Vec<String>> {
    match mark(name)? {
        Mark::Texts(texts) => Some(texts),
        Mark::Text(_) | Mark::Integer(_) => None,
    }
}

fn count(mark: Lookup<'_>, name: &str) -> u32 {
    let count = integer(mark, name).unwrap_or(0).max(0);
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn time(mark: Lookup<'_>, name: &str) -> Option<Timestamp> {
    text(mark, name)?.parse().ok()
}

/// RFC 3339 in UTC, to the millisecond.
fn written(name: &'static str, at: Option<Timestamp>) -> Option<(&'static str, Mark)> {
    Some((name, Mark::Text(format!("{:.3}", at?))))
}

fn list(name: &'static str, texts: Vec<String>) -> Option<(&'static str, Mark)> {
    (!texts.is_empty()).then_some((name, Mark::Texts(texts)))
}
