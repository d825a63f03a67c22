//! Consequences of a refusal: one function per class, whether the code came for the whole call or for some of its
//! users in an `ErrorList`.

use std::time::{Duration, Instant};

use super::answers::Told;
use super::codes::Class;
use super::pause::PauseReason;
use super::{Judge, RENEW_AGAIN, RUN_LIMIT};
use crate::engine::pace::LONGEST_HOLD;
use crate::engine::window::{Place, Window};
use crate::engine::{Action, Engine, Notice, Reason, Trigger};

/// How long a throttled window waits; twice as long with each strike, up to `backoff_max`.
const THROTTLE_WAIT: Duration = Duration::from_secs(2);
/// How long a window waits for an ordinary call to succeed if control calls prove nothing.
const UNTOLD: Duration = Duration::from_secs(60);
/// If a call worked this short a time ago, or in the time of so few calls, one server of several is in trouble, not the
/// API. With no more than so few failures since, a longer time counts.
const JUST_NOW: Duration = Duration::from_secs(1);
const JUST_NOW_IF_QUIET: Duration = Duration::from_secs(60);
const FEW_CALLS: u32 = 4;
/// Failures while others succeeded, after which a window is split.
const STRIKES: u32 = 2;

impl Engine {
    /// The call was refused for all users of the window.
    pub(super) fn refused(
        &mut self,
        now: Instant,
        mut window: Window,
        reason: PauseReason,
        told: Option<Told>,
    ) {
        let started = window.started(now);
        if reason.class == Class::Missing {
            // One of the accounts does not exist: with a single user that is the end of it.
            if let Some(code) = reason.code
                && window.is_alone()
            {
                return self.missing(now, window, code);
            }
            self.let_in(now, started);
            return self.split(window);
        }
        self.judge.run += 1;
        self.judge.latest = reason;
        match reason.class {
            Class::Throttle => self.slow_down(now, started, window, told),
            Class::AuthRefresh | Class::Ambiguous if self.renews(now, started) => {
                self.wait(window, now);
            }
            Class::AuthRefresh | Class::Config => self.misconfigured(now, started, window),
            Class::Reject | Class::Oversize if !window.is_alone() => {
                window.history.refused(reason.class == Class::Reject);
                self.split(window);
            }
            _ => self.try_again(now, window),
        }
        // Without a control call nothing else can tell an outage.
        if self.judge.run >= RUN_LIMIT && !self.judge.control.proves() {
            self.pause(now, started, self.judge.latest);
        }
        if let Some(pause) = self.judge.pauses.current.as_mut() {
            pause.reason = reason;
        }
    }

    /// Waits, and makes all others wait as well, unless those went through since the window was throttled before:
    /// then the cause is a user of its own. He is split off, tried more and more seldom, and never condemned for it.
    /// Nor do others wait for one server of several that asks for time.
    fn slow_down(
        &mut self,
        now: Instant,
        started: Instant,
        mut window: Window,
        told: Option<Told>,
    ) {
        let before = window.throttled.replace(now);
        // Whoever is told that there is no such account was let in, too.
        let others_pass = before.is_some() && self.judge.record.witness(true) > before;
        let is_its_own = others_pass || self.is_of_one_server(told, now);
        // A control call shows whether anybody is let in.
        let is_in_doubt = before.is_some() || self.is_closed(told, now);
        if is_in_doubt && self.judge.control.proves() {
            self.judge.ask();
        }
        if !is_its_own {
            self.throttled(now, started, told);
        } else if window.strikes >= STRIKES && !window.is_alone() {
            return self.split(window);
        } else {
            window.strikes += 1;
        }
        let wait = THROTTLE_WAIT * (1 << window.strikes.min(16));
        let longest = self.settings.backoff_max.max(THROTTLE_WAIT);
        let wait = self.jitter.spread(wait.min(longest));
        // Another server may take the next call.
        let told = told.filter(|told| told.to_us || !is_its_own);
        let told = told.map_or(Duration::ZERO, |told| told.wait.min(LONGEST_HOLD));
        self.wait(window, now + wait.max(told));
    }

    /// Whether the answer asks for time, and no call has worked lately.
    pub(super) fn is_closed(&self, told: Option<Told>, now: Instant) -> bool {
        told.is_some() && !self.judge.worked_lately(now)
    }

    /// Whether it is one server of several that asks for time.
    pub(super) fn is_of_one_server(&self, told: Option<Told>, now: Instant) -> bool {
        let just_now = match self.judge.run <= FEW_CALLS {
            true => JUST_NOW_IF_QUIET,
            false => JUST_NOW.max(self.pace.rate.gap(now) * FEW_CALLS),
        };
        let worked = self.judge.worked;
        told.is_some_and(|told| !told.to_us) && worked.is_some_and(|worked| now < worked + just_now)
    }

    /// Everybody waits.
    pub(super) fn throttled(&mut self, now: Instant, started: Instant, told: Option<Told>) {
        if let Some(told) = told {
            self.pace.hold(told.wait, now);
        }
        if self.pace.throttled(started, now) {
            let calls_per_second = self.pace.rate.at(now);
            self.tell(Notice::Throttled { calls_per_second });
        }
    }

    /// Whether a new UserSig may help a call that started at `started`: it used an old one, or the last renewal was
    /// long ago.
    pub(super) fn renews(&mut self, now: Instant, started: Instant) -> bool {
        match self.judge.renewed {
            Some(renewed) if started < renewed => true,
            Some(renewed) if now < renewed + RENEW_AGAIN => false,
            _ => {
                self.judge.renewed = Some(now);
                self.out.push_back(Action::RenewUserSig);
                true
            }
        }
    }

