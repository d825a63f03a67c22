//! API calls: from the engine's action over the wire to the API, and the answer back to the engine.

use std::time::Duration;

use crate::engine::{Answer, Input, Trigger, WindowId};
use crate::event::UserId;

use super::{Happening, Violation, World};
use crate::broker::SessionId;
use crate::names::{CONTROL, number};
use crate::weather::Weather;

#[derive(Debug)]
pub(super) struct Call {
    start: Duration,
    users: Vec<u32>,
    user_sig: u32,
    weather: Option<Weather>,
    /// The session in which it was made.
    session: Option<SessionId>,
}

impl World<'_> {
    pub(super) fn call(
        &mut self,
        name: usize,
        window: WindowId,
        users: &[UserId],
        trigger: Trigger,
    ) -> Result<(), Violation> {
        let settings = &self.plan.settings;
        if self.now < self.workers[name].operator_pause_until {
            return Err("a call starts in an operator's pause".to_owned());
        }
        let users: Vec<u32> = users.iter().map(number).collect();
        let mut distinct = users.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() != users.len() || users.is_empty() || users.len() > settings.max_ids {
            return Err(format!(
                "a call for {} users, {} of them distinct",
                users.len(),
                distinct.len()
            ));
        }
        if (trigger == Trigger::Control) != (users == [CONTROL])
            || users.len() > 1 && users.contains(&CONTROL)
        {
            return Err(format!("a {} call for the wrong users", trigger.name()));
        }
        match trigger {
            Trigger::Control => self.workers[name].control_calls.call(self.now)?,
            _ => self.account.called(self.now, &users)?,
        }
        let weather = self.api.weather(self.now, &mut self.rng);
        let worker = &mut self.workers[name];
        if worker.calls.len() >= settings.max_in_flight {
            return Err(format!("{} calls at a time", worker.calls.len() + 1));
        }
        self.summary.calls += 1;
        let call = Call {
            start: self.now,
            users,
            user_sig: worker.user_sig,
            weather,
            session: worker.session,
        };
        worker.calls.insert(window, call);
        let life = worker.life;
        let overdue = |answer| Happening::CallAnswered {
            worker: name,
            life,
            window,
            answer,
        };
        match weather {
            Some(Weather::NoCredential) => {
                self.after(Duration::ZERO, overdue(Answer::NoCredential));
            }
            Some(Weather::Unreachable) => {
                let wait = self.way();
                self.after(wait, overdue(Answer::Fault));
            }
            _ => {
                let arrival = (self.now + self.way()).max(self.held_until);
                self.at(
                    arrival,
                    Happening::CallArrives {
                        worker: name,
                        life,
                        window,
                    },
                );
                self.after(self.plan.request_timeout, overdue(Answer::Fault));
            }
        }
        Ok(())
    }

    /// The API does its work whether the worker is still there or not.
    pub(super) fn call_arrives(
        &mut self,
        worker: usize,
        life: u32,
        window: WindowId,
    ) -> Result<(), Violation> {
        let known = &self.workers[worker];
        let call = known.calls.get(&window).filter(|_| known.life == life);
        // What is held up on its way while the queue goes to another worker nobody can know of there.
        let free = self.now > self.held_until + self.plan.jitter;
        let session = call.and_then(|call| call.session);
        if free || session.is_some_and(|session| self.broker.knows(session)) {
            self.api.count(self.now, worker)?;
        }
        let Some(call) = call else {
            return Ok(());
        };
        let outcome = self
            .api
            .answer(call.weather, call.user_sig, &call.users, &mut self.rng);
        if let Some(answer) = outcome.answer {
            let wait = outcome.took + self.way();
            self.after(
                wait,
                Happening::CallAnswered {
                    worker,
                    life,
                    window,
                    answer,
                },
            );
        }
        Ok(())
    }

    pub(super) fn call_answered(
        &mut self,
        name: usize,
        life: u32,
        window: WindowId,
        answer: Answer,
    ) -> Result<(), Violation> {
        let worker = &mut self.workers[name];
        // The second of an answer and a timeout finds nothing left.
        let Some(call) = (worker.life == life)
            .then(|| worker.calls.remove(&window))
            .flatten()
        else {
            return Ok(());
        };
        self.trace.line(self.now, || {
            format!("worker {name}: window {} is answered {answer:?}", window.0)
        });
        worker.told.answered(call.start, &call.users, &answer);
        self.told.answered(call.start, &call.users, &answer);
        self.account.answered(self.now, &call.users, self.plan);
        self.tell(name, Input::Answered { window, answer })
    }
}
