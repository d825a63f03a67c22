//! The meaning of API answers: by error code only, never by text.
//!
//! The table `error-codes.tsv` beside this file is the one list of codes: the engine decides by it,
//! and `tagsweep explain` prints it.

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use crate::engine::named::named;

named! {
    /// What the worker does on an error code; the names are those in the table, in metrics and in logs.
    pub enum Class {
        /// The API or the network fails for the moment: retry later.
        Transient => "transient",
        /// Too many calls: slow down and retry.
        Throttle => "throttle",
        /// The UserSig has expired: create a new one and retry at once.
        AuthRefresh => "auth-refresh",
        /// The configuration, or the app's, is wrong: pause, unless other calls succeed.
        Config => "config",
        /// The API rejects the request: split until the rejected user is alone.
        Reject => "reject",
        /// Too many IDs or too large a body: split.
        Oversize => "oversize",
        /// The account does not exist: nothing is left to clear.
        Missing => "missing",
        /// Either the UserSig or an ID is wrong: renew the UserSig first, then as unknown.
        Ambiguous => "ambiguous",
        /// Not in the table, or nobody knows what it means: as transient.
        Unknown => "unknown",
    }
}

impl Class {
    pub(super) fn named(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct ErrorCode {
    pub code: i64,
    pub class: Class,
    pub meaning: &'static str,
    /// The source.
    pub source: &'static str,
}

static TABLE: LazyLock<Vec<ErrorCode>> = LazyLock::new(|| {
    let lines = include_str!("error-codes.tsv").lines().skip(1);
    let mut codes: Vec<ErrorCode> = lines.filter_map(parse_line).collect();
    codes.sort_by_key(|entry| entry.code);
    codes
});

fn parse_line(line: &'static str) -> Option<ErrorCode> {
    let mut fields = line.split('\t');
    let code = fields.next()?.parse().ok()?;
    Some(ErrorCode {
        code,
        class: Class::named(fields.next()?)?,
        meaning: fields.next()?,
        source: fields.next()?,
    })
}

/// All known error codes, in ascending order.
pub fn error_codes() -> &'static [ErrorCode] {
    &TABLE
}

/// The table's line for `code`.
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
