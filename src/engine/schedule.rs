//! When the next call may start, and what goes into it: the one source of what is due, for
//! [`poll`](Engine::poll) and [`deadline`](Engine::deadline) alike.

use std::time::{Duration, Instant};

use super::judge::Class;
use super::window::Window;
use super::{Action, Engine, Trigger, WindowId};
use crate::event::UserId;

/// While new users wait, one call in so many is for windows that were called before.
const REPEATED_SHARE: u32 = 4;
/// So long after nobody consumed the queue, no other worker has made a call.
const UNCONSUMED: Duration = Duration::from_millis(300);
/// So long after a refusal an ordinary call may show that the API works, before a control call is made for it.
const ORDINARY_FIRST: Duration = Duration::from_millis(500);
/// What is remembered of earlier calls to decide on the next one.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// Calls for new users since the last one for a window that was called before.
    fresh: u32,
    /// When a window that was not full was called last.
    partial: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Control,
    /// New users.
    Fresh(Trigger),
    /// A window that was called before.
    Repeated,
    /// A single real user, in a pause.
    Probe,
}

impl Engine {
    /// Starts the next call, if one may start at `now`. A window is cut from the head of pending only
    /// here, at the moment its call starts: so under load every call is full.
    pub(super) fn call(&mut self, now: Instant) -> Option<Action> {
        let no_calls = self.judge.pauses.current().is_some() || self.pace.is_held(now);
        if self.draining && no_calls {
            // What cannot be done now is the next worker's: the broker delivers it again.
            self.give_up_waiting();
        }
        while let Some((at, next)) = self.next_call(now)
            && at <= now
        {
            let window = match next {
                Next::Control => return Some(self.call_control(now)),
                Next::Fresh(trigger) => self.cut(now, trigger),
                Next::Repeated => self.windows.take_ready(),
                Next::Probe => self.take_probe(),
            };
            let mut window = window?;
            if self.is_awaited(&mut window) {
                self.schedule.fresh = match next {
                    Next::Repeated => 0,
                    _ => self.schedule.fresh.saturating_add(1),
                };
                return Some(self.start(now, window));
            }
        }
        None
    }

    /// When [`call`](Engine::call) has something to do.
    pub(super) fn next_turn(&self, now: Instant) -> Option<Instant> {
        let next = self.next_call(now).map(|(at, _)| at);
        // A window whose time comes may need nothing but a look.
        let untold = [true, false].map(|reject| {
            let overdue = self.windows.first_overdue(reject);
            let paused = self.judge.pauses.current().is_some();
            overdue.filter(|_| !paused && !self.judge.control.measure.tells(reject))
        });
        let due = untold.into_iter().flatten().chain(self.windows.next_due());
        next.into_iter().chain(due).min()
    }

    fn next_call(&self, now: Instant) -> Option<(Instant, Next)> {
        if self.calls_in_flight() >= self.settings.max_in_flight || !self.has_lease(now) {
            return None;
        }
        let (at, next) = self.wanted(now)?;
        Some((at.max(self.pace.free_at(now)?), next))
    }

    /// The call that is wanted first, and when, as far as quota and other calls let it.
    fn wanted(&self, now: Instant) -> Option<(Instant, Next)> {
        if self.judge.pauses.current().is_some() {
            return self.wanted_probe(now);
        }
        let control = self.control_due(now).map(|at| (at, Next::Control));
        if self.judge.holds_calls(self.pace.gap(now), now) {
            return control;
        }
        let fresh = self.fresh_due(now);
        let repeated = self.windows.has_ready().then_some((now, Next::Repeated));
        let repeated_first = self.schedule.fresh + 1 >= REPEATED_SHARE;
        let ordinary = match repeated_first {
            true => [repeated, fresh],
            false => [fresh, repeated],
        };
        // Of those that are due by now the first counts.
        let free = self.pace.free_at(now).unwrap_or(now);
        let in_order = [control, ordinary[0], ordinary[1]].into_iter().flatten();
        in_order.min_by_key(|(at, _)| (*at).max(free))
    }

    /// When a control call is to tell whether it is the API: at once in doubt, else when no ordinary call has
    /// gone through for a moment after a refusal.
    fn control_due(&self, now: Instant) -> Option<Instant> {
        let asked = match self.judge.is_in_doubt() {
            true => now,
            false => {
                let told = [true, false].map(|reject| {
                    let refused = self.windows.first_refused(reject);
                    refused.filter(|_| self.judge.control.measure.tells(reject))
                });
                told.into_iter().flatten().min()? + ORDINARY_FIRST
            }
        };
        Some(asked.max(self.judge.control.next(now)?))
    }

