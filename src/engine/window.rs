//! Windows: the users of one call, from the moment they are cut until each has a verdict.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::judge::{Class, Refusals, Suspect};
use super::pace::Slot;
use super::pending::{Claim, Waiters};
use super::{Delivery, Trigger};
use crate::event::UserId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowId(pub u64);

#[derive(Clone, Debug)]
pub(super) struct Window {
    pub claims: Vec<Claim>,
    /// Why its next call is made.
    pub trigger: Trigger,
    /// Calls made for these users, in whatever company.
    pub calls: u32,
    /// When its last call started.
    pub called: Option<Instant>,
    /// Failures in a row, by which the next try is put off.
    pub failures: u32,
    /// Failures while others went through, of these users in whatever company.
    pub strikes: u32,
    /// What is held against its user, once it was refused alone.
    pub suspect: Option<Suspect>,
    pub history: History,
}

/// One call that was refused, for all its users.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub at: Instant,
    pub class: Class,
    pub code: Option<i64>,
    /// When the window may be called again.
    pub due: Instant,
    /// When it is called again though nothing is known to have gone through, where no control call can tell.
    pub overdue: Instant,
}

impl Window {
    pub(super) fn new(claims: Vec<Claim>, trigger: Trigger) -> Window {
        Window {
            claims,
            trigger,
            calls: 0,
            called: None,
            failures: 0,
            strikes: 0,
            suspect: None,
            history: History::default(),
        }
    }

    /// One for a user that was refused alone before.
    pub(super) fn of_suspect(user: UserId, delivery: Delivery, suspect: Suspect) -> Window {
        let waiters = Waiters::One(delivery);
        Window {
            suspect: Some(suspect),
            ..Window::new(vec![Claim { user, waiters }], Trigger::Retry)
        }
    }

    /// Whether nobody but this delivery waits for it.
    pub(super) fn is_for(&self, delivery: Delivery) -> bool {
        let mut claims = self.claims.iter();
        claims.all(|claim| claim.waiters.as_slice() == [delivery])
    }

    pub(super) fn is_alone(&self) -> bool {
        self.claims.len() == 1
    }

    /// The two halves, each to be called at once. A guilty user among `n` is alone after log2(n) splits.
    pub(super) fn split(mut self) -> [Window; 2] {
        let second = self.claims.split_off(self.claims.len().div_ceil(2));
        [std::mem::take(&mut self.claims), second].map(|claims| Window {
            trigger: Trigger::Split,
            failures: 0,
            ..self.part(claims)
        })
    }

    /// A window of some of its users, with the same past.
    pub(super) fn part(&self, claims: Vec<Claim>) -> Window {
        Window {
            claims,
            ..self.clone()
        }
    }
}

/// The refused calls that a window and its like come from: once all of their users have gone through, those
/// refusals were wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct History(Option<Arc<Refused>>);

#[derive(Debug)]
struct Refused {
    calls: Refusals,
    /// One of its users was found guilty, or was lost sight of.
    explained: AtomicBool,
    before: History,
}

impl History {
    /// One more call was refused, for all who share this history from now on.
    pub(super) fn refused(&mut self, reject: bool) {
        if let Some(refused) = self.0.as_mut().and_then(Arc::get_mut)
            && !*refused.explained.get_mut()
        {
            refused.calls.add(reject);
            return;
        }
        let mut calls = Refusals::default();
        calls.add(reject);
        *self = History(Some(Arc::new(Refused {
            calls,
            explained: AtomicBool::new(false),
            before: std::mem::take(self),
        })));
    }

    /// All who held this end of the history went through. Returns the refusals that this shows to be wrong:
    /// those which nobody else is left to explain.
    pub(super) fn went_through(self) -> Refusals {
        let mut wronged = Refusals::default();
        let mut history = self;
        while let Some(refused) = history.0.and_then(Arc::into_inner) {
            if !refused.explained.into_inner() {
                wronged += refused.calls;
            }
            history = refused.before;
        }
        wronged
    }

    /// Somebody who shares this history explains its refusals.
    pub(super) fn explain(&self) {
        let mut history = self;
        while let Some(refused) = &history.0
            && !refused.explained.swap(true, Ordering::Relaxed)
        {
            history = &refused.before;
        }
    }
}

/// Which of the windows that wait come first: the smallest, and among those the oldest. So what was begun is
/// finished first, and some users are judged soon, however many there are.
type Rank = (usize, WindowId);

/// All windows: those in a call, and those that wait for one.
#[derive(Debug, Default)]
pub(super) struct Windows {
    in_call: HashMap<WindowId, (Window, Slot)>,
    /// Put off until a moment.
    waiting: BTreeMap<(Instant, WindowId), Window>,
    /// Refused, while it is not known whether another call goes through: of class reject, or of another.
    unwitnessed: [BTreeMap<(Instant, WindowId), (Window, Refusal)>; 2],
    /// When the first of each kind is due; looked up now and then, so it may be none any more.
    overdue: [Option<Instant>; 2],
    /// To be called.
    ready: BTreeMap<Rank, Window>,
    /// Users of all that are in no call.
    users: usize,
    next: u64,
}

impl Windows {
    pub(super) fn new_id(&mut self) -> WindowId {
        self.next += 1;
        WindowId(self.next)
    }

    /// The window goes out with the call that holds `slot`.
    pub(super) fn call(&mut self, mut window: Window, slot: Slot, now: Instant) -> WindowId {
        window.called = Some(now);
        window.calls += 1;
        let id = self.new_id();
        self.in_call.insert(id, (window, slot));
        id
    }

