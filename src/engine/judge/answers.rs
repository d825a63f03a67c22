//! What an answer says of each user of its call, and of the API.

use std::time::Instant;

use super::RUN_LIMIT;
use super::codes::{Class, class};
use super::control::Measure;
use super::http::http_status;
use super::pause::{Pause, PauseReason};
use crate::engine::ledger::Failure;
use crate::engine::pending::Claim;
use crate::engine::window::{Window, WindowId};
use crate::engine::{Answer, Engine, MissingAccount, Notice, Reason};
use crate::event::UserId;

/// How a single user ended.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    Cleared,
    Missing { code: i64 },
    Failed { reason: Reason, code: Option<i64> },
}

impl Engine {
    pub(in super::super) fn answered(&mut self, now: Instant, id: WindowId, answer: Answer) {
        if let Answer::Http {
            status,
            retry_after: Some(wait),
        } = answer
            && http_status(status, true).class == Class::Throttle
        {
            self.pace.hold(wait, now);
        }
        let done = matches!(answer, Answer::Done { .. });
        if let Some((slot, started)) = self.judge.control.answered(id) {
            self.pace.answered(slot, started, done, now);
            return self.control_answered(now, id, started, &answer);
        }
        let Some((window, slot)) = self.windows.answered(id) else {
            return;
        };
        let started = window.called.unwrap_or(now);
        self.pace.answered(slot, started, done, now);
        match answer {
            Answer::Done { failed } if failed.is_empty() => {
                self.went_through(now, started);
                self.all_over(now, window, Outcome::Cleared);
            }
            Answer::Done { failed } => self.partly_done(now, started, window, &failed),
            refused => {
                self.refused(now, window, refusal(&refused));
            }
        }
        // One that went through has ended the pause.
        self.judge.pauses.probe_over(id, false, now);
    }

    /// An `ErrorList` is the truth about each user that it names. Each code in it is judged as if the named
    /// users had been in a call of their own.
    fn partly_done(
        &mut self,
        now: Instant,
        started: Instant,
        mut window: Window,
        failed: &[(UserId, i64)],
    ) {
        let code_of = |claim: &Claim| {
            let named = failed.iter().find(|(user, _)| *user == claim.user);
            named.map(|(_, code)| *code)
        };
        let mut claims = std::mem::take(&mut window.claims);
        let through: Vec<Claim> = claims
            .extract_if(.., |claim| code_of(claim).is_none())
            .collect();
        if !through.is_empty() {
            self.went_through(now, started);
            self.all_over(now, window.part(through), Outcome::Cleared);
        }
        while let Some(code) = claims.first().and_then(&code_of) {
            let named = claims.extract_if(.., |claim| code_of(claim) == Some(code));
            let part = window.part(named.collect());
            match class(code) {
                Class::Missing => {
                    self.found_nobody(now, started);
                    self.all_over(now, part, Outcome::Missing { code });
                }
                _ => self.refused(now, part, PauseReason::of_code(code)),
            }
        }
    }

    fn control_answered(&mut self, now: Instant, id: WindowId, started: Instant, answer: &Answer) {
        match control_measure(answer) {
            Ok(measure) => {
                let refused = self.judge.control.passed(measure);
                self.judge.record.wronged(refused, now);
                match measure {
                    Measure::Whole => self.went_through(now, started),
                    Measure::Unknown | Measure::Door | Measure::None => {
                        self.found_nobody(now, started);
                        if self.judge.run >= RUN_LIMIT {
                            self.pause(now, started, self.judge.latest);
                        }
                    }
                }
            }
            Err(reason) => self.control_refused(now, started, reason),
        }
        // It may be the control user alone that is refused: a real one is asked at once.
        self.judge
            .pauses
            .probe_over(id, self.waiting_ids() > 0, now);
    }