    fn wanted_probe(&self, now: Instant) -> Option<(Instant, Next)> {
        let pause = self.judge.pauses.current()?;
        let control = self.judge.control.next(now);
        let real = self.waiting_ids() > 0;
        let next = match control {
            _ if pause.probe.is_some() || self.judge.control.is_out() => return None,
            _ if pause.real_turn && real => (pause.probe_at, Next::Probe),
            Some(at) => (pause.probe_at.max(at), Next::Control),
            None if real => (pause.probe_at, Next::Probe),
            None => return None,
        };
        Some(next)
    }

    /// When new users may be called, and why. In a quiet queue that is at once; calls that are not full are
    /// `max_wait` apart.
    fn fresh_due(&self, now: Instant) -> Option<(Instant, Next)> {
        let due = match self.pending.len() {
            0 => return None,
            ids if ids >= self.settings.max_ids => (now, Next::Fresh(Trigger::Full)),
            _ if self.draining => (now, Next::Fresh(Trigger::Drain)),
            _ => {
                let last = self.schedule.partial;
                let due = last.map_or(now, |last| last + self.settings.max_wait);
                (due.max(now), Next::Fresh(Trigger::Expired))
            }
        };
        Some(due)
    }

    fn cut(&mut self, now: Instant, trigger: Trigger) -> Option<Window> {
        if trigger == Trigger::Expired {
            self.schedule.partial = Some(now);
        }
        let claims = self.pending.cut(self.settings.max_ids);
        Some(Window::new(claims, trigger))
    }

    /// A probe is for one user: so a bad one fails no probe but its own. Users that were not called yet, and
    /// those that were called longest ago, take turns.
    fn take_probe(&mut self) -> Option<Window> {
        let pause = self.judge.pauses.current_mut()?;
        let fresh_first = pause.fresh_turn;
        pause.fresh_turn = !fresh_first;
        let old = match fresh_first && !self.pending.is_empty() {
            true => None,
            false => self.windows.take_least_called(),
        };
        let Some(mut window) = old else {
            return Some(Window::new(self.pending.cut(1), Trigger::Expired))
                .filter(|window| !window.claims.is_empty());
        };
        let others = window.claims.split_off(1);
        if !others.is_empty() {
            self.windows.make_ready(window.part(others));
        }
        Some(window)
    }

    fn start(&mut self, now: Instant, window: Window) -> Action {
        let users: Vec<UserId> = window.claims.iter().map(|claim| claim.user).collect();
        let trigger = window.trigger;
        self.tally.called_users += users.len() as u64;
        let slot = self.pace.start(now);
        let window = self.windows.call(window, slot, now);
        self.start_call(window, users, trigger)
    }

    fn call_control(&mut self, now: Instant) -> Action {
        let window = self.windows.new_id();
        let slot = self.pace.start(now);
        let gap = self.pace.gap(now);
        self.judge.control.call(window, slot, gap, now);
        self.start_call(window, vec![self.judge.control.user], Trigger::Control)
    }

    fn start_call(&mut self, window: WindowId, users: Vec<UserId>, trigger: Trigger) -> Action {
        self.tally.calls += 1;
        let call = Action::Call {
            window,
            users,
            trigger,
        };
        if let Some(pause) = self.judge.pauses.current_mut() {
            pause.probe = Some(window);
            if matches!(pause.reason.class, Class::Config | Class::AuthRefresh) {
                // The key may have been put right in the meantime: the probe goes out with a new UserSig.
                self.out.push_back(call);
                return Action::RenewUserSig;
            }
        }
        call
    }

    pub(super) fn calls_in_flight(&self) -> usize {
        self.windows.calls() + usize::from(self.judge.control.is_out())
    }

    /// Whether the queue is certainly ours: the broker gave it to us, and was in touch lately. A worker that was cut off from the broker, or stood still, must not share a second with the one that has
    /// the queue by then. One that does not consume makes a call only at a moment at which nobody does.
    fn has_lease(&self, now: Instant) -> bool {
        if self.suspension.is_some_and(|it| it.held == 0) {
            return self
                .unconsumed
                .is_some_and(|since| now < since + UNCONSUMED);
        }
        let in_touch = self.settings.lease.is_none_or(|lease| {
            self.in_touch
                .is_some_and(|in_touch| in_touch >= self.awake_since && now < in_touch + lease)
        });
        in_touch && self.ours
    }

    /// For how long since the last turn calls could only wait for others to end, while the quota had room.
    pub(super) fn held_up(&self, now: Instant) -> Duration {
        let full = self.calls_in_flight() >= self.settings.max_in_flight;
        let room = self.pace.free_at(self.last_turn).filter(|_| full);
        room.map_or(Duration::ZERO, |room| now.saturating_duration_since(room))
    }

    fn give_up_waiting(&mut self) {
        self.pending.clear();
        self.windows.extract(|_| true);
    }
}
