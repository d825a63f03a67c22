//! Letters that failed for the same reason, and what to do about it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Entry;
use super::entry::{BROKER, FOREIGN, text};
use crate::explain;

/// The letters of one reason and code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub reason: String,
    pub code: Option<i64>,
    pub count: u64,
    /// That the letters name, each counted once.
    pub users: usize,
    /// By the time at which they were dead-lettered.
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
}

/// The same as `tagsweep explain` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub meaning: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// Of the error code, where the reason's own is not enough.
    pub code_advice: Option<&'static str>,
}

impl Group {
    pub fn explanation(&self) -> Explanation {
        explain(&self.reason, self.code)
    }

    /// The object of `list --json`.
    pub fn as_json(&self) -> Value {
        json!({
            "reason": self.reason,
            "code": self.code,
            "count": self.count,
            "users": self.users,
            "oldest": self.oldest.map(text),
            "newest": self.newest.map(text),
            "meaning": self.explanation().meaning,
        })
    }
}

/// By reason and code, the largest first.
pub fn groups(letters: &[Entry]) -> Vec<Group> {
    let mut found: BTreeMap<(&str, Option<i64>), Vec<&Entry>> = BTreeMap::new();
    for letter in letters {
        let key = (letter.reason.as_str(), letter.code);
        found.entry(key).or_default().push(letter);
    }
    let mut groups: Vec<Group> = found.into_iter().map(group).collect();
    groups.sort_by_key(|group| Reverse(group.count));
    groups
}

fn group(((reason, code), letters): ((&str, Option<i64>), Vec<&Entry>)) -> Group {
    let times = || letters.iter().filter_map(|letter| letter.dead_lettered_at);
    Group {
        reason: reason.to_owned(),
        code,
        count: letters.len() as u64,
        users: distinct_users(letters.iter().copied()),
        oldest: times().min(),
        newest: times().max(),
    }
}

pub(super) fn distinct_users<'a>(letters: impl IntoIterator<Item = &'a Entry>) -> usize {
    let users = letters.into_iter().flat_map(|letter| &letter.users);
    users.collect::<HashSet<_>>().len()
}

/// What a reason, with the API's error code if there is one, means and asks for.
pub fn explain(reason: &str, code: Option<i64>) -> Explanation {
    let known = explain::of_name(reason).or_else(|| {
        // Whatever the broker calls it.
        explain::of_name(match reason.starts_with(BROKER) {
            true => "broker:other",
            false => FOREIGN,
        })
    });
    let known = known.map(|known| (known.meaning.unwrap_or_default(), known.advice));
    let (meaning, advice) = known.unwrap_or_default();
    let code = code.map(explain::of_code);
    Explanation {
        meaning: code
            .as_ref()
            .and_then(|code| code.meaning)
            .unwrap_or(meaning),
        advice,
        code_advice: code.map(|code| code.advice).filter(|text| !text.is_empty()),
    }
}
