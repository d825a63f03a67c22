//! What an answer of the API means: by error code only, never by its text.
//!
//! The table `error-codes.tsv` beside this file is the one list of codes: the engine decides by it,
//! and `tagsweep explain` prints it.

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

/// What the worker does on an error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The API or the way to it has a bad moment: try again later.
    Transient,
    /// Too many calls: slow down and try again.
    Throttle,
    /// The UserSig has run out: make a new one and try again at once.
    AuthRefresh,
    /// Our configuration or the app's is wrong: pause, unless others go through.
    Config,
    /// The API rejects the request: split until the guilty user stands alone.
    Reject,
    /// Too many IDs or too large a body: split.
    Oversize,
    /// The account does not exist: nothing is left to clear.
    Missing,
    /// Either the UserSig or one of the IDs: refresh first, then as unknown.
    Ambiguous,
    /// Nobody knows: as transient.
    Unknown,
}

impl Class {
    pub const ALL: [Class; 9] = [
        Class::Transient,
        Class::Throttle,
        Class::AuthRefresh,
        Class::Config,
        Class::Reject,
        Class::Oversize,
        Class::Missing,
        Class::Ambiguous,
        Class::Unknown,
    ];

    /// Its name in the table, in metrics and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Class::Transient => "transient",
            Class::Throttle => "throttle",
            Class::AuthRefresh => "auth-refresh",
            Class::Config => "config",
            Class::Reject => "reject",
            Class::Oversize => "oversize",
            Class::Missing => "missing",
            Class::Ambiguous => "ambiguous",
            Class::Unknown => "unknown",
        }
    }

    /// What the worker does on such a code, in words for an operator.
    pub fn reaction(self) -> &'static str {
        match self {
            Class::Transient => {
                "The call is repeated with exponential backoff while other calls go on. A call that fails twice \
                 while others succeed is split. If nothing succeeds, the worker pauses and probes; nothing is \
                 dead-lettered in an outage. A single user that keeps failing while others succeed is \
                 dead-lettered as retries-exhausted."
            }
            Class::Throttle => {
                "The pace is halved at once and grows back slowly; the call is repeated. This never counts \
                 against a user."
            }
            Class::AuthRefresh => {
                "The worker creates a new UserSig, at most one a minute, and repeats the call at once. If the new \
                 one is refused too, it pauses: check this machine's clock and im.user_sig_lifetime."
            }
            Class::Config => {
                "The worker pauses, keeps every event in the queue, and probes after 1 s and then less and less \
                 often, up to once a minute. Nothing is dead-lettered. If only some users' calls get this answer \
                 while others succeed, the others go on."
            }
            Class::Reject => {
                "The call is split in halves until single users stand alone: good ones are cleared on the way. A \
                 user that is refused alone again and again while other calls succeed is dead-lettered as \
                 rejected-by-api. If calls for im.control_user are refused as well, the worker pauses and probes."
            }
            Class::Oversize => {
                "The call is split in halves. A single user that is too much while other calls succeed is \
                 dead-lettered as retries-exhausted: check im.path and window.max_ids."
            }
            Class::Missing => {
                "The account does not exist, so nothing is left to clear: the user counts as done, or is \
                 dead-lettered as unknown-account where im.missing_account says so."
            }
            Class::Ambiguous => {
                "The worker creates a new UserSig, at most one a minute, and repeats the call. If it is refused \
                 again while other calls succeed, it is split; else the worker pauses."
            }
            Class::Unknown => {
                "The call is repeated and then split, like after a passing failure. A single user that keeps \
                 failing while others succeed is dead-lettered as retries-exhausted; if nothing succeeds, the \
                 worker pauses."
            }
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct ErrorCode {
    pub code: i64,
    pub class: Class,
    pub meaning: &'static str,
    /// Who says so.
    pub source: &'static str,
}

static TABLE: LazyLock<Vec<ErrorCode>> = LazyLock::new(|| {
    let mut codes: Vec<ErrorCode> = include_str!("error-codes.tsv")
        .lines()
        .skip(1)
        .filter_map(parse_line)
        .collect();
    codes.sort_by_key(|entry| entry.code);
    codes
});

fn parse_line(line: &'static str) -> Option<ErrorCode> {
    let mut fields = line.split('\t');
    let code = fields.next()?.parse().ok()?;
    let name = fields.next()?;
    let class = Class::ALL.into_iter().find(|class| class.name() == name)?;
    Some(ErrorCode {
        code,
        class,
        meaning: fields.next()?,
        source: fields.next()?,
    })
}

/// All known error codes, in ascending order.
pub fn error_codes() -> &'static [ErrorCode] {
    &TABLE
}

/// What is known of `code`.
pub fn error_code(code: i64) -> Option<&'static ErrorCode> {
    TABLE
        .binary_search_by_key(&code, |entry| entry.code)
        .ok()
        .map(|place| &TABLE[place])
}

/// The class of `code`; a code that is not in the table is [`Class::Unknown`].
pub fn class(code: i64) -> Class {
    error_code(code).map_or(Class::Unknown, |entry| entry.class)
}
