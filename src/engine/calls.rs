//! When the next call starts, and for whom.

use std::time::Instant;

use super::verdict::Class;
use super::window::Window;
use super::{Action, Engine, Trigger};
use crate::event::UserId;

impl Engine {
    /// Starts the next call, if one may start at `now`. A window is cut from the head of pending only
    /// here, at the moment its call starts: so under load every call is full.
    pub(super) fn call(&mut self, now: Instant) -> Option<Action> {
        if self.draining && self.health.paused().is_some() {
            self.give_up_waiting();
        }
        loop {
            if self.next_call(now)? > now {
                return None;
            }
            let retries = self.retries;
            let fresh_turn = self.health.paused().map(|pause| pause.fresh_turn);
            let mut window = match self.health.paused() {
                Some(_) => self.take_probe(now)?,
                None => self.take_turn(now)?,
            };
            self.drop_lost_waiters(&mut window);
            if !window.claims.is_empty() {
                return Some(self.start(now, window));
            }
            // A window that nobody waits for any more takes no turn from the others.
            self.retries = retries;
            if let (Some(pause), Some(fresh)) = (self.health.paused_mut(), fresh_turn) {
                pause.fresh_turn = fresh;
            }
        }
    }

    /// The earliest moment at which [`call`](Engine::call) has something to do.
    pub(super) fn next_call(&self, now: Instant) -> Option<Instant> {
        let pause = self.health.paused();
        if self.windows.calls() >= self.settings.max_in_flight
            || pause.is_some_and(|p| p.probe.is_some())
            || !self.has_lease(now)
        {
            return None;
        }
        let fresh = self.pending.oldest().map(|since| {
            let full = self.pending.len() >= self.settings.max_ids;
            if full || self.draining || pause.is_some() {
                now
            } else {
                since + self.settings.max_wait
            }
        });
        let again = match pause {
            Some(_) => self.windows.has_waiting().then_some(now),
            None => self.windows.next_due(),
        };
        let work = [fresh, again].into_iter().flatten().min()?;
        let probe = pause.map_or(now, |pause| pause.probe_at);
        Some(work.max(probe).max(self.pace.free_at(now)?))
    }

    /// Whether the queue is certainly still ours. A worker that was cut off from the broker, or stood still,
    /// must not share a second with the one that has the queue by then.
    fn has_lease(&self, now: Instant) -> bool {
        self.settings.lease.is_none_or(|lease| {
            self.in_touch
                .is_some_and(|in_touch| in_touch >= self.awake_since && now < in_touch + lease)
        })
    }

    /// Windows that were called before come first, so that no more of them come up than are judged. But whoever
    /// fails again and again must not keep new users from their calls, by whose success it is judged.
    fn take_turn(&mut self, now: Instant) -> Option<Window> {
        if self.retries >= self.settings.max_attempts
            && let Some(window) = self.cut(now)
        {
            self.retries = 0;
            return Some(window);
        }
        if let Some(window) = self.windows.take_due(now) {
            self.retries += 1;
            return Some(window);
        }
        self.retries = 0;
        self.cut(now)
    }

    fn cut(&mut self, now: Instant) -> Option<Window> {
        let oldest = self.pending.oldest()?;
        let trigger = if self.pending.len() >= self.settings.max_ids {
            Trigger::Full
        } else if self.draining {
            Trigger::Drain
        } else if now >= oldest + self.settings.max_wait || self.health.paused().is_some() {
            Trigger::Expired
        } else {
            return None;
        };
        let probing = self.health.paused().is_some();
        let size = if probing { 1 } else { self.settings.max_ids };
        Some(Window::new(self.pending.cut(size), trigger))
    }

    /// A probe is real work, for one user: so a bad one fails no probe but its own. New users and those of
    /// windows that failed before take turns, and the latter go round.
    fn take_probe(&mut self, now: Instant) -> Option<Window> {
        let fresh = self.health.paused()?.fresh_turn;
        let lone = |window: &Window| {
            window
                .suspected
                .is_some_and(|since| self.health.believes_lone(since, window.rejections, now))
        };
        if let Some(suspect) = self.windows.take_first_waiting(lone) {
            return Some(suspect);
        }
        let window = if fresh {
            self.cut(now).or_else(|| self.windows.take_least_called())
        } else {
            self.windows.take_least_called().or_else(|| self.cut(now))
        };
        if let Some(pause) = self.health.paused_mut() {
            pause.fresh_turn = !fresh;
        }
        let mut window = window?;
        if let Some(others) = window.leave_one() {
            self.windows.wait(others, now);
        }
        Some(window)
    }

    fn start(&mut self, now: Instant, mut window: Window) -> Action {
        let witnessed = |since: Instant| self.health.has_witness_since(since, now);
        window.witness.since_suspicion = window.suspected.is_some_and(witnessed);
        window.witness.since_failure = window.failed.is_some_and(witnessed);
        let users: Vec<UserId> = window.claims.iter().map(|claim| claim.user).collect();
        let trigger = window.trigger;
        self.tally.calls += 1;
        self.tally.called_users += users.len() as u64;
        let slot = self.pace.start(now);
        let window = self.windows.call(window, slot, now);
        let call = Action::Call {
            window,
            users,
            trigger,
        };
        let Some(pause) = self.health.paused_mut() else {
            return call;
        };
        pause.probe = Some(window);
        if pause.reason.class == Class::Config || pause.reason.class == Class::AuthRefresh {
            // The key may have been put right in the meantime: the probe goes out with a new UserSig.
            self.out.push_back(call);
            return Action::RenewUserSig;
        }
        call
    }

    /// In a drain, what cannot be done now is the next worker's: the broker delivers it again.
    fn give_up_waiting(&mut self) {
        self.pending.clear();
        self.windows.take_waiting(|_| true);
    }
}
