//! The service behind the socket: one call in, one outcome out, with the time as a parameter.
//!
//! It knows nothing of HTTP connections; the server applies faults to them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::answer::{Answer, ListedError};
use crate::call::Call;
use crate::checks::{self, Target};
use crate::codes;
use crate::faults::{Fault, Faults, Stage};
use crate::interface::Interface;
use crate::journal::{Entry, Histogram, Journal, Stats};
use crate::lockout::Lockout;
use crate::options::Options;
use crate::quota::Meter;
use crate::users::{UnknownAccounts, Users};

/// What becomes of a call.
pub(crate) struct Outcome {
    /// `None` where a fault strikes before the API has seen the call.
    pub(crate) answer: Option<Answer>,
    pub(crate) fault: Option<Fault>,
    /// The time to wait before the answer.
    pub(crate) latency: Duration,
    /// Counted in [`Stats::in_flight`], to be given back when its answer begins.
    pub(crate) in_flight: bool,
}

/// How the service treats a call that contains a certain user.
#[derive(Clone, Copy)]
pub(crate) enum Rejection {
    WholeCall(i32),
    InErrorList(i32),
}

pub(crate) struct Service {
    pub(crate) started: Instant,
    pub(crate) options: Options,
    pub(crate) users: Users,
    pub(crate) rejections: HashMap<String, Rejection>,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) stats: Stats,
    pub(crate) histogram: Histogram,
    meters: [Meter; Interface::ALL.len()],
    lockout: Lockout,
    jitter: fastrand::Rng,
}

impl Service {
    pub(crate) fn new(mut options: Options, started: Instant) -> Service {
        let mut faults = Faults::new(options.seed);
        for rule in options.faults.drain(..) {
            faults.add(rule, started);
        }
        Service {
            started,
            users: Users::default(),
            rejections: HashMap::new(),
            faults,
            journal: Journal::with_capacity(options.journal_capacity),
            stats: Stats::default(),
            histogram: Histogram::default(),
            meters: Default::default(),
            lockout: Lockout::after(options.lock_out_after),
            jitter: fastrand::Rng::with_seed(options.seed),
            options,
        }
    }

    /// Decides about a call and does its work at once: latency only holds back the answer.
    pub(crate) fn receive(&mut self, call: &Call) -> Outcome {
        let listed_ids = call.listed_ids();
        let cleared_before = self.stats.users_cleared;
        self.note_arrival(call);

        let in_front = call.interface.and_then(|interface| {
            self.faults
                .pick(call.arrived, Stage::Front, interface, &listed_ids)
        });
        let (fault, answer) = match in_front {
            Some(fault) => (Some(fault), None),
            None => match self.pass_gateway(call) {
                Ok(interface) => self.answer(interface, call, &listed_ids),
                Err(code) => (None, Some(Answer::refusal(code))),
            },
        };

        let code = answer.as_ref().and_then(|answer| answer.code);
        self.note_outcome(
            call,
            code,
            fault.as_ref(),
            self.stats.users_cleared - cleared_before,
        );
        self.journal.push(Entry {
            at: call.arrived.duration_since(self.started),
            interface: call.interface,
            ids: listed_ids.len(),
            code,
            fault: fault.as_ref().map(Fault::name),
            users: self
                .options
                .journal_users
                .then(|| listed_ids.iter().map(|&id| id.to_owned()).collect()),
        });
        Outcome {
            answer,
            fault,
            latency: self.latency(),
            in_flight: call.clears_tags(),
        }
    }

    pub(crate) fn is_known(&self, id: &str) -> bool {
        self.users.is_known(id) || self.options.admins.iter().any(|admin| admin == id)
    }

    fn latency(&mut self) -> Duration {
        self.options.latency + self.options.latency_jitter.mul_f64(self.jitter.f64())
    }

    /// What comes before the body is looked at; a call that passes has used up quota.
    fn pass_gateway(&mut self, call: &Call) -> Result<Interface, i32> {
        let admitted = checks::authenticate(&self.options, call);
        let interface = self.lockout.judge(admitted, call.arrived)?;
        if !self.meters[interface as usize].admit(call.arrived, self.options.calls_per_second) {
            return Err(codes::TOO_FREQUENT);
        }
        Ok(interface)
    }