    /// The call is over.
    pub(super) fn answered(&mut self, id: WindowId) -> Option<(Window, Slot)> {
        self.in_call.remove(&id)
    }

    /// The window waits until `due`.
    pub(super) fn wait(&mut self, window: Window, due: Instant) {
        self.users += window.claims.len();
        let id = self.new_id();
        self.waiting.insert((due, id), window);
    }

    /// The window is to be called as soon as there is room.
    pub(super) fn make_ready(&mut self, window: Window) {
        self.users += window.claims.len();
        let id = self.new_id();
        self.ready.insert((window.claims.len(), id), window);
    }

    /// The window was refused, and nothing is known to have gone through since.
    pub(super) fn await_witness(&mut self, window: Window, refusal: Refusal) {
        self.users += window.claims.len();
        let id = self.new_id();
        let kind = usize::from(refusal.class == Class::Reject);
        let overdue = self.overdue[kind].map_or(refusal.overdue, |due| due.min(refusal.overdue));
        self.overdue[kind] = Some(overdue);
        self.unwitnessed[kind].insert((refusal.at, id), (window, refusal));
    }

    /// The next window whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Window> {
        let first = self.waiting.first_entry();
        let due = first.filter(|entry| entry.key().0 <= now)?.remove();
        self.taken(due)
    }

    /// The next window whose refusal, of class reject or not, came at `witness` or before.
    pub(super) fn take_witnessed(
        &mut self,
        reject: bool,
        witness: Instant,
    ) -> Option<(Window, Refusal)> {
        let first = self.unwitnessed[usize::from(reject)].first_entry();
        let (window, refusal) = first.filter(|entry| entry.key().0 <= witness)?.remove();
        Some((self.taken(window)?, refusal))
    }

    /// The windows that are due while they wait for a witness.
    pub(super) fn take_overdue(&mut self, reject: bool, now: Instant) -> Vec<(Window, Refusal)> {
        let kind = usize::from(reject);
        if self.overdue[kind].is_none_or(|due| now < due) {
            return Vec::new();
        }
        let refused = &mut self.unwitnessed[kind];
        let due = refused.extract_if(.., |_, (_, refusal)| refusal.overdue <= now);
        let due: Vec<_> = due.map(|(_, due)| due).collect();
        self.overdue[kind] = refused.values().map(|(_, refusal)| refusal.overdue).min();
        let users = due.iter().map(|(window, _)| window.claims.len());
        self.users -= users.sum::<usize>();
        due
    }

    pub(super) fn take_ready(&mut self) -> Option<Window> {
        let (_, ready) = self.ready.pop_first()?;
        self.taken(ready)
    }

    /// The window that was called longest ago, wherever it waits. Probes go round with this, so that one bad
    /// user cannot fail all of them.
    pub(super) fn take_least_called(&mut self) -> Option<Window> {
        let wanted = self.not_in_call().map(|window| window.called).min()?;
        let mut found = false;
        let first =
            |window: &Window| window.called == wanted && !std::mem::replace(&mut found, true);
        self.extract(first).pop()
    }

    /// Takes out the windows that `wanted` picks among those that are in no call.
    pub(super) fn extract(&mut self, mut wanted: impl FnMut(&Window) -> bool) -> Vec<Window> {
        let mut taken = Vec::new();
        for refused in &mut self.unwitnessed {
            let picked = refused.extract_if(.., |_, (window, _)| wanted(window));
            taken.extend(picked.map(|(_, (window, _))| window));
        }
        let picked = self.waiting.extract_if(.., |_, window| wanted(window));
        taken.extend(picked.map(|(_, window)| window));
        let picked = self.ready.extract_if(.., |_, window| wanted(window));
        taken.extend(picked.map(|(_, window)| window));
        let users = taken.iter().map(|window| window.claims.len());
        self.users -= users.sum::<usize>();
        taken
    }

    fn taken(&mut self, window: Window) -> Option<Window> {
        self.users -= window.claims.len();
        Some(window)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When the first was refused of the windows that wait for a witness, of class reject or not.
    pub(super) fn first_refused(&self, reject: bool) -> Option<Instant> {
        let first = self.unwitnessed[usize::from(reject)].first_key_value();
        first.map(|((at, _), _)| *at)
    }

    /// When the first is due of the windows that wait for a witness, of class reject or not.
    pub(super) fn first_overdue(&self, reject: bool) -> Option<Instant> {
        self.first_refused(reject)
            .and(self.overdue[usize::from(reject)])
    }

    pub(super) fn calls(&self) -> usize {
        self.in_call.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_call.is_empty() && self.users == 0
    }

    /// All windows, in a call or not.
    pub(super) fn all(&self) -> impl Iterator<Item = &Window> {
        let in_call = self.in_call.values().map(|(window, _)| window);
        in_call.chain(self.not_in_call())
    }

    pub(super) fn not_in_call(&self) -> impl Iterator<Item = &Window> {
        let unwitnessed = self.unwitnessed.iter().flat_map(BTreeMap::values);
        let unwitnessed = unwitnessed.map(|(window, _)| window);
        let waiting = self.waiting.values().chain(unwitnessed);
        waiting.chain(self.ready.values())
    }

    /// Users that wait for another call.
    pub(super) fn waiting_users(&self) -> usize {
        self.users
    }
}
