//! Evaluates an answer: what it means for each user of its call, and for the API.

use std::time::{Duration, Instant};

use super::codes::Class;
use super::control::Measure;
use super::http::http_status;
use super::pause::{Pause, PauseReason};
use super::{Judge, RUN_LIMIT};
use crate::engine::ledger::Failure;
use crate::engine::pending::Claim;
use crate::engine::window::{Window, WindowId};
use crate::engine::{Answer, Engine, MissingAccount, Notice, Reason, Trigger};
use crate::event::UserId;

const TOO_MANY_REQUESTS: u16 = 429;

impl Engine {
    pub(in super::super) fn answered(&mut self, now: Instant, id: WindowId, answer: Answer) {
        let Some((window, slot)) = self.windows.answered(id) else {
            return;
        };
        let told = Told::by(&answer);
        let succeeded = matches!(answer, Answer::Done { .. });
        self.pace
            .answered(slot, window.started(now), succeeded, now);
        match (refusal(&answer), answer) {
            (reason, _) if window.trigger == Trigger::Control => {
                return self.control_answered(now, id, window.started(now), reason, told);
            }
            (None, _) => self.cleared(now, window),
            (Some(_), Answer::Done { failed }) => self.partly_done(now, window, &failed),
            (Some(reason), _) => self.refused(now, window, reason, told),
        }
        // One that went through has ended the pause.
        self.judge
            .pauses
            .probe_over(id, false, &mut self.jitter, now);
    }

    /// An `ErrorList` is taken as correct for each user that it names. Each code in it is judged as if the named
    /// users had been in their own call.
    fn partly_done(&mut self, now: Instant, mut window: Window, failed: &[(UserId, i64)]) {
        let code_of = |claim: &Claim| {
            let named = failed.iter().find(|(user, _)| *user == claim.user);
            named.map(|(_, code)| *code)
        };
        let mut claims = std::mem::take(&mut window.claims);
        let through: Vec<Claim> = claims
            .extract_if(.., |claim| code_of(claim).is_none())
            .collect();
        if through.len() >= claims.len() {
            // The API has let the call in: whom it throttles all the same, it throttles for themselves.
            let before = window.started(now).checked_sub(Duration::from_nanos(1));
            window.throttled = window.throttled.or(before);
        }
        if !through.is_empty() {
            self.cleared(now, window.part(through));
        }
        while let Some(code) = claims.first().and_then(&code_of) {
            let named = claims.extract_if(.., |claim| code_of(claim) == Some(code));
            let part = window.part(named.collect());
            match PauseReason::of_code(code) {
                reason if reason.class == Class::Missing => self.missing(now, part, code),
                reason => self.refused(now, part, reason, None),
            }
        }
    }

    /// The control call has finished, and failed for that reason, if any.
    fn control_answered(
        &mut self,
        now: Instant,
        id: WindowId,
        started: Instant,
        reason: Option<PauseReason>,
        told: Option<Told>,
    ) {
        let is_let_in = reason.is_none_or(|reason| reason.class == Class::Missing);
        let counts = self.judge.control.answered(is_let_in);
        match reason {
            // It accuses nobody, and shows how often the API is wrong.
            Some(reason) if !counts && reason.class != Class::Throttle => {
                let Judge {
                    control, record, ..
                } = &mut self.judge;
                control.refused(reason, record, now);
            }
            None => {
                self.judge.control_passed(Measure::Whole, now);
                self.went_through(now, started);
            }
            Some(reason) if reason.class == Class::Missing => {
                self.judge.control_passed(Measure::Door, now);
                self.found_nobody(started);
                if self.judge.latest.class == Class::Reject {
                    self.let_in(now, started);
                }
                if self.judge.run >= RUN_LIMIT {
                    self.pause(now, started, self.judge.latest);
                }
            }
            Some(reason) => self.control_refused(now, started, reason, told),
        }
        // It may be the control user alone that is refused: a real one is asked at once.
        let real = self.waiting_ids() > 0;
        self.judge
            .pauses
            .probe_over(id, real, &mut self.jitter, now);
    }

