//! The engine: every decision of the worker, as one pure state machine.
//!
//! It has no I/O, no clock and no randomness of its own. A shell reports what happened ([`Engine::handle`]), takes
//! the actions ([`Engine::poll`], until there are none), and returns when something happens or at
//! [`Engine::deadline`]. The worker, the simulation and every later shell drive this same code; what can be decided
//! without a socket is decided here.
//!
//! In the order in which an event passes the modules: [`ledger`] holds the delivery, [`pending`] its user IDs,
//! [`schedule`] decides when the next call may start, [`pace`] how many calls may, [`window`] is the content of a
//! call, [`judge`] evaluates its answer, [`outbox`] publishes dead letters, and [`remembered`] knows recently
//! finished events. [`suspension`] returns what is not done in time, unless the broker would drop it ([`limits`]).
//! [`operator`] stops all calls while an operator
//! wants none. [`interface`] has the inputs and actions.

mod consistency;
mod interface;
mod jitter;
mod judge;
mod ledger;
mod limits;
mod named;
mod operator;
mod outbox;
mod pace;
mod pending;
mod remembered;
mod schedule;
mod status;
mod suspension;
#[cfg(test)]
mod tests;
mod window;

use std::collections::VecDeque;
use std::time::Instant;

use crate::event::{EventKey, UserId};
pub use interface::{
    Action, Answer, Delivery, Ending, Input, MissingAccount, Notice, Reason, Settings, Settlement,
    Status, Tally, Trigger,
};
use jitter::Jitter;
use judge::Judge;
pub use judge::{
    Class, ErrorCode, HttpStatus, PauseReason, class, error_code, error_codes, http_status,
};
use ledger::{Advance, Failure, Ledger};
use outbox::Letters;
pub use outbox::{Letter, LetterId};
use pace::Pace;
use pending::{Lane, Pending};
use remembered::{Remembered, Unfinished};
use schedule::Schedule;
use suspension::Suspension;
pub use window::WindowId;
use window::{Window, Windows};

/// Full windows of users above which an event counts as long, and its users wait in their own lane.
const LONG_EVENT: usize = 4;
/// More events are decoded while at most this many users wait in that lane.
const LONG_ROOM: usize = 20_000;

/// The state machine. See the [module](self).
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    jitter: Jitter,
    ledger: Ledger,
    pending: Pending,
    pace: Pace,
    windows: Windows,
    schedule: Schedule,
    judge: Judge,
    letters: Letters,
    remembered: Remembered,
    unfinished: Unfinished,
    suspension: Option<Suspension>,
    /// Since when an operator wants no calls.
    operator_pause: Option<Instant>,
    /// What arrived until then goes back.
    returned: Option<Instant>,
    /// The last known moment at which nobody consumed the queue.
    unconsumed: Option<Instant>,
    /// Whether this worker is the only one that the broker delivers to.
    ours: bool,
    /// When the broker was last known to be in touch.
    in_touch: Option<Instant>,
    /// When a sign of life last showed that this worker owns the queue.
    leased: Instant,
    /// The last turn, and since when turns have followed each other without a long gap.
    last_turn: Instant,
    awake_since: Instant,
    draining: bool,
    out: VecDeque<Action>,
    tally: Tally,
}

impl Engine {
    pub fn new(settings: Settings, now: Instant) -> Engine {
        Engine {
            jitter: Jitter::new(settings.seed),
            ledger: Ledger::new(settings.out_of_order, settings.hold_limit),
            pending: Pending::default(),
            pace: Pace::new(
                f64::from(settings.calls_per_second),
                settings.quota_margin,
                now,
            ),
            windows: Windows::default(),
            schedule: Schedule::default(),
            judge: Judge::new(settings.control_user),
            letters: Letters::default(),
            remembered: Remembered::new(
                settings.prefetch.saturating_mul(2),
                settings.hold_limit * 2,
                now,
            ),
            unfinished: Unfinished::default(),
            suspension: None,
            operator_pause: None,
            returned: None,
            unconsumed: None,
            ours: false,
            in_touch: None,
            leased: now,
            last_turn: now,
            awake_since: now,
            draining: false,
            out: VecDeque::new(),
            tally: Tally::default(),
            settings,
        }
    }

