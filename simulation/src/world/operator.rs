//! Applies the disturbances of the plan: operators' actions and faults.

use std::time::Duration;

use crate::engine::Input;

use super::{Happening, Violation, World};
use crate::broker::Sent;
use crate::plan::{Disturbance, Kind, secs};

impl World<'_> {
    pub(super) fn disturb(&mut self, number: usize) -> Result<(), Violation> {
        let Disturbance { lasts, kind, .. } = self.plan.disturbances[number];
        let until = self.now + lasts;
        self.trace
            .line(self.now, || format!("disturbance: {kind:?} for {lasts:?}"));
        match kind {
            Kind::Api(weather, reach) => self.api.set_weather(until, weather, reach),
            Kind::Held => self.held_until = self.held_until.max(until),
            Kind::Letters(fate) => {
                self.letters.push((until, fate));
                // One that was refused is sent again within half a minute.
                self.letters_work_from = self.letters_work_from.max(until + secs(40));
            }
            Kind::UserSigExpires => self.api.user_sigs += 1,
            Kind::BrokerDown => {
                self.broker_down_until = self.broker_down_until.max(until);
                for session in self.broker.sessions() {
                    self.broker_notices(session);
                    let wait = self.milliseconds();
                    self.after(wait, Happening::WorkerNotices { session });
                }
            }
            Kind::Reset { worker } => {
                if let Some(session) = self.workers[self.one_of(worker)].session {
                    self.reset(session);
                }
            }
            Kind::Silent { worker } => {
                if let Some(session) = self.workers[self.one_of(worker)].session {
                    self.silence(session);
                }
            }
            Kind::Kill { worker } => {
                let worker = self.one_of(worker);
                self.end(worker);
                self.at(until, Happening::Start { worker });
            }
            Kind::Restart { worker } => self.drain(self.one_of(worker), lasts)?,
            Kind::OperatorPause { worker } => self.operator_pauses(self.one_of(worker), until)?,
            Kind::Frozen { worker } => self.freeze(self.one_of(worker), until),
        }
        Ok(())
    }

    fn one_of(&self, worker: usize) -> usize {
        worker % self.workers.len()
    }

    fn drain(&mut self, name: usize, pause: Duration) -> Result<(), Violation> {
        let worker = &mut self.workers[name];
        if worker.engine.is_none() || worker.draining {
            return Ok(());
        }
        worker.draining = true;
        worker.starts_again_after = Some(pause);
        let life = worker.life;
        self.after(
            self.plan.grace_period,
            Happening::GraceIsOver { worker: name, life },
        );
        self.tell(name, Input::Drain)
    }

    /// A restarted process knows nothing of it.
    fn operator_pauses(&mut self, name: usize, until: Duration) -> Result<(), Violation> {
        let worker = &mut self.workers[name];
        if worker.engine.is_none() {
            return Ok(());
        }
        worker.operator_pause_until = worker.operator_pause_until.max(until);
        let life = worker.life;
        self.at(until, Happening::OperatorResumes { worker: name, life });
        self.tell(name, Input::OperatorPause)
    }

    pub(super) fn operator_resumes(&mut self, name: usize, life: u32) -> Result<(), Violation> {
        let worker = &self.workers[name];
        if !self.lives(name, life) || self.now < worker.operator_pause_until {
            return Ok(());
        }
        self.tell(name, Input::OperatorResume)
    }

    pub(super) fn end_if_drained(&mut self, name: usize) {
        let worker = &self.workers[name];
        if !worker
            .engine
            .as_ref()
            .is_some_and(crate::engine::Engine::is_drained)
        {
            return;
        }
        self.trace
            .line(self.now, || format!("worker {name} has drained"));
        if let Some(session) = worker.session {
            // Behind the last settlement, on the same wire.
            self.send_to_broker(session, Happening::Goodbye { session });
        }
        self.end_and_start_again(name);
    }

    pub(super) fn grace_is_over(&mut self, name: usize, life: u32) {
        if self.lives(name, life) {
            self.end_and_start_again(name);
        }
    }

    fn end_and_start_again(&mut self, name: usize) {
        let pause = self.workers[name].starts_again_after.take();
        self.end(name);
        if let Some(pause) = pause {
            self.after(pause, Happening::Start { worker: name });
        }
    }

    /// The process is gone. The broker sees that its sockets are closed.
    fn end(&mut self, name: usize) {
        self.trace.line(self.now, || format!("worker {name} ends"));
        let worker = &mut self.workers[name];
        worker.engine = None;
        if let Some(session) = worker.session.take() {
            self.sessions[session].open = false;
            // What was written is still under way.
            let wait = self.plan.jitter + self.milliseconds();
            self.after(wait, Happening::BrokerNotices { session });
        }
    }

    /// The process stands still. After twenty seconds at most its heartbeats are missed.
    fn freeze(&mut self, name: usize, until: Duration) {
        let worker = &mut self.workers[name];
        // What waits for the end of one freeze comes in its order.
        if self.now < worker.frozen_until {
            return;
        }
        worker.frozen_until = until;
        let Some(session) = worker.session else {
            return;
        };
        let given_up = self.now + secs(10) + self.up_to(secs(10));
        if given_up < until {
            self.at(given_up, Happening::BrokerNotices { session });
            let found = until + self.milliseconds();
            self.at(found, Happening::WorkerNotices { session });
        }
    }

    /// Whoever stands still and is the one to whom this would happen.
    pub(super) fn sleeper(&self, happening: &Happening) -> Option<usize> {
        let of = |session: &usize| self.sessions[*session].worker;
        let worker = match happening {
            Happening::Connect { worker, .. }
            | Happening::Timer { worker, .. }
            | Happening::CallAnswered { worker, .. }
            | Happening::OperatorResumes { worker, .. }
            | Happening::GraceIsOver { worker, .. } => *worker,
            Happening::Deliver(Sent { session, .. })
            | Happening::LetterAnswered { session, .. }
            | Happening::LetterOverdue { session, .. }
            | Happening::WorkerNotices { session }
            | Happening::Ping { session }
            | Happening::Pong { session, .. } => of(session),
            _ => return None,
        };
        (self.now < self.workers[worker].frozen_until).then_some(worker)
    }
}