    /// It is the API, and no user's fault; unless it takes others all the same.
    fn control_refused(&mut self, now: Instant, started: Instant, reason: PauseReason) {
        self.judge.latest = reason;
        match reason.class {
            Class::Throttle => {
                self.throttled(now, started);
                if self.judge.run >= RUN_LIMIT {
                    self.pause(now, started, reason);
                }
                return;
            }
            Class::AuthRefresh | Class::Ambiguous if self.renews(now, started) => return,
            _ => {}
        }
        if self
            .judge
            .control
            .refused(reason.class, &self.judge.record, now)
        {
            self.judge.doubt = false;
            self.tell(Notice::ControlRefused { code: reason.code });
        }
        if self.judge.record.witness(false) < Some(started) {
            self.pause(now, started, reason);
        }
    }

    /// A call that started at `started` cleared somebody: a witness.
    fn went_through(&mut self, now: Instant, started: Instant) {
        self.judge.record.went_through(started);
        self.judge.works(now);
        self.end_pause(now, started);
    }

    /// A call that started at `started` found no such account: a witness against rejections.
    pub(super) fn found_nobody(&mut self, now: Instant, started: Instant) {
        self.judge.record.found_nobody(started);
        // Whatever a key or a setting has to do with, that was in order.
        self.judge.doubt = false;
        if self.judge.latest.class == Class::Reject {
            self.judge.works(now);
            self.end_pause(now, started);
        }
    }

    /// A pause ends, and what failed during it is put off no longer. Who is suspected keeps the time between
    /// two tries.
    fn end_pause(&mut self, now: Instant, started: Instant) {
        let Some(Pause { since, .. }) = self.judge.pauses.end(started, now) else {
            return;
        };
        for mut window in self.windows.extract(|window| window.suspect.is_none()) {
            window.failures = 0;
            self.windows.make_ready(window);
        }
        self.tell(Notice::Resumed { after: now - since });
    }

    pub(super) fn pause(&mut self, now: Instant, doubted: Instant, reason: PauseReason) {
        self.judge.doubt = false;
        if self.judge.pauses.pause(reason, doubted, now) {
            self.tell(Notice::Paused(reason));
        }
    }

    /// All users of the window have ended like this.
    pub(super) fn all_over(&mut self, now: Instant, window: Window, outcome: Outcome) {
        let users = window.claims.len() as u64;
        let failed = match outcome {
            Outcome::Cleared => {
                self.tally.users_cleared += users;
                None
            }
            Outcome::Missing { code } => match self.settings.missing_account {
                MissingAccount::Done => {
                    self.tally.users_missing += users;
                    None
                }
                MissingAccount::DeadLetter => Some((Reason::UnknownAccount, Some(code))),
            },
            Outcome::Failed { reason, code } => Some((reason, code)),
        };
        for claim in &window.claims {
            for delivery in claim.waiters.as_slice() {
                if let Some((reason, code)) = failed {
                    let failure = Failure {
                        reason,
                        code,
                        user: Some(claim.user),
                        attempts: window.calls,
                    };
                    self.ledger.fail(*delivery, failure);
                }
                self.resolve(now, *delivery);
            }
        }
        if let Outcome::Failed { .. } = outcome {
            window.history.explain();
        } else {
            let refused = window.history.went_through();
            self.judge.record.wronged(refused, now);
        }
    }
}

/// Why a call failed that did not succeed.
fn refusal(answer: &Answer) -> PauseReason {
    let class = match answer {
        Answer::Refused(code) => return PauseReason::of_code(*code),
        Answer::Http {
            status,
            retry_after,
        } => return PauseReason::of_http(*status, retry_after.is_some()),
        Answer::NoCredential => Class::Config,
        Answer::Unclear => Class::Unknown,
        Answer::Done { .. } | Answer::Fault => Class::Transient,
    };
    PauseReason {
        class,
        ..PauseReason::NO_ANSWER
    }
}

/// What the answer to a control call shows.
fn control_measure(answer: &Answer) -> Result<Measure, PauseReason> {
    let code = match answer {
        Answer::Done { failed } => match failed.first() {
            None => return Ok(Measure::Whole),
            Some((_, code)) => *code,
        },
        Answer::Refused(code) => *code,
        other => return Err(refusal(other)),
    };
    match class(code) {
        Class::Missing => Ok(Measure::Door),
        _ => Err(PauseReason::of_code(code)),
    }
}
