//! Warnings about things that are normal one by one, but in number a sign of a wrong setting or publisher: events
//! of other types, and users unknown to the API. Logged at once, then at most once a minute.

use std::time::{Duration, Instant};

use crate::engine::Tally;
use crate::event::ForeignType;

const SAID_AGAIN: Duration = Duration::from_secs(60);
/// Minimum number of users for a ratio.
const FEW_USERS: u64 = 10;

pub(super) struct Unexpected {
    /// `events.types`.
    types: Vec<String>,
    /// Ignored and not said yet, with the type that came last.
    ignored: u64,
    latest: Option<ForeignType>,
    ignored_said: Option<Instant>,
    /// Messages of no known form, not said yet.
    unrecognised: u64,
    unrecognised_said: Option<Instant>,
    /// When the share of unknown users was taken last.
    users: Users,
    missing_said: Option<Instant>,
}

#[derive(Clone, Copy, Default)]
struct Users {
    missing: u64,
    all: u64,
}

impl Unexpected {
    pub(super) fn new(types: Vec<String>) -> Unexpected {
        Unexpected {
            types,
            ignored: 0,
            latest: None,
            ignored_said: None,
            unrecognised: 0,
            unrecognised_said: None,
            users: Users::default(),
            missing_said: None,
        }
    }

    /// An event is of another type.
    pub(super) fn ignored(&mut self, now: Instant, kind: ForeignType) {
        self.ignored += 1;
        self.latest = Some(kind);
        self.tell_ignored(now);
    }

    /// Logs what was not logged yet.
    pub(super) fn tell_ignored(&mut self, now: Instant) {
        if !is_due(self.ignored_said, now) {
            return;
        }
        let Some(kind) = self.latest.take() else {
            return;
        };
        self.ignored_said = Some(now);
        tracing::warn!(
            events_ignored = std::mem::take(&mut self.ignored),
            event_type = kind.name,
            type_from = kind.read_from.name(),
            events_types = ?self.types,
            "events ignored: their type is not in events.types"
        );
    }

    /// A message has no known form and no type: it is acknowledged, unless `events.unmatched` says otherwise.
    pub(super) fn unrecognised(&mut self, now: Instant) {
        self.unrecognised += 1;
        if is_due(self.unrecognised_said, now) {
            self.unrecognised_said = Some(now);
            tracing::warn!(
                events_ignored = std::mem::take(&mut self.unrecognised),
                "events ignored: no rule holds, and no form or type is recognised; see events.unmatched"
            );
        }
    }

    /// Calls are over.
    pub(super) fn users(&mut self, now: Instant, tally: &Tally) {
        if let Some(Users { missing, all }) = self.mostly_missing(now, tally) {
            tracing::warn!(
                users_missing = missing,
                users = all,
                "most users are unknown to the API: check the app, the region in im.base_url and the form of the user IDs"
            );
        }
    }

    /// The users since the last check, if most of them were unknown.
    fn mostly_missing(&mut self, now: Instant, tally: &Tally) -> Option<Users> {
        let before = self.users;
        let total = Users {
            missing: tally.users_missing,
            all: tally.users_cleared + tally.users_missing + tally.users_dead_lettered,
        };
        let since = Users {
            missing: total.missing - before.missing,
            all: total.all - before.all,
        };
        if since.all < FEW_USERS || !is_due(self.missing_said, now) {
            return None;
        }
        self.users = total;
        let mostly = since.missing > since.all / 2;
        mostly.then(|| {
            self.missing_said = Some(now);
            since
        })
    }
}

fn is_due(said: Option<Instant>, now: Instant) -> bool {
    said.is_none_or(|said| now >= said + SAID_AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_users_are_said_when_they_are_the_most_and_once_a_minute_with_their_number() {
        let mut unexpected = Unexpected::new(Vec::new());
        let start = Instant::now();
        let mut tally = Tally::default();
        let mut look = |seconds: u64, cleared: u64, missing: u64| {
            tally.users_cleared += cleared;
            tally.users_missing += missing;
            let now = start + Duration::from_secs(seconds);
            let found = unexpected.mostly_missing(now, &tally);
            found.map(|users| (users.missing, users.all))
        };
        assert_eq!(look(0, 0, 9), None, "too few to tell");
        assert_eq!(look(1, 2, 0), Some((9, 11)));
        assert_eq!(look(2, 0, 50), None, "said a second ago");
        assert_eq!(look(61, 10, 30), Some((80, 90)));
        assert_eq!(look(121, 50, 50), None, "a half is not most");
        assert_eq!(look(122, 4, 6), Some((6, 10)));
    }
}
