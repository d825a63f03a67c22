//! Which letters are meant.

use jiff::Timestamp;

use super::Entry;

/// Several values of one field are alternatives; different fields narrow. Empty, it matches every letter.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub reasons: Vec<String>,
    pub codes: Vec<i64>,
    /// Users that a letter names. `Debug` does not show them.
    pub users: Vec<String>,
    /// Dead-lettered at this time or later, at any of them.
    pub since: Vec<Timestamp>,
    /// Dead-lettered at this time or earlier, at any of them.
    pub until: Vec<Timestamp>,
    pub ids: Vec<String>,
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    pub fn matches(&self, letter: &Entry) -> bool {
        let at = letter.dead_lettered_at.or(letter.first_seen);
        any(&self.reasons, |reason| *reason == letter.reason)
            && any(&self.codes, |code| Some(*code) == letter.code)
            && any(&self.users, |user| letter.users.contains(user))
            && any(&self.since, |since| at.is_some_and(|at| at >= *since))
            && any(&self.until, |until| at.is_some_and(|at| at <= *until))
            && any(&self.ids, |id| *id == letter.id)
    }
}

fn any<T>(allowed: &[T], is: impl Fn(&T) -> bool) -> bool {
    allowed.is_empty() || allowed.iter().any(is)
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter")
            .field("reasons", &self.reasons)
            .field("codes", &self.codes)
            .field("users", &self.users.len())
            .field("since", &self.since)
            .field("until", &self.until)
            .field("ids", &self.ids)
            .finish()
    }
}
