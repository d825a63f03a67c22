//! Many users are refused at once, and only calls for the control user succeed.
//!
//! More likely the API fails for all accounts but that one. So the verdicts wait for users to be cleared; for half an
//! hour only, as a queue may hold nothing but bad users. Codes of class reject accuse a user: no crowd waits for them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::Judge;
use super::codes::Class;
use super::pause::PauseReason;
use super::suspects::Suspect;
use crate::engine::window::Window;
use crate::engine::{Engine, Notice};
use crate::event::UserId;

/// So many users are a crowd.
const CROWD: usize = 8;
/// How long a user of a crowd waits for others to be cleared.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// And how long if nobody else can come before it is judged.
const IN_THE_WAY: Duration = Duration::from_secs(3 * 60);
/// How long it counts that a code was one user's own.
const TOLD_APART: Duration = Duration::from_secs(3 * 60);
/// Longest time between two calls for one user of a crowd, whose calls are many together.
const AGAIN: Duration = Duration::from_secs(2 * 60);
/// The same while users in windows that were refused may still make it a crowd: their calls come first.
const SOON: Duration = Duration::from_secs(20);
/// Maximum number of users that are remembered.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(in super::super) struct Crowd {
    /// When a verdict first waited since a user was last cleared.
    pub since: Option<Instant>,
    /// Users that only the control user spoke against: since when, and when it last did. They are kept when their
    /// deliveries go back, and several deliveries may name one.
    doubted: HashMap<UserId, (Instant, Instant)>,
    /// When, and for which refusal, calls for other users alone last sufficed to condemn one: the API tells users apart.
    told_apart: Option<(Instant, PauseReason)>,
    /// When it was last said that verdicts wait.
    told: Option<Instant>,
}

impl Crowd {
    /// Only the control user speaks against the user. Returns since when.
    fn doubt(&mut self, user: UserId, suspect: &Suspect, now: Instant) -> Instant {
        if self.doubted.len() >= MOST {
            self.doubted.clear();
        }
        self.doubted
            .retain(|_, (_, latest)| now < *latest + PATIENCE);
        let (since, latest) = self.doubted.entry(user).or_insert((suspect.since, now));
        *latest = now;
        *since
    }
}

impl Engine {
    /// The least time that the verdict on a user who was refused with `refusal`, latest at `refused`, still waits; none
    /// if it does not.
    pub(super) fn verdict_waits(
        &mut self,
        user: UserId,
        suspect: &Suspect,
        refusal: PauseReason,
        refused: Instant,
        now: Instant,
    ) -> Option<Duration> {
        let Judge { record, crowd, .. } = &mut self.judge;
        if record.tells_apart(suspect, now) {
            crowd.told_apart = Some((now, refusal));
        }
        let is_known = |(at, known)| now < at + TOLD_APART && known == refusal;
        if crowd.told_apart.is_some_and(is_known) {
            return None;
        }
        let since = crowd.doubt(user, suspect, now);
        let patience = match self.ledger.unsettled() >= self.settings.prefetch {
            true => IN_THE_WAY,
            false => PATIENCE,
        };
        // Of a time without calls, such as a pause, nothing is known.
        if refused >= since + patience {
            return None;
        }
        let is_alike =
            |window: &&Window| window.suspect.is_some() && window.refusal.class != Class::Reject;
        let alike = self.windows.all().filter(is_alike);
        let alike = alike.flat_map(|window| &window.claims);
        let users = alike.map(|claim| &claim.user).chain(crowd.doubted.keys());
        let users: HashSet<&UserId> = users.collect();
        if users.len() < CROWD {
            // Where calls are few, most are still in company when the first is judged.
            let is_open = |window: &&Window| window.strikes > 0 && !window.is_alone();
            let open = self.windows.all().filter(is_open);
            let open = open.map(|window| window.claims.len());
            let is_soon_known = users.len() + open.sum::<usize>() >= CROWD;
            return is_soon_known.then(|| self.jitter.spread(SOON));
        }
        crowd.since = crowd.since.or(Some(now));
        if crowd.told.is_none_or(|told| now >= told + PATIENCE) {
            crowd.told = Some(now);
            let users = users.len();
            self.tell(Notice::NobodyCleared { users });
        }
        Some(self.jitter.spread(AGAIN))
    }
}
