//! What follows from the answer to a call: for each user, for its window, and for all calls to come.

use std::time::{Duration, Instant};

use super::health::{Pause, PauseReason, Renewal};
use super::ledger::Failure;
use super::pending::Claim;
use super::verdict::{Answer, Class, class};
use super::window::{Window, WindowId};
use super::{Action, Engine, MissingAccount, Notice, Reason, Trigger};
use crate::event::UserId;

/// Calls with an answer that nobody knows, before the worker does more than try again.
const RIDDLE_LIMIT: u32 = 3;
/// How long a throttled window waits, at most; the pace itself is halved besides.
const THROTTLE_WAIT: Duration = Duration::from_secs(2);
/// Tries that are left to the halves of a window that failed for too long.
const SECOND_CHANCES: u32 = 2;

/// How a single user ended.
#[derive(Clone, Copy)]
enum Outcome {
    Cleared,
    Missing { code: Option<i64> },
    Failed { reason: Reason, code: Option<i64> },
}

impl Engine {
    pub(super) fn answered(&mut self, now: Instant, id: WindowId, answer: Answer) {
        let Some((window, slot)) = self.windows.answered(id) else {
            return;
        };
        let succeeded = matches!(answer, Answer::Done { .. });
        self.pace.answered(slot, succeeded, now);
        self.health.probe_over(id, now);
        match answer {
            Answer::Done { failed } => self.done(now, window, failed),
            Answer::Refused(code) => self.refused(now, window, class(code), Some(code)),
            Answer::Unclear => self.refused(now, window, Class::Unknown, None),
            Answer::NoCredential => self.refused(now, window, Class::Config, None),
            Answer::Fault => self.refused(now, window, Class::Transient, None),
        }
    }

    /// The call succeeded. `failed` is the truth about each user that it names.
    fn done(&mut self, now: Instant, mut window: Window, failed: Vec<(UserId, i64)>) {
        if !failed.is_empty() {
            let through = |claim: &Claim| {
                failed
                    .iter()
                    .all(|(user, code)| *user != claim.user || class(*code) == Class::Missing)
            };
            if !window.claims.iter().any(through) {
                // No user went through, so this is no success whatever the envelope says. Where the codes
                // differ, one that blames a user must not cast suspicion on the others.
                let codes = || failed.iter().map(|(_, code)| *code);
                let passing = codes().find(|code| class(*code) == Class::Transient);
                let code = passing.unwrap_or(failed[0].1);
                return self.refused(now, window, class(code), Some(code));
            }
        }
        self.health.succeeded(now);
        self.api_works(now);
        let mut again = Vec::new();
        for claim in std::mem::take(&mut window.claims) {
            let code = failed
                .iter()
                .find(|(user, _)| *user == claim.user)
                .map(|(_, code)| *code);
            let outcome = match code.map(|code| (class(code), code)) {
                None => Outcome::Cleared,
                Some((Class::Missing, _)) => Outcome::Missing { code },
                Some((Class::Reject | Class::Oversize | Class::Ambiguous, code)) => {
                    Outcome::Failed {
                        reason: Reason::RejectedByApi,
                        code: Some(code),
                    }
                }
                // Other users went through in this very call, so no code can be more than this user's own.
                Some((_, code)) if window.attempts + 1 >= self.settings.max_attempts => {
                    Outcome::Failed {
                        reason: Reason::RetriesExhausted,
                        code: Some(code),
                    }
                }
                Some(_) => {
                    again.push(claim);
                    continue;
                }
            };
            self.user_over(now, &claim, outcome, window.calls);
        }
        if !again.is_empty() {
            window.claims = again;
            window.attempts += 1;
            self.try_again(now, window);
        }
    }

