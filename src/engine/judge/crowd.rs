//! Many users are refused at once, and only calls for the control user succeed.
//!
//! More likely the API fails for all accounts but that one. So the verdicts wait for a user to be cleared; for half an
//! hour only, as a queue may hold nothing but bad users. Codes of class reject accuse a user: no crowd waits for them.

use std::time::{Duration, Instant};

use super::suspects::Suspect;
use crate::engine::{Engine, Notice};

/// So many users are a crowd.
const CROWD: usize = 8;
/// How long a crowd waits for somebody to be cleared.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// And how long if nobody else can come before it is judged.
const IN_THE_WAY: Duration = Duration::from_secs(3 * 60);
/// Between two calls of one of a crowd, which are many together.
pub(super) const AGAIN: Duration = Duration::from_secs(2 * 60);

#[derive(Debug, Default)]
pub(in super::super) struct Crowd {
    /// Since when verdicts wait.
    pub since: Option<Instant>,
    /// When they last ceased to.
    over: Option<Instant>,
    /// Users condemned since one was cleared.
    pub(super) condemned: usize,
    /// When a user was last condemned while others were cleared: the API is known to tell them apart.
    told_apart: Option<Instant>,
}

impl Crowd {
    /// A user of an event was cleared.
    pub(super) fn cleared(&mut self, now: Instant) {
        self.condemned = 0;
        if self.since.take().is_some() {
            self.over = Some(now);
        }
    }
}

impl Engine {
    /// Whether the verdict on a user waits that is suspected `since` then, and whose last call `started` then.
    pub(super) fn is_of_a_crowd(&mut self, since: Instant, started: Instant, now: Instant) -> bool {
        let crowd = &mut self.judge.crowd;
        if crowd.over > Some(started) {
            // Refused while it lasted: one call shows whether still.
            return true;
        }
        let cleared = self.judge.record.cleared;
        if cleared > Some(since) {
            crowd.told_apart = Some(now);
        }
        let patience = match self.ledger.unsettled() >= self.settings.prefetch {
            true => IN_THE_WAY,
            false => PATIENCE,
        };
        let is_known = crowd.told_apart.is_some_and(|at| now < at + PATIENCE);
        if is_known || now >= since + patience {
            return false;
        }
        let windows = self.windows.all();
        let suspects = windows.filter_map(|window| window.suspect.as_ref());
        let is_alike = |suspect: &&Suspect| cleared <= Some(suspect.since);
        // The one in question is in no window now.
        let users = 1 + suspects.filter(is_alike).count();
        if users + crowd.condemned < CROWD {
            return false;
        }
        if crowd.since.is_none() {
            crowd.since = Some(now);
            self.tell(Notice::NobodyCleared { users });
        }
        true
    }
}
