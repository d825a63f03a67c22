//! Windows: the users of one call, from the moment they are cut until each has a verdict.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::pace::Slot;
use super::pending::Claim;
use super::{Delivery, Trigger};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowId(pub u64);

#[derive(Debug)]
pub(super) struct Window {
    pub claims: Vec<Claim>,
    /// Why its next call is made.
    pub trigger: Trigger,
    /// Calls made for these users, in whatever company.
    pub calls: u32,
    /// Failures that count against the limit of tries, since others succeeded meanwhile.
    pub attempts: u32,
    /// Failures in a row, by which the next try is put off.
    pub failures: u32,
    /// Whether it is part of a window that failed too often: it is split sooner.
    pub second_chance: bool,
    /// Answers that nobody knows the meaning of.
    pub riddles: u32,
    /// Whether a new UserSig was tried for an ambiguous code.
    pub refreshed: bool,
    /// How often its user was rejected when it stood alone.
    pub rejections: u32,
    /// When these users were first rejected, in whatever company.
    pub suspected: Option<Instant>,
    /// When their last call failed for a passing reason.
    pub failed: Option<Instant>,
    /// Whether some other call succeeded between these moments and the start of the call that is out.
    pub witness: Witness,
    /// When its last call started.
    pub called: Option<Instant>,
}

/// Guilt needs a witness: see [`health`](super::health).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Witness {
    pub since_suspicion: bool,
    pub since_failure: bool,
}

impl Window {
    pub(super) fn new(claims: Vec<Claim>, trigger: Trigger) -> Window {
        Window {
            claims,
            trigger,
            calls: 0,
            attempts: 0,
            failures: 0,
            second_chance: false,
            riddles: 0,
            refreshed: false,
            rejections: 0,
            suspected: None,
            failed: None,
            witness: Witness::default(),
            called: None,
        }
    }

    /// The two halves, each to be called at once. A guilty user among `n` is alone after log2(n) splits.
    pub(super) fn split(mut self) -> [Window; 2] {
        let second = self.claims.split_off(self.claims.len().div_ceil(2));
        [self.claims, second].map(|claims| Window {
            calls: self.calls,
            called: self.called,
            refreshed: self.refreshed,
            suspected: self.suspected,
            failed: self.failed,
            ..Window::new(claims, Trigger::Split)
        })
    }

    /// Keeps the first user only. Returns a window of the others, if there are any.
    pub(super) fn leave_one(&mut self) -> Option<Window> {
        let others = self.claims.split_off(self.claims.len().min(1));
        (!others.is_empty()).then_some(Window {
            claims: others,
            ..*self
        })
    }

    pub(super) fn deliveries(&self) -> impl Iterator<Item = Delivery> {
        self.claims
            .iter()
            .flat_map(|claim| claim.waiters.as_slice())
            .copied()
    }
}

/// All windows: those in a call, and those that wait to be called again.
#[derive(Debug, Default)]
pub(super) struct Windows {
    in_call: HashMap<WindowId, (Window, Slot)>,
    waiting: BTreeMap<(Instant, WindowId), Window>,
    next: u64,
}

impl Windows {
    fn new_id(&mut self) -> WindowId {
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

    /// The window waits for a call at `due`.
    pub(super) fn wait(&mut self, window: Window, due: Instant) {
        let id = self.new_id();
        self.waiting.insert((due, id), window);
    }

    /// All waiting windows are due now.
    pub(super) fn hurry(&mut self, now: Instant) {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting
            .into_iter()
            .map(|((_, id), window)| ((now, id), window))
            .collect();
    }

    /// The window that is due first, if it is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Window> {
        self.waiting
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
            .map(std::collections::btree_map::OccupiedEntry::remove)
    }

    /// The waiting window that was called longest ago, due or not. Probes go round with this, so that
    /// one bad window cannot fail all of them.
    pub(super) fn take_least_called(&mut self) -> Option<Window> {
        let key = self
            .waiting
            .iter()
            .min_by_key(|(_, window)| window.called)
            .map(|(key, _)| *key)?;
        self.waiting.remove(&key)
    }

    /// The first waiting window that `wanted` picks, due or not.
    pub(super) fn take_first_waiting(
        &mut self,
        wanted: impl Fn(&Window) -> bool,
    ) -> Option<Window> {
        let key = self
            .waiting
            .iter()
            .find(|(_, window)| wanted(window))
            .map(|(key, _)| *key)?;
        self.waiting.remove(&key)
    }

    /// Takes out the waiting windows that `wanted` picks.
    pub(super) fn take_waiting(&mut self, wanted: impl Fn(&Window) -> bool) -> Vec<Window> {
        self.waiting
            .extract_if(.., |_, window| wanted(window))
            .map(|(_, window)| window)
            .collect()
    }

    pub(super) fn waiting_mut(&mut self) -> impl Iterator<Item = &mut Window> {
        self.waiting.values_mut()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    pub(super) fn calls(&self) -> usize {
        self.in_call.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_call.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many users of each delivery are in a call.
    pub(super) fn users_in_call(&self) -> HashMap<Delivery, u32> {
        let mut users = HashMap::new();
        for delivery in self
            .in_call
            .values()
            .flat_map(|(window, _)| window.deliveries())
        {
            *users.entry(delivery).or_insert(0) += 1;
        }
        users
    }

    /// How many users of this delivery are in a call.
    pub(super) fn users_in_call_of(&self, delivery: Delivery) -> u32 {
        let windows = self.in_call.values();
        windows
            .flat_map(|(window, _)| window.deliveries())
            .filter(|other| *other == delivery)
            .count() as u32
    }

    /// Users that wait for another call.
    pub(super) fn waiting_users(&self) -> usize {
        self.waiting
            .values()
            .map(|window| window.claims.len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pending::Waiters;
    use super::*;
    use crate::event::UserId;

    fn window(users: usize) -> Window {
        let claim = |number: usize| Claim {
            user: UserId::parse(&format!("u{number}")).unwrap(),
            since: Instant::now(),
            waiters: Waiters::One(Delivery {
                session: 1,
                tag: number as u64,
            }),
        };
        Window::new((0..users).map(claim).collect(), Trigger::Full)
    }

    fn users(window: &Window) -> Vec<UserId> {
        window.claims.iter().map(|claim| claim.user).collect()
    }

    proptest! {
        #[test]
        fn splitting_until_users_stand_alone_loses_none_and_repeats_none(size in 2usize..=100) {
            let whole = window(size);
            let before = users(&whole);
            let mut after = Vec::new();
            let mut open = vec![(whole, 0)];
            while let Some((window, depth)) = open.pop() {
                if window.claims.len() == 1 {
                    after.extend(users(&window));
                    prop_assert!(depth <= size.next_power_of_two().ilog2(), "{depth} splits for {size} users");
                } else {
                    let [first, second] = window.split();
                    prop_assert!(!first.claims.is_empty() && !second.claims.is_empty());
                    open.extend([(second, depth + 1), (first, depth + 1)]);
                }
            }
            prop_assert_eq!(after, before);
        }
    }

    #[test]
    fn probes_go_round_the_waiting_windows() {
        let now = Instant::now();
        let mut windows = Windows::default();
        for (age, users) in [(1, 10), (3, 30), (2, 20)] {
            let called = now.checked_sub(std::time::Duration::from_secs(age));
            windows.wait(
                Window {
                    called,
                    ..window(users)
                },
                now,
            );
        }
        let order: Vec<usize> = std::iter::from_fn(|| windows.take_least_called())
            .map(|window| window.claims.len())
            .collect();
        assert_eq!(order, [30, 20, 10]);
    }
}
