//! Windows: the users of one call, from the moment they are cut until each has a verdict.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use smallvec::smallvec;

use super::judge::{Class, PauseReason, Refusals, Suspect};
use super::pace::Slot;
use super::pending::Claim;
use super::{Delivery, Trigger};
use crate::event::UserId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowId(pub u64);

#[derive(Clone, Debug)]
pub(super) struct Window {
    pub claims: Vec<Claim>,
    /// Why its next call is made.
    pub trigger: Trigger,
    /// Calls made for these users, alone or with others.
    pub calls: u32,
    /// When its last call started.
    pub called: Option<Instant>,
    /// Failures in a row, which determine the backoff.
    pub failures: u32,
    /// Failures of these users, alone or with others, while other calls succeeded.
    pub strikes: u32,
    /// The refusals of its user, once it was refused alone.
    pub suspect: Option<Suspect>,
    /// Why its last call was refused.
    pub refusal: PauseReason,
    /// Since when it waits for a witness. If it is called again before there is one, both refusals count as one.
    pub unwitnessed: Option<Instant>,
    /// When its last call was throttled.
    pub throttled: Option<Instant>,
    /// When it may be called again; none: at once.
    pub due: Option<Instant>,
    /// When it is called again without a witness, if control calls prove nothing.
    pub overdue: Option<Instant>,
    pub history: History,
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
            refusal: PauseReason::NO_ANSWER,
            unwitnessed: None,
            throttled: None,
            due: None,
            overdue: None,
            history: History::default(),
        }
    }

    /// A window for a user that was refused alone before.
    pub(super) fn of_suspect(user: UserId, delivery: Delivery, suspect: Suspect) -> Window {
        let waiters = smallvec![delivery];
        Window {
            history: History::of(suspect.refusals),
            suspect: Some(suspect),
            ..Window::new(vec![Claim { user, waiters }], Trigger::Retry)
        }
    }

    /// Whether nobody but this delivery waits for it.
    pub(super) fn is_for(&self, delivery: Delivery) -> bool {
        let mut claims = self.claims.iter();
        claims.all(|claim| claim.waiters.as_slice() == [delivery])
    }

    /// When the call that finished at `now` started.
    pub(super) fn started(&self, now: Instant) -> Instant {
        self.called.unwrap_or(now)
    }

    pub(super) fn is_alone(&self) -> bool {
        self.claims.len() == 1
    }

    /// The two halves, each due at once. A bad user among `n` is alone after log2(n) splits.
    pub(super) fn split(mut self) -> [Window; 2] {
        let second = self.claims.split_off(self.claims.len().div_ceil(2));
        [std::mem::take(&mut self.claims), second].map(|claims| Window {
            trigger: Trigger::Split,
            failures: 0,
            unwitnessed: None,
            ..self.part(claims)
        })
    }

    /// A window of some of its users, with the same history.
    pub(super) fn part(&self, claims: Vec<Claim>) -> Window {
        Window {
            claims,
            ..self.clone()
        }
    }
}

/// The refused calls that a window and its siblings come from: if all their users succeed later, those refusals
/// were wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct History(Option<Arc<Refused>>);

#[derive(Debug)]
struct Refused {
    calls: Refusals,
    /// One of its users was condemned, or is no longer tracked.
    explained: AtomicBool,
    before: History,
}

impl History {
    fn of(calls: Refusals) -> History {
        History(Some(Arc::new(Refused {
            calls,
            explained: AtomicBool::new(false),
            before: History::default(),
        })))
    }

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

    /// All users at this end of the history succeeded. Returns the refusals that this proves wrong: those that no
    /// other user explains.
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

    /// Another user with this history explains its refusals.
    pub(super) fn explain(&self) {
        let mut history = self;
        while let Some(refused) = &history.0
            && !refused.explained.swap(true, Ordering::Relaxed)
        {
            history = &refused.before;
        }
    }
}

/// The place where a window waits that is in no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Refused, with class reject or another, and waiting for a witness.
    Unwitnessed { reject: bool },
    /// Backing off until a moment.
    PutOff,
    /// Due.
    Ready,
}

/// Which of the windows of a place comes first: by the moment since when or until when it waits, and of those to
/// be called the smallest; among equals the oldest. So what was begun is finished first, and some users are judged
/// soon, however many there are.
type Rank = (Place, Option<Instant>, usize, WindowId);

/// All windows: those in a call, and those that wait for one.
#[derive(Debug, Default)]
pub(super) struct Windows {
    in_call: HashMap<WindowId, (Window, Slot)>,
    waiting: BTreeMap<Rank, Window>,
    /// When the first is due of those that wait for a witness, of class reject or not; looked up now and then,
    /// so it may be none any more.
    overdue: [Option<Instant>; 2],
    /// Users of all that are in no call.
    users: usize,
    next: u64,
}

