//! The engine: every decision of the worker, as one pure state machine.
//!
//! It has no I/O, no clock and no randomness of its own. A shell tells it what happened
//! ([`Engine::handle`]), asks what to do ([`Engine::poll`], until there is nothing more), and comes back
//! when something happens or at [`Engine::deadline`]. The worker, the simulation and every later shell
//! drive this same code; what can be decided without a socket is decided here.
//!
//! In the order in which an event passes through: [`ledger`] holds the delivery, [`pending`] its user
//! IDs, [`pace`] says when a call may start, [`window`] is what goes into the call, [`verdict`] reads the
//! answer, [`answers`] draws the consequences with the help of [`health`], [`letters`] carries what failed,
//! and [`remembered`] knows what was finished lately. [`interface`] is what a shell says and is told.

mod answers;
mod calls;
mod health;
mod interface;
mod ledger;
mod letters;
mod pace;
mod pending;
mod remembered;
#[cfg(test)]
mod tests;
mod verdict;
mod window;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::{EventKey, UserId};
use health::Health;
pub use health::PauseReason;
pub use interface::{
    Action, Delivery, Input, MissingAccount, Notice, PerReason, Reason, Settings, Settlement,
    Status, Tally, Trigger,
};
use ledger::{Failure, Ledger, Progress};
use letters::Letters;
pub use letters::{Letter, LetterId};
use pace::Pace;
use pending::Pending;
use remembered::Remembered;
pub use verdict::{Answer, Class, ErrorCode, class, error_code, error_codes};
pub use window::WindowId;
use window::Windows;

/// The state machine. See the [module](self).
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    jitter: Jitter,
    ledger: Ledger,
    pending: Pending,
    pace: Pace,
    windows: Windows,
    health: Health,
    /// Calls for windows that were called before, since the last one for new users.
    retries: u32,
    letters: Letters,
    remembered: Remembered,
    /// When the broker was last known to be in touch.
    in_touch: Option<Instant>,
    /// When we were last told or asked anything, and since when that was never long ago.
    last_turn: Instant,
    awake_since: Instant,
    draining: bool,
    out: VecDeque<Action>,
    tally: Tally,
}

impl Engine {
    pub fn new(settings: Settings, now: Instant) -> Engine {
        Engine {
            jitter: Jitter(settings.seed),
            ledger: Ledger::new(settings.prefetch / 4, settings.hold_limit),
            pending: Pending::default(),
            pace: Pace::new(
                f64::from(settings.calls_per_second),
                settings.quota_margin,
                now,
            ),
            windows: Windows::default(),
            health: Health::new(settings.hold_limit),
            retries: 0,
            letters: Letters::default(),
            remembered: Remembered::new(
                settings.prefetch.saturating_mul(2),
                settings.hold_limit * 2,
                now,
            ),
            in_touch: None,
            last_turn: now,
            awake_since: now,
            draining: false,
            out: VecDeque::new(),
            tally: Tally::default(),
            settings,
        }
    }

