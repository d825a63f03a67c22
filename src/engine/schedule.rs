//! When the next call may start, and what goes into it: the one source of what is due, for
//! [`poll`](Engine::poll) and [`deadline`](Engine::deadline) alike.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::judge::Class;
use super::window::{Place, Window};
use super::{Action, Engine, Trigger};
use crate::event::UserId;

/// While new users wait, one in this many calls is for windows that were called before.
const REPEATED_SHARE: u32 = 4;
/// If nobody consumed the queue this long ago, no other worker has made a call since.
const UNCONSUMED: Duration = Duration::from_millis(300);
/// How long after a refusal an ordinary call may show that the API works, before a control call is made.
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

/// The calls for so few suspects could alternate in step with the API's front ends. Those for more are in no fixed order.
const FEW: RangeInclusive<usize> = 1..=4;

impl Engine {
    /// Starts the next call, if one may start at `now`. A window is cut from the head of pending only
    /// here, at the moment its call starts: so under load every call is full.
    pub(super) fn call(&mut self, now: Instant) -> Option<Action> {
        let no_calls = self.judge.pauses.current.is_some()
            || self.operator_pause.is_some()
            || self.pace.held_for(now).is_some();
        if self.draining && no_calls {
            // What cannot be done now is the next worker's: the broker delivers it again.
            self.pending.clear();
            self.windows.extract(|_| true);
        }
        while let Some((at, next)) = self.next_call(now)
            && at <= now
        {
            let mut window = match next {
                Next::Control => {
                    let window = Window::new(Vec::new(), Trigger::Control);
                    return Some(self.start(now, window));
                }
                Next::Fresh(trigger) => self.cut(now, trigger),
                Next::Repeated => self.windows.take(Place::Ready, None)?,
                Next::Probe => self.take_probe()?,
            };
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
            let paused = self.judge.pauses.current.is_some();
            overdue.filter(|_| !paused && !self.judge.control.tells(reject))
        });
        let due = untold
            .into_iter()
            .chain([next, self.windows.first_at(Place::PutOff)]);
        due.flatten().min()
    }

    /// The next call, and when it may start.
    fn next_call(&self, now: Instant) -> Option<(Instant, Next)> {
        if self.operator_pause.is_some()
            || self.windows.calls() >= self.settings.max_in_flight
            || !self.has_lease(now)
        {
            return None;
        }
        let free = self.pace.free_at(now)?;
        let wanted = self.wanted(now).into_iter().flatten();
        let wanted = wanted.map(|(at, next)| (at.max(free), next));
        // Of those that are due at one moment the first counts.
        wanted.min_by_key(|(at, _)| *at)
    }

    /// Which calls are wanted, in order, and when, as far as quota and other calls let them.
    fn wanted(&self, now: Instant) -> [Option<(Instant, Next)>; 3] {
        if self.judge.pauses.current.is_some() {
            return [self.wanted_probe(now), None, None];
        }
        let control = self.control_due(now).map(|at| (at, Next::Control));
        if self.judge.holds_calls(self.pace.rate.gap(now), now) {
            return [control, None, None];
        }
        let fresh = self.fresh_due(now);
        let repeated = self.windows.first(Place::Ready);
        let repeated = repeated.filter(|_| !self.wants_decoy());
        let repeated = repeated.map(|_| (now, Next::Repeated));
        match self.schedule.fresh + 1 >= REPEATED_SHARE {
            true => [control, repeated, fresh],
            false => [control, fresh, repeated],
        }
    }

    /// When a control call is due: at once in doubt, else when no ordinary call has succeeded for a moment after a
    /// refusal.
    fn control_due(&self, now: Instant) -> Option<Instant> {
        let asked = match self.judge.is_in_doubt() || self.wants_decoy() {
            true => now,
            false => {
                let told = [true, false].map(|reject| {
                    let refused = self.windows.first_at(Place::Unwitnessed { reject });
                    refused.filter(|_| self.judge.control.measure.tells(reject))
                });
                told.into_iter().flatten().min()? + ORDINARY_FIRST
            }
        };
        Some(asked.max(self.judge.control.next(now)?))
    }

    /// Whether a call of a suspect would come right behind a control call, since there are no others.
    fn wants_decoy(&self) -> bool {
        let is_quiet = self.pending.is_empty() && FEW.contains(&self.windows.waiting_users());
        is_quiet && self.judge.control.wants_decoy() && self.judge.pauses.current.is_none()
    }

    fn wanted_probe(&self, now: Instant) -> Option<(Instant, Next)> {
        let pause = self.judge.pauses.current.as_ref()?;
        if pause.probe.is_some() || self.judge.control.is_out {
            return None;
        }
        let real = self.waiting_ids() > 0;
        let proves = self.judge.control.proves();
        match self.judge.control.next(now) {
            // One that proves nothing is tried again, but not waited for.
            Some(at) if !real || !pause.real_turn && (proves || at <= now) => {
                Some((pause.probe_at.max(at), Next::Control))
            }
            _ if real => Some((pause.probe_at, Next::Probe)),
            _ => None,
        }
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

    fn cut(&mut self, now: Instant, trigger: Trigger) -> Window {
        if trigger == Trigger::Expired {
            self.schedule.partial = Some(now);
        }
        Window::new(self.pending.cut(self.settings.max_ids), trigger)
    }

    /// A probe is for one user, so a bad user fails only its own probe. Users that were not called yet alternate
    /// with those called longest ago.
    fn take_probe(&mut self) -> Option<Window> {
        let pause = self.judge.pauses.current.as_mut()?;
        let fresh = pause.fresh_turn && !self.pending.is_empty();
        pause.fresh_turn = !pause.fresh_turn;
        let old = match fresh {
            true => None,
            false => self.windows.take_least_called(),
        };
        let Some(mut window) = old else {
            // There may be many bad ones at one end.
            pause.newest_turn = !pause.newest_turn;
            let claims = match pause.newest_turn {
                true => self.pending.cut_newest().into_iter().collect(),
                false => self.pending.cut(1),
            };
            return (!claims.is_empty()).then(|| Window::new(claims, Trigger::Expired));
        };
        let others = window.claims.split_off(1);
        if !others.is_empty() {
            self.windows.make_ready(window.part(others));
        }
        Some(window)
    }

    fn start(&mut self, now: Instant, window: Window) -> Action {
        let trigger = window.trigger;
        let mut users: Vec<UserId> = window.claims.iter().map(|claim| claim.user).collect();
        self.tally.calls += 1;
        self.tally.called_users += users.len() as u64;
        let slot = self.pace.start(now);
        if trigger == Trigger::Control {
            users.push(self.judge.control.user);
            let is_decoy = self.wants_decoy() && !self.judge.is_in_doubt();
            self.judge
                .control
                .call(self.pace.rate.gap(now), is_decoy, now);
        }
        let id = self.windows.call(window, slot, now);
        let call = Action::Call {
            window: id,
            users,
            trigger,
        };
        if let Some(pause) = self.judge.pauses.current.as_mut() {
            pause.probe = Some(id);
            if matches!(pause.reason.class, Class::Config | Class::AuthRefresh) {
                // The key may have been put right in the meantime: the probe goes out with a new UserSig.
                self.out.push_back(call);
                return Action::RenewUserSig;
            }
        }
        call
    }

    /// Whether this worker certainly owns the queue: the broker delivers to it, and has answered recently. A worker
    /// that was cut off or suspended must not share a second with the next owner. One that does not consume makes
    /// calls only while nobody does.
    pub(super) fn has_lease(&self, now: Instant) -> bool {
        if self
            .suspension
            .is_some_and(|suspension| suspension.held == 0)
        {
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
        if self.windows.calls() < self.settings.max_in_flight {
            return Duration::ZERO;
        }
        let room = self.pace.free_at(self.last_turn);
        room.map_or(Duration::ZERO, |room| now.saturating_duration_since(room))
    }
}
