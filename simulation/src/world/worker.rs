//! The shell around a simulated engine, as thin as the worker's; the world holds its wires.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::engine::{
    Action, Delivery, Engine, Input, Letter, Notice, Settings, Settlement, WindowId,
};
use crate::event::{EventKey, UserId};

use super::calls::Call;
use super::{Frame, Happening, Violation, World};
use crate::account::ControlCalls;
use crate::broker::{Message, SessionId};
use crate::names::user;
use crate::plan::{Body, Returns};
use crate::promises::Told;

/// The engine is checked against itself after each of the first steps of a process, and while so little is in hand.
const FIRST_STEPS: usize = 100;
const LITTLE: usize = 8;
/// Actions at one moment: whoever has more is spinning.
const MOST_ACTIONS: usize = 50_000;

#[derive(Debug)]
pub(super) struct Worker {
    name: usize,
    /// None: no such process runs.
    pub engine: Option<Engine>,
    /// Counts its starts.
    pub life: u32,
    /// The session that it believes to be open.
    pub session: Option<SessionId>,
    pub sessions: u32,
    /// The consumer that the latest delivery came to.
    pub consuming: Option<u64>,
    pub held: BTreeMap<Delivery, Message>,
    pub calls: HashMap<WindowId, Call>,
    pub told: Told,
    pub control_calls: ControlCalls,
    /// How much it consumes at a time; zero: nothing.
    pub prefetch: usize,
    pub user_sig: u32,
    pub draining: bool,
    /// It is to be started again when it has ended.
    pub starts_again_after: Option<Duration>,
    pub frozen_until: Duration,
    /// The operator resumes then at the earliest.
    pub operator_pause_until: Duration,
    timer: Option<Duration>,
    /// Steps of this process, and how many there were when the engine was last checked against itself.
    steps: usize,
    checked: usize,
}

impl Worker {
    pub(super) fn new(name: usize, settings: &Settings) -> Worker {
        Worker {
            name,
            engine: None,
            life: 0,
            session: None,
            sessions: 0,
            consuming: None,
            held: BTreeMap::new(),
            calls: HashMap::new(),
            told: Told::default(),
            control_calls: ControlCalls::default(),
            prefetch: settings.prefetch,
            user_sig: 0,
            draining: false,
            starts_again_after: None,
            frozen_until: Duration::ZERO,
            operator_pause_until: Duration::ZERO,
            timer: None,
            steps: 0,
            checked: 0,
        }
    }

    pub(super) fn describe(&self, now: Instant) -> String {
        match &self.engine {
            Some(engine) => format!("worker {}: {:?}", self.name, engine.status(now)),
            None => format!("worker {} does not run", self.name),
        }
    }
}