    /// Takes note of what happened. Time must not run backwards from one call to the next.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.turn(now);
        match input {
            Input::Delivered {
                delivery,
                redelivered,
            } => {
                self.ledger.arrive(delivery, redelivered, now);
            }
            Input::Event {
                delivery,
                key,
                users,
                invalid,
            } => self.event(now, delivery, key, users, invalid),
            Input::NotForUs { delivery } => {
                if self.ledger.open(delivery, None).is_some() {
                    self.tally.events_ignored += 1;
                    self.advance(now, delivery);
                }
            }
            Input::Unreadable { delivery } => {
                if self.ledger.open(delivery, None).is_some() {
                    self.fail(delivery, Reason::MalformedEvent);
                    self.advance(now, delivery);
                }
            }
            Input::Answered { window, answer } => self.answered(now, window, answer),
            Input::LetterConfirmed(letter) => {
                if let Some(letter) = self.letters.confirmed(letter) {
                    self.tally.letters.add(letter.reason);
                    self.tally.users_dead_lettered += letter.users.len() as u64;
                    self.resolve(now, letter.delivery);
                }
            }
            Input::LetterRefused(letter) => {
                self.letters.refused(letter, now);
                if self.draining {
                    self.letters.give_up_refused();
                }
            }
            Input::SessionLost { session } => {
                self.ledger
                    .lose_session(session, &self.windows.users_in_call());
                self.pending.clear();
                self.windows.take_waiting(|_| true);
                self.letters.clear();
            }
            Input::InTouch { since } => self.in_touch = self.in_touch.max(Some(since)),
            Input::TookOver => self.pace.take_over(now),
            Input::Sharing { workers } => {
                let quota = f64::from(self.settings.calls_per_second) / f64::from(workers.max(1));
                self.pace.set_quota(quota);
            }
            Input::Drain => {
                self.draining = true;
                // One last try for what waits, then it is the next worker's.
                self.windows.hurry(now);
                self.letters.give_up_refused();
            }
        }
    }

    /// The next thing to do at `now`; none when there is nothing to do until [`deadline`](Engine::deadline).
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        self.turn(now);
        if let Some(action) = self.out.pop_front() {
            return Some(action);
        }
        if let Some(settlement) = self.ledger.settle(now) {
            return Some(Action::Settle(settlement));
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
        self.call(now).or_else(|| self.decode())
    }

    /// When to poll again if nothing happens before. None: only an input can change anything.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        [
            self.ledger.deadline(),
            self.letters.deadline(),
            self.next_call(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether a drain has come to its end: nothing is left that this worker could still do.
    pub fn is_drained(&self) -> bool {
        self.draining
            && self.out.is_empty()
            && self.windows.is_empty()
            && self.pending.is_empty()
            && self.letters.is_empty()
            && self.ledger.is_settled()
    }

    pub fn status(&self, now: Instant) -> Status {
        Status {
            paused: self.health.paused().map(|pause| pause.reason),
            draining: self.draining,
            pending_ids: self.waiting_ids(),
            in_flight_calls: self.windows.calls(),
            unsettled_deliveries: self.ledger.unsettled(),
            calls_per_second: self.pace.rate(now),
            tally: self.tally,
        }
    }

    /// While the broker is asked again and again, a long time without a turn means that this process stood
    /// still: what it knew of the broker is worth nothing.
    fn turn(&mut self, now: Instant) {
        if let Some(lease) = self.settings.lease
            && now > self.last_turn + lease / 2
        {
            self.awake_since = now;
        }
        self.last_turn = now;
    }

    fn event(
        &mut self,
        now: Instant,
        delivery: Delivery,
        key: Option<EventKey>,
        users: &[UserId],
        invalid: bool,
    ) {
        let Some(redelivered) = self.ledger.open(delivery, key) else {
            return;
        };
        self.tally.events_accepted += 1;
        if redelivered && key.is_some_and(|key| self.remembered.contains(key, now)) {
            self.tally.events_remembered += 1;
        } else {
            for user in users {
                if self.pending.join(*user, delivery, now) {
                    self.ledger.wait(delivery);
                }
            }
            if invalid {
                self.fail(delivery, Reason::InvalidUserId);
            }
        }
        self.advance(now, delivery);
    }

    /// The event itself is at fault, before any call.
    fn fail(&mut self, delivery: Delivery, reason: Reason) {
        self.ledger.fail(
            delivery,
            Failure {
                reason,
                code: None,
                user: None,
                attempts: 0,
            },
        );
    }

    fn resolve(&mut self, now: Instant, delivery: Delivery) {
        let progress = self.ledger.resolve(delivery, now);
        self.follow(now, delivery, progress);
    }

    fn advance(&mut self, now: Instant, delivery: Delivery) {
        let progress = self.ledger.advance(delivery, now);
        self.follow(now, delivery, progress);
    }

    fn follow(&mut self, now: Instant, delivery: Delivery, progress: Progress) {
        match progress {
            Progress::Waiting => {}
            Progress::Failed(failures) => {
                let first_seen = self.ledger.arrived(delivery).unwrap_or(now);
                for _ in 0..self.letters.write(delivery, failures, first_seen) {
                    self.ledger.wait(delivery);
                }
            }
            Progress::Finished {
                event,
                dead_lettered,
            } => {
                self.tally.events_acknowledged += 1;
                self.tally.events_dead_lettered += u64::from(dead_lettered);
                if let Some(event) = event {
                    self.remembered.insert(event, now);
                }
            }
        }
    }

    fn hand_back(&mut self, now: Instant) -> Option<Delivery> {
        let in_call = |delivery| self.windows.users_in_call_of(delivery);
        let delivery = self.ledger.hand_back(now, in_call)?;
        self.tally.events_handed_back += 1;
        self.letters.forget(delivery);
        Some(delivery)
    }

    /// New events are decoded while there is room for their users, and while a dead letter could be
    /// written for them.
    fn decode(&mut self) -> Option<Action> {
        let room = self.settings.prefetch.max(2 * self.settings.max_ids);
        if self.draining || self.waiting_ids() >= room || self.letters.is_stuck() {
            return None;
        }
        self.ledger.next_unread().map(Action::Decode)
    }

    fn waiting_ids(&self) -> usize {
        self.pending.len() + self.windows.waiting_users()
    }
}

/// A small generator for the backoff's jitter (splitmix64), so that the same seed gives the same run.
#[derive(Debug)]
struct Jitter(u64);

impl Jitter {
    /// Between half of `wait` and all of it.
    fn spread(&mut self, wait: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        wait.mul_f64(0.5 + (mixed >> 11) as f64 / (1u64 << 53) as f64 / 2.0)
    }
}
