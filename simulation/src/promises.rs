//! What a worker must be able to say for itself: the promises, checked against what it can know.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

use crate::engine::{Answer, Class, Letter, MissingAccount, Reason, Settings, class};
use crate::event::UserId;

use crate::plan::{Body, Plan, Publication, secs};

const NAMED: u32 = 4_000;
/// Stands for whatever came instead of an answer: a passing failure.
const NO_ANSWER: i64 = 91000;

static NAMES: LazyLock<Vec<UserId>> = LazyLock::new(|| {
    let name = |number| UserId::parse(&format!("u{number}")).expect("it keeps to the rule");
    (0..NAMED).map(name).collect()
});

pub fn user(number: u32) -> UserId {
    NAMES[number as usize]
}

pub fn number(user: &UserId) -> u32 {
    user.as_str()[1..].parse().expect("it came from here")
}

/// What one run of the worker process has seen happen. A restarted one knows nothing.
#[derive(Debug)]
pub struct Knowledge {
    began: Duration,
    max_attempts: u32,
    /// After this time a lone rejected user is believed to be guilty.
    lone_after: Duration,
    /// The start of the latest call that is known to have cleared the user.
    cleared: HashMap<u32, Duration>,
    /// What confirmed letters say of each publication: users by name, or the event as a whole.
    letters: HashMap<usize, HashSet<Option<u32>>>,
    records: HashMap<u32, Record>,
    /// When calls succeeded, in order.
    successes: Vec<Duration>,
    /// What has been shown of users, for good.
    proven: HashSet<(u32, Proof)>,
    /// Users that were dead-lettered without a witness.
    alone: HashSet<u32>,
}

/// A user's failures. One that was cleared in between may still wait in another window.
#[derive(Debug, Default)]
struct Record {
    failures: u32,
    first_failure: Option<Duration>,
    rejections: u32,
    first_rejection: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Proof {
    Missing,
    /// Rejected again after another call succeeded.
    Rejected,
    /// Rejected three times, or for five minutes, and no other call was there to tell.
    RejectedAlone,
    /// Failed as often as allowed, and others succeeded meanwhile.
    Exhausted,
}

impl Knowledge {
    pub fn new(began: Duration, settings: &Settings) -> Knowledge {
        Knowledge {
            began,
            max_attempts: settings.max_attempts,
            lone_after: secs(300).min(settings.hold_limit / 2),
            cleared: HashMap::new(),
            letters: HashMap::new(),
            records: HashMap::new(),
            successes: Vec::new(),
            proven: HashSet::new(),
            alone: HashSet::new(),
        }
    }

    /// A call is over that began at `start`.
    pub fn answered(&mut self, now: Duration, start: Duration, users: &[UserId], answer: &Answer) {
        let code_of = |user: &UserId| match answer {
            Answer::Done { failed } => {
                let listed = failed.iter().find(|(listed, _)| listed == user);
                listed.map(|(_, code)| *code)
            }
            Answer::Refused(code) => Some(*code),
            _ => Some(NO_ANSWER),
        };
        let is_missing = |code| class(code) == Class::Missing;
        let listed = matches!(answer, Answer::Done { .. });
        // Gone is a user that was cleared, or is named as unknown and not in the company of others.
        let gone = |user: &UserId| {
            code_of(user).is_none_or(|code| is_missing(code) && (listed || users.len() == 1))
        };
        let success = listed && users.iter().any(gone);
        let before = self.successes.partition_point(|at| *at <= start);
        let earlier = before.checked_sub(1).map(|last| self.successes[last]);
        // Whoever fails in a call that does its work for others has its witness there.
        let witness = if success { Some(now) } else { earlier };
        for id in users {
            let user = number(id);
            let code = code_of(id);
            if !gone(id) {
                self.failed(now, user, code, witness);
                continue;
            }
            if code.is_some() {
                self.proven.insert((user, Proof::Missing));
            }
            let cleared = self.cleared.entry(user).or_insert(start);
            *cleared = start.max(*cleared);
        }
        if success {
            self.successes.push(now);
        }
    }