impl World<'_> {
    pub(super) fn lives(&self, worker: usize, life: u32) -> bool {
        self.workers[worker].life == life && self.workers[worker].engine.is_some()
    }

    pub(super) fn start(&mut self, name: usize) {
        if self.workers[name].engine.is_some() {
            return;
        }
        let now = self.instant();
        self.trace
            .line(self.now, || format!("worker {name} starts"));
        self.workers[name] = Worker {
            engine: Some(Engine::new(self.plan.settings.clone(), now)),
            life: self.workers[name].life + 1,
            user_sig: self.api.user_sigs,
            frozen_until: self.workers[name].frozen_until,
            ..Worker::new(name, &self.plan.settings)
        };
        let life = self.workers[name].life;
        let wait = self.milliseconds();
        self.after(wait, Happening::Connect { worker: name, life });
    }

    /// Tells the engine, and does what it asks for then.
    pub(super) fn tell(&mut self, worker: usize, input: Input<'_>) -> Result<(), Violation> {
        self.tell_all(worker, [input])
    }

    pub(super) fn tell_all<'i>(
        &mut self,
        worker: usize,
        inputs: impl IntoIterator<Item = Input<'i>>,
    ) -> Result<(), Violation> {
        self.assert_nothing_was_due(worker)?;
        for input in inputs {
            self.input(worker, input);
        }
        self.perform(worker)
    }

    /// What is due without any input must have a deadline, or it would wait for the next input.
    fn assert_nothing_was_due(&mut self, name: usize) -> Result<(), Violation> {
        let now = self.instant();
        let worker = &mut self.workers[name];
        let early = worker.timer.is_none_or(|due| self.now < due);
        if let Some(engine) = worker.engine.as_mut().filter(|_| early)
            && let Some(action) = engine.poll(now)
        {
            return Err(format!("no deadline was set for {action:?}"));
        }
        Ok(())
    }

    pub(super) fn input(&mut self, worker: usize, input: Input<'_>) {
        let now = self.instant();
        if let Some(engine) = &mut self.workers[worker].engine {
            engine.handle(now, input);
        }
    }

    pub(super) fn timer(
        &mut self,
        worker: usize,
        life: u32,
        due: Duration,
    ) -> Result<(), Violation> {
        // A timer that was set anew does not fire at its old time.
        if !self.lives(worker, life) || self.workers[worker].timer != Some(due) {
            return Ok(());
        }
        self.workers[worker].timer = None;
        self.perform(worker)
    }

    /// Does what the engine asks for, and notes when it wants to be asked again.
    fn perform(&mut self, worker: usize) -> Result<(), Violation> {
        let now = self.instant();
        for turn in 0.. {
            let Some(engine) = &mut self.workers[worker].engine else {
                return Ok(());
            };
            let Some(action) = engine.poll(now) else {
                break;
            };
            if turn == MOST_ACTIONS {
                return Err(format!("worker {worker} never has enough at one moment"));
            }
            self.note(worker, &action);
            self.act(worker, action)?;
        }
        self.look_at(worker)?;
        self.set_timer(worker)?;
        self.end_if_drained(worker);
        Ok(())
    }

    fn act(&mut self, worker: usize, action: Action) -> Result<(), Violation> {
        match action {
            Action::Decode(delivery) => self.decode(worker, delivery)?,
            Action::Call {
                window,
                users,
                trigger,
            } => self.call(worker, window, &users, trigger)?,
            Action::RenewUserSig => self.workers[worker].user_sig = self.api.user_sigs,
            Action::Settle(settlement) => self.settle(worker, settlement)?,
            Action::DeadLetter(letter) => self.dead_letter(worker, letter)?,
            Action::Consume { prefetch } => self.consume(worker, prefetch),
            Action::Notice(Notice::Paused { .. }) => self.account.paused(self.now)?,
            Action::Notice(_) => {}
        }
        Ok(())
    }

    fn decode(&mut self, worker: usize, delivery: Delivery) -> Result<(), Violation> {
        let held = self.workers[worker].held.get(&delivery);
        let held = held.ok_or("a delivery is to be decoded that is not held")?;
        let publication = held.publication;
        let body = self.publications[publication].body;
        let users: Vec<UserId> = self.publications[publication]
            .users
            .iter()
            .map(|id| user(*id))
            .collect();
        let key = EventKey(self.event(publication) as u128);
        self.input(
            worker,
            match body {
                Body::Malformed => Input::Unreadable { delivery },
                Body::NotForUs => Input::NotForUs { delivery },
                Body::Event | Body::WithInvalidId | Body::WithoutKey => Input::Event {
                    delivery,
                    key: (body != Body::WithoutKey).then_some(key),
                    users: &users,
                    invalid: u32::from(body == Body::WithInvalidId),
                    absent: 0,
                },
            },
        );
        Ok(())
    }

    fn settle(&mut self, name: usize, settlement: Settlement) -> Result<(), Violation> {
        let (frame, delivery) = match settlement {
            Settlement::UpTo(delivery) => (Frame::UpTo(delivery.tag), delivery),
            Settlement::One(delivery) => (Frame::One(delivery.tag), delivery),
            Settlement::HandBack(delivery) => (Frame::HandBack(delivery.tag), delivery),
        };
        let worker = &mut self.workers[name];
        let session = worker
            .session
            .filter(|id| self.sessions[*id].number == delivery.session);
        let session = session.ok_or("a delivery of an old session is settled")?;
        let mut done = match settlement {
            Settlement::UpTo(_) => {
                let next = Delivery {
                    tag: delivery.tag + 1,
                    ..delivery
                };
                let rest = worker.held.split_off(&next);
                std::mem::replace(&mut worker.held, rest)
            }
            _ => worker.held.remove_entry(&delivery).into_iter().collect(),
        };
        if !done.contains_key(&delivery) {
            return Err(format!("{delivery:?} is settled, but not held"));
        }
        if let Frame::HandBack(_) = frame {
            // What one of them tries because it has not seen that, the next one gets.
            let has_control = self.workers.iter().all(|worker| worker.told.has_control());
            let workers = self.workers.len();
            for message in std::mem::take(&mut done).into_values() {
                let publication = message.publication;
                if self.plan.returns_left(message.returned) != Returns::Many {
                    return Err(format!(
                        "event {publication} is handed back for the {}. time, and the broker may drop it soon",
                        message.returned + 1
                    ));
                }
                self.account
                    .handed_back(self.now, publication, workers, has_control, self.plan)?;
            }
        }
        for Message { publication, .. } in done.into_values() {
            let event = self.event(publication);
            let since = self.publications[event].at;
            self.workers[name]
                .told
                .may_acknowledge(event, &self.publications[publication], since, self.plan)
                .map_err(|why| format!("event {publication} was {why}"))?;
        }
        self.send_to_broker(session, Happening::Settle { session, frame });
        Ok(())
    }

    fn dead_letter(&mut self, name: usize, letter: Letter) -> Result<(), Violation> {
        let worker = &mut self.workers[name];
        let held = worker.held.get(&letter.delivery);
        let held = held.ok_or("a letter is about a delivery that is not held")?;
        let publication = held.publication;
        let event = &self.publications[publication];
        let returns = self.plan.returns_left(held.returned);
        worker
            .told
            .may_dead_letter(&letter, event, returns, self.plan)?;
        let session = worker.session.ok_or("a letter is sent without a session")?;
        let id = letter.id;
        let letters = &mut self.sessions[session].letters;
        letters.insert(id, (publication, letter));
        self.send_to_broker(
            session,
            Happening::LetterArrives {
                session,
                letter: id,
            },
        );
        Ok(())
    }

    /// What must hold between any two happenings.
    fn look_at(&mut self, name: usize) -> Result<(), Violation> {
        let now = self.instant();
        let worker = &mut self.workers[name];
        let Some(engine) = &worker.engine else {
            return Ok(());
        };
        let status = engine.status(now);
        // A check takes time in proportion to what is in hand, and so does the time until the next one: what is
        // wrong once stays wrong.
        worker.steps += 1;
        let in_hand = status.pending_ids + worker.held.len();
        let is_due = worker.steps >= worker.checked + 2 * in_hand;
        if is_due || in_hand <= LITTLE || worker.steps <= FIRST_STEPS {
            worker.checked = worker.steps;
            engine.assert_consistent();
        }
        if status.unsettled_deliveries > worker.held.len() {
            return Err(format!(
                "{} deliveries are counted, {} held",
                status.unsettled_deliveries,
                worker.held.len()
            ));
        }
        let ended: u64 = status.tally.events.iter().sum();
        if status.unsettled_deliveries == 0 && ended != status.tally.events_received {
            return Err(format!(
                "not every delivery ended in exactly one way: {:?}",
                status.tally
            ));
        }
        if status.pending_ids > self.most_pending {
            return Err(format!(
                "more IDs wait than there is room for: {} for {} deliveries, {} are allowed",
                status.pending_ids, status.unsettled_deliveries, self.most_pending
            ));
        }
        if status.in_flight_calls != worker.calls.len() {
            return Err(format!(
                "{} calls are counted, {} out",
                status.in_flight_calls,
                worker.calls.len()
            ));
        }
        Ok(())
    }

    fn set_timer(&mut self, name: usize) -> Result<(), Violation> {
        let now = self.instant();
        let worker = &self.workers[name];
        let (Some(engine), life) = (&worker.engine, worker.life) else {
            return Ok(());
        };
        let Some(deadline) = engine.deadline(now) else {
            return Ok(());
        };
        if deadline <= now {
            return Err("a deadline in the past would spin".to_owned());
        }
        let due = deadline - self.epoch;
        if worker.timer.is_none_or(|timer| due < timer) {
            self.workers[name].timer = Some(due);
            let late = self.up_to(self.plan.lateness);
            self.at(
                due + late,
                Happening::Timer {
                    worker: name,
                    life,
                    due,
                },
            );
        }
        Ok(())
    }
}
