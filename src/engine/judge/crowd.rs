//! Many users are refused at once, and only calls for the control user succeed.
//!
//! More likely the API fails for all accounts but that one. So the verdicts wait for a user to be cleared; for half an
//! hour only, as a queue may hold nothing but bad users. Codes of class reject accuse a user: no crowd waits for them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::pause::PauseReason;
use super::suspects::Suspect;
use crate::engine::window::Window;
use crate::engine::{Engine, Notice};
use crate::event::UserId;

/// So many users are a crowd.
const CROWD: usize = 8;
/// How long a crowd waits for somebody to be cleared.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// And how long if nobody else can come before it is judged.
const IN_THE_WAY: Duration = Duration::from_secs(3 * 60);
/// How long it counts that a code was one user's own.
const TOLD_APART: Duration = Duration::from_secs(3 * 60);
/// Between two calls of one of a crowd, which are many together.
const AGAIN: Duration = Duration::from_secs(2 * 60);

#[derive(Debug, Default)]
pub(in super::super) struct Crowd {
    /// Since when verdicts wait.
    pub since: Option<Instant>,
    /// Users condemned since one was cleared.
    condemned: HashSet<UserId>,
    /// When and for what a user was last condemned while others were cleared: by that the API tells users apart.
    told_apart: Option<(Instant, PauseReason)>,
}

impl Crowd {
    /// A user of an event was cleared.
    pub(super) fn cleared(&mut self) {
        self.condemned.clear();
        self.since = None;
    }
}

impl Engine {
    /// How long the verdict on a user waits at least who was refused with `refusal`; none: not at all.
    pub(super) fn verdict_waits(
        &mut self,
        user: UserId,
        suspect: &Suspect,
        refusal: PauseReason,
        now: Instant,
    ) -> Option<Duration> {
        let cleared = self.judge.record.cleared;
        let since = Some(suspect.since);
        let crowd = &mut self.judge.crowd;
        if suspect.others_cleared > since {
            crowd.told_apart = Some((now, refusal));
        } else if cleared > since {
            // Refused while nobody was cleared: one more call shows whether still.
            return Some(Duration::ZERO);
        }
        let patience = match self.ledger.unsettled() >= self.settings.prefetch {
            true => IN_THE_WAY,
            false => PATIENCE,
        };
        let is_known = |(at, known)| now < at + TOLD_APART && known == refusal;
        if crowd.told_apart.is_some_and(is_known) || now >= suspect.since + patience {
            return None;
        }
        // Where calls are few, most are still in company when the first is judged.
        let is_alike = |window: &&Window| match &window.suspect {
            Some(suspect) => cleared <= Some(suspect.since),
            None => window.strikes > 0 && cleared <= window.called,
        };
        let alike = self.windows.all().filter(is_alike);
        let alike: Vec<usize> = alike.map(|window| window.claims.len()).collect();
        let condemned = crowd.condemned.iter().filter(|other| **other != user);
        // The one in question is in no window now. Of those in company one at least is bad, if it is not an outage.
        if 1 + alike.len() + condemned.count() < CROWD {
            crowd.condemned.insert(user);
            return None;
        }
        if crowd.since.is_none() {
            crowd.since = Some(now);
            let users = 1 + alike.iter().sum::<usize>();
            self.tell(Notice::NobodyCleared { users });
        }
        Some(self.jitter.spread(AGAIN))
    }
}
