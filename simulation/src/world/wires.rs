//! The wire between a worker and the broker: sessions, ordered frames, letters, and how each can be
//! lost.

use std::collections::HashMap;
use std::time::Duration;

use crate::engine::{Delivery, Input, Letter, LetterId};

use super::{Frame, Happening, Violation, World};
use crate::broker::{Overdue, Sent, SessionId};
use crate::plan::{CONFIRM_LIMIT, LetterFate, Returns, ms, secs};

/// How often a worker asks the broker whether it is there.
const PING: Duration = secs(1);

#[derive(Debug)]
pub(super) struct Session {
    pub worker: usize,
    pub life: u32,
    /// Its number within that life of the worker.
    pub number: u32,
    /// The worker has not noticed its end.
    pub open: bool,
    /// Nothing passes any more, and nobody has noticed.
    pub silent: bool,
    /// How often the worker has asked for a consumer, or for none.
    asked: u32,
    /// Frames arrive in the order in which they were sent.
    last_out: Duration,
    last_in: Duration,
    /// On their way to the broker and back, with the publication that each is about.
    pub letters: HashMap<LetterId, (usize, Letter)>,
}

impl World<'_> {
    pub(super) fn connect(&mut self, worker: usize, life: u32) -> Result<(), Violation> {
        if !self.lives(worker, life) || self.workers[worker].session.is_some() {
            return Ok(());
        }
        if self.is_broker_down() {
            self.after(secs(1), Happening::Connect { worker, life });
            return Ok(());
        }
        let session = self.sessions.len();
        self.workers[worker].sessions += 1;
        self.sessions.push(Session {
            worker,
            life,
            number: self.workers[worker].sessions,
            open: true,
            silent: false,
            asked: 0,
            last_out: self.now,
            last_in: self.now,
            letters: HashMap::new(),
        });
        self.summary.sessions += 1;
        self.trace.line(self.now, || {
            format!("worker {worker} opens session {session}")
        });
        self.workers[worker].session = Some(session);
        self.broker.open(session);
        self.consume(worker, self.workers[worker].prefetch);
        self.tell(worker, Input::Sharing { workers: 1 })?;
        self.ping(session);
        Ok(())
    }

    /// The worker consumes with this prefetch from now on, or not at all.
    pub(super) fn consume(&mut self, worker: usize, prefetch: usize) {
        self.workers[worker].prefetch = prefetch;
        if let Some(session) = self.workers[worker].session {
            self.sessions[session].asked += 1;
            self.send_to_broker(session, Happening::Consume { session, prefetch });
        }
    }

    /// Sends out what the broker has for its consumers.
    pub(super) fn deliver(&mut self) {
        if self.is_broker_down() {
            return;
        }
        while let Some(sent) = self.broker.deliver(self.now) {
            self.send_to_worker(sent.session, Happening::Deliver(sent));
        }
    }

    pub(super) fn delivered(&mut self, sent: Sent) -> Result<(), Violation> {
        let session = &self.sessions[sent.session];
        let worker = session.worker;
        if !session.open {
            return Ok(());
        }
        let delivery = Delivery {
            session: session.number,
            tag: sent.tag,
        };
        // What a cancelled consumer still had on its way says nothing of whose the queue is by now.
        let is_newest = sent.asked == session.asked;
        let took_over = is_newest && self.workers[worker].consuming != Some(sent.consumer);
        if took_over {
            // Before this consumer became the active one, the queue may have been another's.
            self.workers[worker].consuming = Some(sent.consumer);
        }
        let took_over = took_over.then_some(Input::TookOver);
        self.workers[worker].held.insert(delivery, sent.message);
        let redelivered = sent.message.redelivered;
        let delivered = Input::Delivered {
            delivery,
            redelivered,
        };
        let at_once = match self.plan.returns_left(sent.message.returned) {
            Returns::Many => None,
            Returns::Few => Some(false),
            Returns::None => Some(true),
        };
        let too_often = at_once.map(|at_once| Input::ReturnedTooOften { delivery, at_once });
        let inputs = [took_over, Some(delivered), too_often];
        self.tell_all(worker, inputs.into_iter().flatten())
    }

    pub(super) fn settled(&mut self, session: SessionId, frame: Frame) -> Result<(), Violation> {
        let settled = match frame {
            Frame::UpTo(tag) => self.broker.acknowledge_up_to(session, tag),
            Frame::One(tag) => self.broker.acknowledge(session, tag),
            Frame::HandBack(tag) => self.broker.hand_back(session, tag, &mut self.rng),
        };
        for publication in settled? {
            if self.is_over(publication) {
                let event = &self.publications[publication];
                self.account
                    .settled(self.now, publication, event, self.plan)?;
            }
        }
        Ok(())
    }

    pub(super) fn letter_arrives(&mut self, session: SessionId, letter: LetterId) {
        if !self.broker.knows(session) {
            return;
        }
        let now = self.now;
        self.letters.retain(|(until, _)| now < *until);
        let fate = self.letters.last().map(|(_, fate)| *fate);
        let taken = !matches!(fate, Some(LetterFate::Refused | LetterFate::Returned));
        if let Some((publication, sent)) = self.sessions[session].letters.get(&letter)
            && taken
        {
            self.told.confirmed(self.event(*publication), sent);
        }
        let wait = match fate {
            Some(LetterFate::Unconfirmed) => {
                let overdue = Happening::LetterOverdue { session, letter };
                return self.after(CONFIRM_LIMIT, overdue);
            }
            Some(LetterFate::Late) => self.up_to(secs(20)),
            _ => self.way(),
        };
        self.after(
            wait,
            Happening::LetterAnswered {
                session,
                letter,
                taken,
            },
        );
    }

    pub(super) fn awaits_letter(&self, id: SessionId, letter: LetterId) -> bool {
        let session = &self.sessions[id];
        session.open && session.letters.contains_key(&letter)
    }

    pub(super) fn letter_answered(
        &mut self,
        id: SessionId,
        letter: LetterId,
        taken: bool,
    ) -> Result<(), Violation> {
        let session = &mut self.sessions[id];
        let worker = session.worker;
        if !session.open || session.silent {
            return Ok(());
        }
        let Some((publication, sent)) = session.letters.remove(&letter) else {
            return Ok(());
        };
        if !taken {
            return self.tell(worker, Input::LetterRefused(letter));
        }
        self.summary.letters += 1;
        let event = self.event(publication);
        self.workers[worker].told.confirmed(event, &sent);
        self.tell(worker, Input::LetterConfirmed(letter))
    }

    /// The session ends at the broker: what it held is for the next consumer.
    pub(super) fn broker_notices(&mut self, session: SessionId) {
        self.trace
            .line(self.now, || format!("the broker closes session {session}"));
        self.broker.close(session, &mut self.rng);
    }

    /// The session ends at the worker, which soon tries for another.
    pub(super) fn worker_notices(&mut self, id: SessionId) -> Result<(), Violation> {
        let session = &mut self.sessions[id];
        if !std::mem::replace(&mut session.open, false) {
            return Ok(());
        }
        let (worker, life, number) = (session.worker, session.life, session.number);
        self.trace
            .line(self.now, || format!("worker {worker} loses session {id}"));
        if self.broker.knows(id) {
            // It closes its socket.
            let wait = self.milliseconds();
            self.after(wait, Happening::BrokerNotices { session: id });
        }
        self.workers[worker].session = None;
        self.workers[worker].held.clear();
        let wait = ms(250) + self.up_to(secs(2));
        self.after(wait, Happening::Connect { worker, life });
        self.tell(worker, Input::SessionLost { session: number })
    }

    /// Both ends see at once that the connection is gone.
    pub(super) fn reset(&mut self, session: SessionId) {
        let (theirs, ours) = (self.milliseconds(), self.milliseconds());
        self.after(theirs, Happening::BrokerNotices { session });
        self.after(ours, Happening::WorkerNotices { session });
    }

    /// Nothing passes any more. Each end waits for heartbeats of ten seconds, and gives up at its own time.
    pub(super) fn silence(&mut self, session: SessionId) {
        self.sessions[session].silent = true;
        let theirs = secs(10) + self.up_to(secs(10));
        let ours = secs(10) + self.up_to(secs(10));
        self.after(theirs, Happening::BrokerNotices { session });
        self.after(ours, Happening::WorkerNotices { session });
    }

    pub(super) fn ping(&mut self, id: SessionId) {
        let session = &self.sessions[id];
        if session.open {
            let pong = Happening::Pong {
                session: id,
                since: self.now,
                unconsumed: !self.broker.is_consumed(),
            };
            if !session.silent && self.broker.knows(id) {
                self.send_to_worker(id, pong);
            }
            self.after(PING, Happening::Ping { session: id });
        }
    }

    pub(super) fn pong(
        &mut self,
        id: SessionId,
        since: Duration,
        unconsumed: bool,
    ) -> Result<(), Violation> {
        let session = &self.sessions[id];
        if !session.open {
            return Ok(());
        }
        let worker = session.worker;
        let since = self.epoch + since;
        self.tell(worker, Input::InTouch { since })?;
        match unconsumed {
            true => self.tell(worker, Input::Unconsumed { since }),
            false => Ok(()),
        }
    }

    /// In its order to the broker, if anything arrives there.
    pub(super) fn send_to_broker(&mut self, id: SessionId, happening: Happening) {
        let at = (self.now + self.way()).max(self.sessions[id].last_out);
        if !self.sessions[id].silent {
            self.sessions[id].last_out = at;
            self.at(at, happening);
        }
    }

    fn send_to_worker(&mut self, id: SessionId, happening: Happening) {
        let at = (self.now + self.way()).max(self.sessions[id].last_in);
        if !self.sessions[id].silent {
            self.sessions[id].last_in = at;
            self.at(at, happening);
        }
    }

    /// Hold limits must keep every delivery clear of the broker's consumer timeout. Only a process that
    /// stood still, or one that is cut off, may run into it; and what the broker soon drops, while no letter about
    /// it can be written, is better held than returned.
    pub(super) fn look_for_overdue(&mut self) -> Result<(), Violation> {
        self.after(secs(30), Happening::LookForOverdue);
        let moment = self.now.saturating_sub(self.plan.consumer_timeout);
        let Some(Overdue { session, returned }) = self.broker.overdue(moment) else {
            return Ok(());
        };
        let held = &self.sessions[session];
        let is_stuck =
            self.plan.returns_left(returned) != Returns::Many && moment < self.letters_work_from;
        let works = !held.silent && self.workers[held.worker].frozen_until < self.now;
        if held.open && works && !is_stuck {
            return Err(format!(
                "a delivery of session {session} is held for too long"
            ));
        }
        self.reset(session);
        Ok(())
    }

    /// No event is kept for ever.
    pub(super) fn look_for_waiting(&self) -> Result<(), Violation> {
        for (number, event) in self.publications.iter().enumerate() {
            if !self.acknowledged[number] {
                self.account.waits(self.now, number, event)?;
            }
        }
        Ok(())
    }
}