    /// The API is at fault, not a user; unless it still accepts others.
    fn control_refused(
        &mut self,
        now: Instant,
        started: Instant,
        reason: PauseReason,
        told: Option<Told>,
    ) {
        self.judge.latest = reason;
        match reason.class {
            Class::Throttle => {
                self.judge.doubt = false;
                if !self.is_of_one_server(told, now) {
                    self.throttled(now, started, told);
                }
                if self.is_closed(told, now) || self.judge.run >= RUN_LIMIT {
                    self.pause(now, started, reason);
                }
                return;
            }
            Class::AuthRefresh | Class::Ambiguous
                if self.renews(now, started) && self.judge.pauses.current.is_none() =>
            {
                return;
            }
            _ => {}
        }
        let Judge {
            control, record, ..
        } = &mut self.judge;
        let useless = control.refused(reason, record, now);
        let is_contradicted = control.is_contradicted();
        let is_alone = record.witness(false) < Some(started);
        if is_contradicted {
            self.judge.doubt = false;
        }
        if useless {
            self.tell(Notice::ControlRefused { code: reason.code });
        }
        if is_alone && (!is_contradicted || self.judge.run >= RUN_LIMIT) {
            self.pause(now, started, reason);
        }
    }

    /// A call that started at `started` cleared somebody: a witness.
    fn went_through(&mut self, now: Instant, started: Instant) {
        self.judge.record.through.add(started);
        self.let_in(now, started);
    }

    /// A call that started at `started` found no such account: a witness against rejections.
    fn found_nobody(&mut self, started: Instant) {
        self.judge.record.found_nobody.add(started);
        // Whatever a key or a setting has to do with, that was in order.
        self.judge.doubt = false;
    }

    /// The API has dealt with a call that started at `started`.
    pub(super) fn let_in(&mut self, now: Instant, started: Instant) {
        self.judge.works(now);
        self.end_pause(now, started);
    }

    /// Ends a pause. What failed during it is due at once; suspects keep the time between two attempts.
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
        if let Some(probe_in) = self.judge.pauses.pause(reason, doubted, now) {
            self.tell(Notice::Paused { reason, probe_in });
        }
    }

    /// The call cleared all users of the window.
    fn cleared(&mut self, now: Instant, window: Window) {
        let started = window.started(now);
        self.went_through(now, started);
        self.judge.cleared(started);
        self.tally.users_cleared += window.claims.len() as u64;
        self.all_over(now, window, None);
    }

    /// The call found no account for any user of the window.
    pub(super) fn missing(&mut self, now: Instant, window: Window, code: i64) {
        let started = window.started(now);
        self.found_nobody(started);
        // Unlike the control user, these are users of the app: it has looked for them.
        self.let_in(now, started);
        let failure = match self.settings.missing_account {
            MissingAccount::Done => None,
            MissingAccount::DeadLetter => {
                Some((Reason::UnknownAccount, PauseReason::of_code(code)))
            }
        };
        if failure.is_none() {
            self.tally.users_missing += window.claims.len() as u64;
        }
        self.all_over(now, window, failure);
    }

    /// All users of the window are done, or have failed with this reason, and were refused so.
    pub(super) fn all_over(
        &mut self,
        now: Instant,
        window: Window,
        failure: Option<(Reason, PauseReason)>,
    ) {
        let attempts = window.calls;
        for claim in &window.claims {
            let user = Some(claim.user);
            for delivery in &claim.waiters {
                if let Some((reason, refusal)) = failure {
                    self.ledger.fail(
                        *delivery,
                        Failure {
                            reason,
                            code: refusal.code,
                            http: refusal.http,
                            user,
                            invalid: 0,
                            attempts,
                        },
                    );
                }
                self.resolve(now, *delivery);
            }
        }
        match failure {
            // No refusal is explained by an account that does not exist.
            None | Some((Reason::UnknownAccount, _)) => {
                let refused = window.history.went_through();
                self.judge.record.wronged(refused, now);
            }
            Some(_) => window.history.explain(),
        }
    }
}

/// When an answer tells to come again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub wait: Duration,
    /// It is said to this client, not by one server of several that is in trouble.
    pub to_us: bool,
}

impl Told {
    fn by(answer: &Answer) -> Option<Told> {
        let Answer::Http {
            status,
            retry_after: Some(wait),
        } = *answer
        else {
            return None;
        };
        let to_us = status == TOO_MANY_REQUESTS;
        (http_status(status, true).class == Class::Throttle).then_some(Told { wait, to_us })
    }
}

/// Why a call failed, as a whole or for some of its users; none if it did not.
fn refusal(answer: &Answer) -> Option<PauseReason> {
    let class = match answer {
        Answer::Done { failed } => return Some(PauseReason::of_code(failed.first()?.1)),
        Answer::Refused(code) => return Some(PauseReason::of_code(*code)),
        Answer::Http {
            status,
            retry_after,
        } => return Some(PauseReason::of_http(*status, retry_after.is_some())),
        Answer::NoCredential => Class::Config,
        Answer::Unclear => Class::Unknown,
        Answer::Fault => Class::Transient,
    };
    Some(PauseReason {
        class,
        ..PauseReason::NO_ANSWER
    })
}