    /// The call failed for all its users.
    fn refused(&mut self, now: Instant, mut window: Window, class: Class, code: Option<i64>) {
        let reason = PauseReason { class, code };
        match class {
            Class::Missing => {
                self.api_works(now);
                if window.claims.len() > 1 {
                    return self.split(now, window);
                }
                self.all_over(now, &window, Outcome::Missing { code });
            }
            Class::Transient => self.transient(now, window, reason),
            Class::Unknown => self.riddle(now, window, reason),
            Class::Throttle => {
                if self.pace.throttled(now) {
                    let calls_per_second = self.pace.rate(now);
                    self.out
                        .push_back(Action::Notice(Notice::Throttled { calls_per_second }));
                }
                self.count_failure(now, reason);
                let due = now + self.jitter.spread(THROTTLE_WAIT);
                self.wait(window, due);
            }
            Class::AuthRefresh => {
                match self.health.may_renew(window.called.unwrap_or(now), now) {
                    Renewal::Renew => self.out.push_back(Action::RenewUserSig),
                    Renewal::Done => {}
                    Renewal::Useless => self.pause(now, reason),
                }
                self.wait(window, now);
            }
            // Others succeeded since it was refused before: it is this window's own, and no reason to stop
            // the others. Nor is it one to dead-letter: a feature may be on in one place only for a while.
            Class::Config if window.witness.since_failure => self.isolate(now, window),
            Class::Config => {
                self.pause(now, reason);
                window.failed = Some(now);
                self.wait(window, now);
            }
            Class::Ambiguous if !window.refreshed => {
                window.refreshed = true;
                self.out.push_back(Action::RenewUserSig);
                self.wait(window, now);
            }
            Class::Ambiguous if !self.health.has_witness(now) => {
                self.pause(
                    now,
                    PauseReason {
                        class: Class::Config,
                        code,
                    },
                );
                self.wait(window, now);
            }
            Class::Oversize if window.claims.len() == 1 => {
                self.pause(
                    now,
                    PauseReason {
                        class: Class::Config,
                        code,
                    },
                );
                self.wait(window, now);
            }
            Class::Reject | Class::Ambiguous | Class::Oversize => {
                self.rejected(now, window, reason);
            }
        }
    }

    fn transient(&mut self, now: Instant, mut window: Window, reason: PauseReason) {
        self.count_failure(now, reason);
        // A failure only counts against a user if others succeeded since it failed before.
        let witnessed = window.failed.is_none() || window.witness.since_failure;
        window.attempts += u32::from(witnessed);
        let patience = if window.second_chance {
            SECOND_CHANCES
        } else {
            self.settings.max_attempts
        };
        if window.claims.len() > 1 && window.failures + 1 >= patience {
            // One of its users may be the cause, and must not cost the others their erasure. To split
            // blames nobody, so it needs no witness.
            return self.split_exhausted(now, window);
        }
        // The first failure has no witness, even where one try is all that is allowed. In an outage all failures
        // but the first have company, and it may come and go: whoever fails in company has two tries more.
        let company = match self.health.is_first_failure() {
            true => 0,
            false => SECOND_CHANCES,
        };
        let exhausted =
            window.witness.since_failure && window.attempts >= self.settings.max_attempts + company;
        if window.claims.len() > 1 || !exhausted {
            return self.try_again(now, window);
        }
        let outcome = Outcome::Failed {
            reason: Reason::RetriesExhausted,
            code: reason.code,
        };
        self.all_over(now, &window, outcome);
    }

    fn riddle(&mut self, now: Instant, mut window: Window, reason: PauseReason) {
        window.riddles += 1;
        self.count_failure(now, reason);
        if window.riddles >= RIDDLE_LIMIT {
            if self.health.has_witness(now) {
                return self.isolate(now, window);
            }
            self.pause(now, reason);
        }
        self.try_again(now, window);
    }

    /// Finds the user at fault without blaming it: a single user is tried on for as long as it takes.
    fn isolate(&mut self, now: Instant, mut window: Window) {
        if window.claims.len() == 1 {
            return self.try_again(now, window);
        }
        window.failed = Some(now);
        self.split(now, window);
    }

