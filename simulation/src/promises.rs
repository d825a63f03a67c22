//! The guarantees about single users: when an event may be acknowledged, and who may be
//! dead-lettered.
//!
//! They use only facts: what the plan says about a user, and what the API answered. They do not use
//! the engine's rules for bad users.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::engine::{Answer, Letter, MissingAccount, Reason};

use crate::codes::is_missing;
use crate::names::{CONTROL, number};
use crate::plan::{Body, Plan, Publication, Returns};

/// What one run of the worker process was told. A restarted one knows nothing.
#[derive(Debug, Default)]
pub struct Told {
    /// The start of the latest call that cleared the user.
    cleared: HashMap<u32, Duration>,
    /// The start of the latest call on which the API said that it does not know the user.
    missing: HashMap<u32, Duration>,
    /// What confirmed letters say of each event: users by number, or the event as a whole.
    letters: HashMap<usize, HashSet<Option<u32>>>,
}

impl Told {
    /// A call is over that began at `start`.
    pub fn answered(&mut self, start: Duration, users: &[u32], answer: &Answer) {
        match answer {
            Answer::Done { failed } => {
                let failed: HashMap<u32, i64> = failed
                    .iter()
                    .map(|(user, code)| (number(user), *code))
                    .collect();
                for user in users {
                    match failed.get(user) {
                        None => note(&mut self.cleared, *user, start),
                        Some(code) if is_missing(*code) => note(&mut self.missing, *user, start),
                        Some(_) => {}
                    }
                }
            }
            // Of a call for several users it says nothing about each.
            Answer::Refused(code) if is_missing(*code) && users.len() == 1 => {
                note(&mut self.missing, users[0], start);
            }
            _ => {}
        }
    }

    /// Whether the API has taken the control user.
    pub fn has_control(&self) -> bool {
        self.cleared.contains_key(&CONTROL)
    }

    /// A letter about this event was confirmed by the broker.
    pub fn confirmed(&mut self, event: usize, letter: &Letter) {
        let letters = self.letters.entry(event).or_default();
        if letter.users.is_empty() {
            letters.insert(None);
        }
        letters.extend(letter.users.iter().map(|user| Some(number(user))));
    }

    /// The first promise: acknowledged is only an event whose every user was cleared, by a call made after
    /// the event came up, is unknown to the API, or is named by a confirmed letter. So a bad user's event never
    /// ends without a letter: the API clears it in no call.
    pub fn may_acknowledge(
        &self,
        number: usize,
        event: &Publication,
        since: Duration,
        plan: &Plan,
    ) -> Result<(), String> {
        let letters = self.letters.get(&number);
        let is_lettered =
            |what: Option<u32>| letters.is_some_and(|letters| letters.contains(&what));
        if matches!(event.body, Body::Malformed | Body::WithInvalidId) && !is_lettered(None) {
            return Err("acknowledged before its dead letter was confirmed".to_owned());
        }
        let is_after = |start: Option<&Duration>| start.is_some_and(|start| *start >= since);
        let missing_is_done = plan.settings.missing_account == MissingAccount::Done;
        for user in &event.users {
            let is_done = is_after(self.cleared.get(user))
                || missing_is_done && is_after(self.missing.get(user))
                || is_lettered(Some(*user));
            if !is_done {
                return Err(format!("acknowledged before user {user} was done"));
            }
        }
        Ok(())
    }

    /// The third and the fourth promise: nobody is dead-lettered whom the API would take, unless the broker may
    /// drop the event instead.
    pub fn may_dead_letter(
        &self,
        letter: &Letter,
        event: &Publication,
        returns: Returns,
        plan: &Plan,
    ) -> Result<(), String> {
        match (letter.reason, event.body) {
            (Reason::MalformedEvent, Body::Malformed) => return Ok(()),
            (Reason::InvalidUserId, Body::WithInvalidId) if letter.users.is_empty() => {
                return Ok(());
            }
            (Reason::MalformedEvent | Reason::UnrecognisedEvent | Reason::InvalidUserId, _) => {
                return Err("a good event was dead-lettered as unreadable".to_owned());
            }
            _ if letter.users.is_empty() => {
                return Err(format!(
                    "a letter for {} names nobody",
                    letter.reason.name()
                ));
            }
            _ => {}
        }
        let reason = letter.reason.name();
        for user in letter.users.iter().map(number) {
            if !event.users.contains(&user) {
                return Err(format!(
                    "a letter names user {user}, who is not in its event"
                ));
            }
            match letter.reason {
                Reason::UnknownAccount => self.may_be_missing(user, plan)?,
                Reason::ReturnedTooOften if returns != Returns::Many => {}
                Reason::ReturnedTooOften => {
                    return Err("a letter for an event that may go back many times".to_owned());
                }
                _ if plan.is_innocent(user) => {
                    return Err(format!(
                        "an innocent user was dead-lettered as {reason}: {user}"
                    ));
                }
                _ => Self::may_have_code(letter.code, user, plan)?,
            }
        }
        Ok(())
    }

    fn may_be_missing(&self, user: u32, plan: &Plan) -> Result<(), String> {
        if plan.settings.missing_account == MissingAccount::Done {
            return Err("a letter for an unknown account, which counts as done".to_owned());
        }
        if !self.missing.contains_key(&user) {
            return Err(format!(
                "a letter for an unknown account, but the API knows user {user}"
            ));
        }
        Ok(())
    }

    /// In good weather there is only one code that the API has for a bad user.
    fn may_have_code(code: Option<i64>, user: u32, plan: &Plan) -> Result<(), String> {
        let own = plan.bad.get(&user).and_then(|bad| bad.code());
        if plan.is_undisturbed() && code != own {
            return Err(format!(
                "the letter about user {user} says {code:?}, and the API always said {own:?}"
            ));
        }
        Ok(())
    }
}

fn note(latest: &mut HashMap<u32, Duration>, user: u32, start: Duration) {
    let known = latest.entry(user).or_insert(start);
    *known = start.max(*known);
}