    /// Handles an input. Time must not run backwards from one call to the next.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.turn(now);
        match input {
            Input::Delivered {
                delivery,
                redelivered,
            } => {
                let ours = self.ledger.arrive(delivery, redelivered, now);
                self.tally.events_received += u64::from(ours);
            }
            Input::ReturnedTooOften { delivery, at_once } => {
                self.ledger.keep(delivery);
                if at_once {
                    self.give_up(now, delivery);
                }
            }
            Input::Event {
                delivery,
                key,
                users,
                invalid,
                absent,
            } => {
                self.event(now, delivery, key, users, [invalid, absent]);
                if self.ledger.is_given_up(delivery) {
                    self.give_up(now, delivery);
                }
            }
            Input::NotForUs { delivery } => {
                if self.ledger.open(delivery, None).is_some() {
                    self.ledger.ends_as(delivery, Ending::Ignored);
                    self.advance(now, delivery);
                }
            }
            Input::Unreadable { delivery } => {
                self.unreadable(now, delivery, Reason::MalformedEvent);
            }
            Input::Unrecognised { delivery } => {
                self.unreadable(now, delivery, Reason::UnrecognisedEvent);
            }
            Input::Answered { window, answer } => self.answered(now, window, answer),
            Input::LetterConfirmed(letter) => {
                if let Some(letter) = self.letters.confirmed(letter) {
                    self.tally.letters[letter.reason as usize] += 1;
                    self.tally.users_dead_lettered +=
                        letter.users.len() as u64 + u64::from(letter.invalid);
                    if self.ledger.confirm(letter.delivery) {
                        self.advance(now, letter.delivery);
                    }
                }
            }
            Input::LetterRefused(letter) => {
                self.letters.refused(letter, now);
                if self.draining {
                    self.letters.give_up_refused();
                }
            }
            Input::SessionLost { session } => {
                if let Some(undone) = self.ledger.lose_session(session) {
                    self.tally.events[Ending::Returned as usize] += undone;
                    self.ours = false;
                    self.pending.clear();
                    self.forget(|_| true);
                    self.letters.clear();
                    self.out
                        .retain(|action| !matches!(action, Action::Decode(_)));
                }
            }
            Input::InTouch { since } => {
                self.in_touch = self.in_touch.max(Some(since));
                if self.has_lease(now) {
                    self.leased = now;
                }
            }
            Input::Unconsumed { since } => self.unconsumed = Some(since),
            Input::TookOver => {
                self.ours = true;
                self.pace.take_over(now);
            }
            Input::Sharing { workers } => {
                let quota = f64::from(self.settings.calls_per_second) / f64::from(workers.max(1));
                self.pace.rate.set_quota(quota);
            }
            Input::OperatorPause => self.operator_pause = self.operator_pause.or(Some(now)),
            Input::OperatorResume => self.operator_pause = None,
            Input::Drain => self.drain(),
        }
    }

    /// The next action at `now`; none if there is nothing to do until [`deadline`](Engine::deadline).
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        self.turn(now);
        if let Some(action) = self.out.pop_front() {
            return Some(action);
        }
        self.judge_due(now);
        if let Some(settle) = self.settle(now) {
            return Some(settle);
        }
        if let Some(consume) = self.consume(now) {
            return Some(consume);
        }
        if let Some(delivery) = self.hand_back(now) {
            return Some(Action::Settle(Settlement::HandBack(delivery)));
        }
        if let Some(letter) = self.letters.send(now) {
            return Some(Action::DeadLetter(letter));
        }
        // A full window need not wait for more events; any other is better fuller. A call, or finding
        // that nobody waits for one any more, makes room for events.
        if self.pending.len() < self.settings.max_ids
            && let Some(decode) = self.decode()
        {
            return Some(decode);
        }
        let next = self.call(now).or_else(|| self.decode());
        // Windows that nobody waits for any more have left our hands empty.
        next.or_else(|| self.settle(now))
            .or_else(|| self.out.pop_front())
    }

    /// When to poll again if nothing happens before. None: only an input can cause an action.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        [
            self.ledger.deadline(),
            self.letters.deadline(),
            self.next_turn(now),
            self.next_consume(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether a drain is complete: nothing is left that this worker could still do.
    pub fn is_drained(&self) -> bool {
        self.draining
            && self.out.is_empty()
            && self.windows.calls() == 0
            && self.waiting_ids() == 0
            && self.letters.is_empty()
            && self.ledger.is_settled()
    }

    /// Since the broker is asked regularly, a long time without a turn means that this process was suspended: what
    /// it knew about the broker is outdated.
    fn turn(&mut self, now: Instant) {
        if let Some(lease) = self.settings.lease
            && now > self.last_turn + lease / 2
        {
            self.awake_since = now;
        }
        self.tally.held_up += self.held_up(now);
        self.last_turn = now;
    }

    fn event(
        &mut self,
        now: Instant,
        delivery: Delivery,
        key: Option<EventKey>,
        users: &[UserId],
        [invalid, absent]: [u32; 2],
    ) {
        let Some(redelivered) = self.ledger.open(delivery, key) else {
            return;
        };
        if redelivered && key.is_some_and(|key| self.remembered.contains(key, now)) {
            self.ledger.ends_as(delivery, Ending::Repeated);
        } else {
            let rest = key.filter(|_| redelivered);
            let rest = rest.and_then(|key| self.unfinished.rest(key));
            let lane = match users.len() > LONG_EVENT * self.settings.max_ids {
                true => Lane::Long,
                false => Lane::Common,
            };
            for user in users {
                if rest.is_some_and(|rest| !rest.users.contains(user)) {
                    self.ledger.was_done_before(delivery);
                    continue;
                }
                if let Some(suspect) = self.judge.recall(user) {
                    self.windows
                        .make_ready(Window::of_suspect(*user, delivery, suspect));
                } else if !self.pending.join(*user, delivery, lane) {
                    continue;
                }
                self.ledger.wait_for_user(delivery);
            }
            for failure in rest.into_iter().flat_map(|rest| &rest.failures) {
                self.ledger.fail(delivery, failure.clone());
            }
            let reasons = [Reason::InvalidUserId, Reason::MalformedEvent];
            for (reason, ids) in reasons.into_iter().zip([invalid, absent]) {
                if ids > 0 {
                    self.fail(delivery, reason, ids);
                }
            }
        }
        self.advance(now, delivery);
    }

    /// Nobody can be read out of the message: its letter names no user.
    fn unreadable(&mut self, now: Instant, delivery: Delivery, reason: Reason) {
        if self.ledger.open(delivery, None).is_some() {
            self.fail(delivery, reason, 0);
            self.advance(now, delivery);
        }
    }

    /// The event itself is at fault, before any call.
    fn fail(&mut self, delivery: Delivery, reason: Reason, invalid: u32) {
        let failure = Failure {
            reason,
            code: None,
            http: None,
            user: None,
            invalid,
            attempts: 0,
        };
        self.ledger.fail(delivery, failure);
    }

    fn resolve(&mut self, now: Instant, delivery: Delivery) {
        if self.ledger.resolve(delivery) {
            self.advance(now, delivery);
        }
    }

    fn advance(&mut self, now: Instant, delivery: Delivery) {
        match self.ledger.advance(delivery, now) {
            Advance::None => {}
            Advance::LettersDue {
                failures,
                first_seen,
            } => {
                let letters = self.letters.write(delivery, failures, first_seen, now);
                self.ledger.wait_for_letters(delivery, letters);
            }
            Advance::Finished { event, ending } => {
                self.tally.count(ending);
                if let Some(event) = event {
                    self.remembered.insert(event, now);
                    self.unfinished.remove(event);
                }
            }
        }
    }

    /// Drains: finishes what is held. What failed gets one more attempt, unless it is suspected: the next worker
    /// gets that.
    fn drain(&mut self) {
        self.draining = true;
        for window in self.windows.extract(|_| true) {
            if window.suspect.is_none() {
                self.windows.make_ready(window);
            }
        }
        self.letters.give_up_refused();
    }

    /// Drops these windows, if they are in no call. Suspects will be delivered again.
    fn forget(&mut self, wanted: impl FnMut(&Window) -> bool) {
        for window in self.windows.extract(wanted) {
            window.history.explain();
            if let (Some(suspect), [claim]) = (window.suspect, &window.claims[..]) {
                self.judge.remember(claim.user, suspect);
            }
        }
    }

    fn tell(&mut self, notice: Notice) {
        self.out.push_back(Action::Notice(notice));
    }

    fn settle(&mut self, now: Instant) -> Option<Action> {
        let starved = self.is_starved();
        self.ledger.settle(now, starved).map(Action::Settle)
    }

    /// Whether the prefetch is used up, and too few of its users are left for a call.
    fn is_starved(&self) -> bool {
        self.ledger.unsettled() >= self.settings.prefetch
            && self.pending.len() < self.settings.max_ids
            && self.windows.calls() < self.settings.max_in_flight
            && !self.ledger.has_unread()
    }

    /// New events are decoded while there is room for their users, and while a dead letter could be
    /// written for them. In an operator's pause they stay as they came.
    fn decode(&mut self) -> Option<Action> {
        let room = self.settings.prefetch.max(2 * self.settings.max_ids);
        let long = self.pending.waiting(Lane::Long);
        let full = self.waiting_ids() - long >= room || long >= LONG_ROOM;
        if self.draining || full || self.letters.is_stuck() || self.operator_pause.is_some() {
            return None;
        }
        self.ledger.next_unread().map(Action::Decode)
    }

    fn waiting_ids(&self) -> usize {
        self.pending.len() + self.windows.waiting_users()
    }
}