    fn rejected(&mut self, now: Instant, mut window: Window, reason: PauseReason) {
        self.count_failure(now, reason);
        let suspected = *window.suspected.get_or_insert(now);
        if window.claims.len() > 1 {
            return self.split(now, window);
        }
        window.rejections += 1;
        let witnessed = window.witness.since_suspicion;
        if witnessed || self.health.believes_lone(suspected, window.rejections, now) {
            if !witnessed {
                self.health.convicted_lone(now);
            }
            let outcome = Outcome::Failed {
                reason: Reason::RejectedByApi,
                code: reason.code,
            };
            return self.all_over(now, &window, outcome);
        }
        // It is called again. Were it convicted by a success from before it was rejected, or by the first
        // one after, an API that rejects everybody for a moment would cost all who stand alone by then.
        if !self.health.has_witness(now) {
            self.pause(now, reason);
        }
        self.try_again(now, window);
    }
}

impl Engine {
    fn all_over(&mut self, now: Instant, window: &Window, outcome: Outcome) {
        for claim in &window.claims {
            self.user_over(now, claim, outcome, window.calls);
        }
    }

    fn user_over(&mut self, now: Instant, claim: &Claim, outcome: Outcome, attempts: u32) {
        let failure = match outcome {
            Outcome::Cleared => {
                self.tally.users_cleared += 1;
                None
            }
            Outcome::Missing { code } => match self.settings.missing_account {
                MissingAccount::Done => {
                    self.tally.users_missing += 1;
                    None
                }
                MissingAccount::DeadLetter => Some((Reason::UnknownAccount, code)),
            },
            Outcome::Failed { reason, code } => Some((reason, code)),
        };
        for delivery in claim.waiters.as_slice() {
            if let Some((reason, code)) = failure {
                self.ledger.fail(
                    *delivery,
                    Failure {
                        reason,
                        code,
                        user: Some(claim.user),
                        attempts,
                    },
                );
            }
            self.resolve(now, *delivery);
        }
    }

    fn count_failure(&mut self, now: Instant, reason: PauseReason) {
        if self.health.failed() {
            self.pause(now, reason);
        }
    }

    fn pause(&mut self, now: Instant, reason: PauseReason) {
        if self.health.pause(reason, now) {
            self.out.push_back(Action::Notice(Notice::Paused(reason)));
        }
    }

    /// The API answers as it should: a pause ends, and what failed during it is put off no longer. Its
    /// attempts stand: they were only counted while others succeeded.
    fn api_works(&mut self, now: Instant) {
        let Some(Pause { since, .. }) = self.health.works() else {
            return;
        };
        for window in self.windows.waiting_mut() {
            window.failures = 0;
            window.riddles = 0;
        }
        self.out
            .push_back(Action::Notice(Notice::Resumed { after: now - since }));
    }

    fn split(&mut self, now: Instant, window: Window) {
        for half in window.split() {
            self.windows.wait(half, now);
        }
    }

    fn split_exhausted(&mut self, now: Instant, window: Window) {
        let attempts = self.settings.max_attempts.saturating_sub(SECOND_CHANCES);
        for half in window.split() {
            let half = Window {
                attempts,
                second_chance: true,
                failed: Some(now),
                ..half
            };
            self.windows.wait(half, now);
        }
    }

    /// Another try after a jittered pause that doubles with each failure.
    fn try_again(&mut self, now: Instant, mut window: Window) {
        let doublings = window.failures.min(16);
        window.failures += 1;
        window.failed = Some(now);
        let wait = self
            .settings
            .backoff_min
            .saturating_mul(1 << doublings)
            .min(self.settings.backoff_max);
        let due = now + self.jitter.spread(wait);
        self.wait(window, due);
    }

    /// Forgets the deliveries that are not ours any more, and the users nobody waits for then.
    pub(super) fn drop_lost_waiters(&mut self, window: &mut Window) {
        window.claims.retain_mut(|claim| {
            claim.retain_waiters(|waiter| {
                let open = self.ledger.is_open(waiter);
                if !open {
                    self.ledger.forget_ghost(waiter);
                }
                open
            })
        });
    }

    fn wait(&mut self, mut window: Window, due: Instant) {
        self.drop_lost_waiters(&mut window);
        window.trigger = Trigger::Retry;
        // In a drain there is no second try: the broker gives it to the next worker.
        if !window.claims.is_empty() && !self.draining {
            self.windows.wait(window, due);
        }
    }
}