    /// The configuration, or the app's, is refused. Unless another call succeeds now, nothing can work: a control
    /// call shows it at once.
    fn misconfigured(&mut self, now: Instant, started: Instant, window: Window) {
        if self.judge.control.proves() {
            self.judge.ask();
        } else if !self.judge.worked_lately(now) {
            self.pause(now, started, self.judge.latest);
        }
        self.try_again(now, window);
    }

    /// Retries after a jittered delay that doubles with each failure, once it is known whether another call
    /// succeeds.
    fn try_again(&mut self, now: Instant, mut window: Window) {
        window
            .history
            .refused(self.judge.latest.class == Class::Reject);
        if window.is_alone() {
            let Judge { record, latest, .. } = &self.judge;
            let suspect = window.suspect.get_or_insert_with(|| record.suspect(now));
            suspect.refused(*latest, record);
        }
        let wait = self.settings.backoff_min * (1 << window.failures.min(16));
        window.failures += 1;
        window.trigger = Trigger::Retry;
        let is_reject = |reason: PauseReason| reason.class == Class::Reject;
        let same_kind = is_reject(window.refusal) == is_reject(self.judge.latest);
        window.unwitnessed = window.unwitnessed.filter(|_| same_kind).or(Some(now));
        window.refusal = self.judge.latest;
        window.due = Some(now + self.jitter.spread(wait.min(self.settings.backoff_max)));
        window.overdue = Some(now + self.jitter.spread(wait.min(UNTOLD)));
        if self.keeps(&mut window) {
            self.windows.await_witness(window);
        }
    }

    /// Judges the windows whose refusal has a witness, and makes windows ready whose time has come.
    pub(in super::super) fn judge_due(&mut self, now: Instant) {
        for reject in [true, false] {
            if self.judge.pauses.current.is_some() {
                continue;
            }
            let refused = Place::Unwitnessed { reject };
            let witness = self.judge.record.witness(reject);
            while let Some(window) = self.windows.take(refused, witness) {
                self.witnessed(now, window);
            }
            // Who waits for a witness that no control call can be is tried again, and it does not count.
            if !self.judge.control.tells(reject) {
                for window in self.windows.take_overdue(reject, now) {
                    match window.suspect {
                        Some(_) => self.windows.wait(window),
                        // To split it blames nobody.
                        None => self.witnessed(now, window),
                    }
                }
            }
        }
        while let Some(window) = self.windows.take(Place::PutOff, Some(now)) {
            self.windows.make_ready(window);
        }
    }

    /// Another call succeeded after the window was refused: the refusal counts.
    fn witnessed(&mut self, now: Instant, mut window: Window) {
        let refused = window.unwitnessed.take().unwrap_or(now);
        let refusal = window.refusal;
        let reject = refusal.class == Class::Reject;
        let Some(suspect) = window.suspect.as_mut() else {
            window.strikes += 1;
            // A setting that others do not meet with is this window's own.
            let own = matches!(refusal.class, Class::Config | Class::AuthRefresh);
            return match own || window.strikes >= STRIKES {
                true => self.split(window),
                false => self.windows.wait(window),
            };
        };
        suspect.refusals.add(reject);
        let tried = reject || suspect.refusals.of(false) >= self.settings.max_attempts;
        if !tried || !self.judge.record.condemns(suspect, reject, now) {
            return self.windows.wait(window);
        }
        let (user, suspect) = (window.claims[0].user, suspect.clone());
        if !reject && let Some(wait) = self.verdict_waits(user, &suspect, refusal, refused, now) {
            window.due = window.due.max(Some(now + wait));
            return self.windows.wait(window);
        }
        let reason = match reject {
            true => Reason::RejectedByApi,
            false => Reason::RetriesExhausted,
        };
        self.all_over(now, window, Some((reason, refusal)));
    }

    fn split(&mut self, window: Window) {
        for mut half in window.split() {
            if self.keeps(&mut half) {
                self.windows.make_ready(half);
            }
        }
    }

    fn wait(&mut self, mut window: Window, due: Instant) {
        window.trigger = Trigger::Retry;
        window.due = Some(due);
        if self.keeps(&mut window) {
            self.windows.wait(window);
        }
    }

    /// Whether the window waits for another call. In a drain there is none: the broker gives it to the next
    /// worker.
    fn keeps(&mut self, window: &mut Window) -> bool {
        self.is_awaited(window) && !self.draining
    }

    /// Removes deliveries that have gone back, and users that no delivery waits for; false if no user is left.
    pub(in super::super) fn is_awaited(&mut self, window: &mut Window) -> bool {
        let before = window.claims.len();
        let user = window.claims.first().map(|claim| claim.user);
        let open = |delivery| self.ledger.is_open(delivery);
        window.claims.retain_mut(|claim| {
            claim.waiters.retain(|delivery| open(*delivery));
            !claim.waiters.is_empty()
        });
        if window.claims.len() < before {
            // Whether they would have gone through nobody knows.
            window.history.explain();
            // Its delivery went back while the call was out: who is suspected comes again.
            if let (Some(user), Some(suspect)) = (user, window.suspect.take()) {
                self.judge.remember(user, suspect);
            }
        }
        !window.claims.is_empty()
    }
}