    /// `witness` is the last success that speaks for the API.
    fn failed(&mut self, now: Duration, user: u32, code: Option<i64>, witness: Option<Duration>) {
        let record = self.records.entry(user).or_default();
        record.failures += 1;
        let first_failure = *record.first_failure.get_or_insert(now);
        if record.failures >= self.max_attempts && witness >= Some(first_failure) {
            self.proven.insert((user, Proof::Exhausted));
        }
        let offends = [Class::Reject, Class::Oversize, Class::Ambiguous];
        if !code.is_some_and(|code| offends.contains(&class(code))) {
            return;
        }
        record.rejections += 1;
        let first = *record.first_rejection.get_or_insert(now);
        if witness >= Some(first) {
            self.proven.insert((user, Proof::Rejected));
        }
        if record.rejections >= 3 || now >= first + self.lone_after {
            self.proven.insert((user, Proof::RejectedAlone));
        }
    }

    /// The first promise: acknowledged is only what was cleared by a call made after the event came up,
    /// or what a confirmed letter names.
    pub fn may_acknowledge(
        &self,
        name: usize,
        event: &Publication,
        since: Duration,
    ) -> Result<(), String> {
        let lettered = |what: Option<u32>| {
            self.letters
                .get(&name)
                .is_some_and(|letters| letters.contains(&what))
        };
        if matches!(event.body, Body::Malformed | Body::WithInvalidId) && !lettered(None) {
            return Err("acknowledged before its dead letter was confirmed".to_owned());
        }
        for user in &event.users {
            let cleared = self.cleared.get(user).is_some_and(|start| *start >= since);
            if !cleared && !lettered(Some(*user)) {
                return Err(format!("acknowledged before user {user} was done"));
            }
        }
        Ok(())
    }

    pub fn confirmed(&mut self, name: usize, letter: &Letter) {
        let letters = self.letters.entry(name).or_default();
        if letter.users.is_empty() {
            letters.insert(None);
        }
        letters.extend(letter.users.iter().map(|user| Some(number(user))));
    }

    /// The third and the fourth promise: nobody is dead-lettered who did not earn it.
    pub fn may_dead_letter(
        &mut self,
        now: Duration,
        letter: &Letter,
        event: &Publication,
        plan: &Plan,
    ) -> Result<(), String> {
        match (letter.reason, event.body) {
            (Reason::MalformedEvent, Body::Malformed) => return Ok(()),
            (Reason::InvalidUserId, Body::WithInvalidId) if letter.users.is_empty() => {
                return Ok(());
            }
            (Reason::MalformedEvent | Reason::InvalidUserId, _) => {
                return Err("a good event was dead-lettered as unreadable".to_owned());
            }
            _ => {}
        }
        for user in letter.users.iter().map(number) {
            if !event.users.contains(&user) {
                return Err(format!(
                    "a letter names user {user}, who is not in its event"
                ));
            }
            self.may_blame(now, letter.reason, user, plan)
                .map_err(|why| {
                    format!(
                        "user {user} was dead-lettered as {} {why}",
                        letter.reason.name()
                    )
                })?;
        }
        Ok(())
    }

    fn may_blame(
        &mut self,
        now: Duration,
        reason: Reason,
        user: u32,
        plan: &Plan,
    ) -> Result<(), &'static str> {
        let is = |proof| self.proven.contains(&(user, proof));
        let asked = plan.settings.missing_account == MissingAccount::DeadLetter;
        match reason {
            Reason::UnknownAccount if asked && is(Proof::Missing) => Ok(()),
            Reason::UnknownAccount => Err("though the API knows it"),
            Reason::RetriesExhausted if is(Proof::Exhausted) => Ok(()),
            Reason::RetriesExhausted => Err("too early, or though nothing succeeded meanwhile"),
            // It may be that a call of all users in a list failed only because of this one.
            Reason::RejectedByApi if is(Proof::Rejected) || plan.is_rejected(user) => Ok(()),
            Reason::RejectedByApi if is(Proof::RejectedAlone) => self.blame_alone(now, user),
            _ => Err("though nothing succeeded since it was rejected first"),
        }
    }

    /// Without a witness one user is believed guilty in five minutes.
    fn blame_alone(&mut self, now: Duration, user: u32) -> Result<(), &'static str> {
        self.alone.insert(user);
        let allowed = 1 + (now - self.began).as_secs() / 300;
        if self.alone.len() as u64 > allowed {
            return Err("without a witness, as one of too many");
        }
        Ok(())
    }
}

/// How many IDs may wait at most: the room for them, the event that fills it, and what comes back from calls.
pub fn most_pending(settings: &Settings, plan: &Plan) -> usize {
    let event = plan.publications.iter().map(|it| it.users.len()).max();
    settings.prefetch.max(2 * settings.max_ids)
        + event.unwrap_or_default()
        + settings.max_in_flight * settings.max_ids
}