    fn answer(
        &mut self,
        interface: Interface,
        call: &Call,
        listed_ids: &[&str],
    ) -> (Option<Fault>, Option<Answer>) {
        let fault = self
            .faults
            .pick(call.arrived, Stage::Service, interface, listed_ids);
        let answer = match &fault {
            Some(Fault::Answer(code)) => Answer::refusal(*code),
            Some(Fault::Body(body)) => Answer::dictated(body),
            _ => self.serve(interface, call).unwrap_or_else(Answer::refusal),
        };
        (fault, Some(answer))
    }

    /// The work itself, or the code of the check that failed; then nothing was done.
    fn serve(&mut self, interface: Interface, call: &Call) -> Result<Answer, i32> {
        let targets = checks::targets(interface, call.body.as_ref(), self.options.feature_enabled)?;
        let (todo, refused) = self.sort_out(interface, targets)?;
        match interface {
            Interface::ImRemoveAllTags | Interface::ClearAllTags => {
                self.clear_tags(&todo, call.arrived);
                self.stats.accepted += 1;
                self.stats.ids += (todo.len() + refused.len()) as u64;
                Ok(Answer::success(None, &refused))
            }
            Interface::ImAddTag => {
                for target in todo {
                    self.users.add_tags(target.id, target.tags);
                }
                Ok(Answer::success(None, &refused))
            }
            Interface::ImGetTag => {
                let user_tags = todo.iter().map(|target| {
                    let tags = self.users.tags(target.id).unwrap_or_default();
                    json!({ "To_Account": target.id, "Tags": tags })
                });
                Ok(Answer::success(Some(user_tags.collect()), &refused))
            }
        }
    }

    /// Parts the users who will be served from those who get a code of their own; an error is for
    /// the whole call.
    fn sort_out<'a>(
        &self,
        interface: Interface,
        targets: Vec<Target<'a>>,
    ) -> Result<(Vec<Target<'a>>, Vec<ListedError<'a>>), i32> {
        let mut todo = Vec::with_capacity(targets.len());
        let mut refused = Vec::new();
        for target in targets {
            let rejection = self.rejections.get(target.id).copied();
            match rejection.filter(|_| interface.clears_tags()) {
                Some(Rejection::WholeCall(code)) => return Err(code),
                Some(Rejection::InErrorList(code)) => {
                    refused.push(ListedError::new(target.id, code));
                }
                None if self.is_known(target.id) => todo.push(target),
                None => match self.options.unknown_accounts {
                    UnknownAccounts::Ignore => todo.push(target),
                    UnknownAccounts::ErrorList => {
                        refused.push(ListedError::new(target.id, codes::NO_SUCH_ACCOUNT));
                    }
                    UnknownAccounts::FailAll => return Err(codes::NO_SUCH_ACCOUNT),
                },
            }
        }
        Ok((todo, refused))
    }

    fn clear_tags(&mut self, targets: &[Target<'_>], now: Instant) {
        let at = now.duration_since(self.started);
        for target in targets {
            let first_time = self.users.clear(target.id, at);
            self.stats.users_cleared += 1;
            self.stats.distinct_users_cleared += u64::from(first_time);
        }
    }

    fn note_arrival(&mut self, call: &Call) {
        let stats = &mut self.stats;
        if let Some(interface) = call.interface {
            let meter = &mut self.meters[interface as usize];
            meter.arrive(call.arrived);
            if interface.clears_tags() {
                stats.largest_second = stats.largest_second.max(meter.largest_second());
            }
        }
        if call.clears_tags() {
            stats.calls += 1;
            stats.in_flight += 1;
            stats.most_in_flight = stats.most_in_flight.max(stats.in_flight);
        } else {
            stats.other_calls += 1;
        }
    }

    fn note_outcome(
        &mut self,
        call: &Call,
        code: Option<i32>,
        fault: Option<&Fault>,
        users_cleared: u64,
    ) {
        if let Some(code) = code.filter(|&code| code != 0) {
            *self.stats.refusals.entry(code).or_default() += 1;
        }
        if let Some(fault) = fault {
            *self.stats.faults.entry(fault.name()).or_default() += 1;
        }
        if call.clears_tags() {
            let at = call.arrived.duration_since(self.started);
            self.histogram.add_call(at, users_cleared);
        }
    }
}