impl Windows {
    fn new_id(&mut self) -> WindowId {
        self.next += 1;
        WindowId(self.next)
    }

    /// The window is in the call that holds `slot`.
    pub(super) fn call(&mut self, mut window: Window, slot: Slot, now: Instant) -> WindowId {
        window.called = Some(now);
        window.calls += 1;
        let id = self.new_id();
        self.in_call.insert(id, (window, slot));
        id
    }

    /// The call has finished.
    pub(super) fn answered(&mut self, id: WindowId) -> Option<(Window, Slot)> {
        self.in_call.remove(&id)
    }

    /// The window waits until it is due.
    pub(super) fn wait(&mut self, window: Window) {
        self.put(Place::PutOff, window.due, window);
    }

    /// The window is due as soon as there is room.
    pub(super) fn make_ready(&mut self, window: Window) {
        self.put(Place::Ready, None, window);
    }

    /// The window was refused and waits for a witness.
    pub(super) fn await_witness(&mut self, window: Window) {
        let reject = window.refusal.class == Class::Reject;
        let overdue = &mut self.overdue[usize::from(reject)];
        *overdue = [*overdue, window.overdue].into_iter().flatten().min();
        self.put(Place::Unwitnessed { reject }, window.unwitnessed, window);
    }

    fn put(&mut self, place: Place, at: Option<Instant>, window: Window) {
        let users = window.claims.len();
        self.users += users;
        let size = if at.is_none() { users } else { 0 };
        let rank = (place, at, size, self.new_id());
        self.waiting.insert(rank, window);
    }

    /// The first window of a place, if it waits since or until `latest` or before.
    pub(super) fn take(&mut self, place: Place, latest: Option<Instant>) -> Option<Window> {
        let rank = self.first(place).filter(|(_, at, ..)| *at <= latest)?;
        let window = self.waiting.remove(&rank)?;
        self.users -= window.claims.len();
        Some(window)
    }

    /// The windows that are due while they wait for a witness.
    pub(super) fn take_overdue(&mut self, reject: bool, now: Instant) -> Vec<Window> {
        let overdue = self.overdue[usize::from(reject)];
        if overdue.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let place = Place::Unwitnessed { reject };
        let mut later = None;
        let due = self.extract_ranked(|rank, window| {
            let here = rank.0 == place;
            let due = here && window.overdue <= Some(now);
            if here && !due {
                later = [later, window.overdue].into_iter().flatten().min();
            }
            due
        });
        self.overdue[usize::from(reject)] = later;
        due
    }

    /// The window that was called longest ago, wherever it waits. Probes rotate with this, so that one bad user
    /// cannot fail all of them.
    pub(super) fn take_least_called(&mut self) -> Option<Window> {
        let wanted = self.not_in_call().map(|window| window.called).min()?;
        let mut found = false;
        let first =
            |window: &Window| window.called == wanted && !std::mem::replace(&mut found, true);
        self.extract(first).pop()
    }

    /// Takes out the windows that `wanted` picks among those that are in no call.
    pub(super) fn extract(&mut self, mut wanted: impl FnMut(&Window) -> bool) -> Vec<Window> {
        self.extract_ranked(|_, window| wanted(window))
    }

    fn extract_ranked(&mut self, mut wanted: impl FnMut(&Rank, &Window) -> bool) -> Vec<Window> {
        let picked = self
            .waiting
            .extract_if(.., |rank, window| wanted(rank, window));
        let picked: Vec<Window> = picked.map(|(_, window)| window).collect();
        let users = picked.iter().map(|window| window.claims.len());
        self.users -= users.sum::<usize>();
        picked
    }

    pub(super) fn first(&self, place: Place) -> Option<Rank> {
        if self.waiting.is_empty() {
            return None;
        }
        let (rank, _) = self.waiting.range((place, None, 0, WindowId(0))..).next()?;
        Some(*rank).filter(|(first, ..)| *first == place)
    }

    /// Since when or until when the first window of a place waits.
    pub(super) fn first_at(&self, place: Place) -> Option<Instant> {
        self.first(place)?.1
    }

    /// When the first is due of the windows that wait for a witness, of class reject or not.
    pub(super) fn first_overdue(&self, reject: bool) -> Option<Instant> {
        self.first(Place::Unwitnessed { reject })?;
        self.overdue[usize::from(reject)]
    }

    /// How many calls are in flight, control calls included.
    pub(super) fn calls(&self) -> usize {
        self.in_call.len()
    }

    /// All windows, in a call or not.
    pub(super) fn all(&self) -> impl Iterator<Item = &Window> {
        let in_call = self.in_call.values().map(|(window, _)| window);
        in_call.chain(self.not_in_call())
    }

    pub(super) fn not_in_call(&self) -> impl Iterator<Item = &Window> {
        self.waiting.values()
    }

    /// Users that wait for another call.
    pub(super) fn waiting_users(&self) -> usize {
        self.users
    }
}
