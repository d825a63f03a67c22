//! One run of a plan: all its parts, the wires between them, and a clock that jumps from one event
//! to the next.

mod calls;
mod dropped;
mod note;
mod operator;
mod wires;
mod worker;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::engine::{Answer, LetterId, WindowId};
use fastrand::Rng;

use crate::account::Account;
use crate::api::Api;
use crate::broker::{Broker, Sent, SessionId};
use crate::names::AFTERWARDS;
use crate::plan::{Body, LetterFate, Plan, Publication, ms, secs};
use crate::promises::Told;
use crate::summary::Summary;
use crate::trace::Trace;
use wires::Session;
use worker::Worker;

/// More than any plan needs: whoever does so much is spinning.
const MOST_STEPS: u64 = 4_000_000;

/// A broken promise, in words.
pub type Violation = String;

#[derive(Clone, Debug)]
pub enum Happening {
    Publish(usize),
    Disturb(usize),
    /// A worker process starts.
    Start {
        worker: usize,
    },
    Connect {
        worker: usize,
        life: u32,
    },
    /// The engine wanted to be polled by now.
    Timer {
        worker: usize,
        life: u32,
        due: Duration,
    },
    Deliver(Sent),
    Settle {
        session: SessionId,
        frame: Frame,
    },
    Consume {
        session: SessionId,
        prefetch: usize,
    },
    LetterArrives {
        session: SessionId,
        letter: LetterId,
    },
    LetterAnswered {
        session: SessionId,
        letter: LetterId,
        taken: bool,
    },
    /// No confirm came in time: the worker gives up the session.
    LetterOverdue {
        session: SessionId,
        letter: LetterId,
    },
    BrokerNotices {
        session: SessionId,
    },
    WorkerNotices {
        session: SessionId,
    },
    /// The worker asks the broker whether it is still there.
    Ping {
        session: SessionId,
    },
    Pong {
        session: SessionId,
        since: Duration,
        /// Nobody consumed the queue at that moment.
        unconsumed: bool,
    },
    /// The worker has drained, said goodbye and ended.
    Goodbye {
        session: SessionId,
    },
    OperatorResumes {
        worker: usize,
        life: u32,
    },
    GraceIsOver {
        worker: usize,
        life: u32,
    },
    CallArrives {
        worker: usize,
        life: u32,
        window: WindowId,
    },
    CallAnswered {
        worker: usize,
        life: u32,
        window: WindowId,
        answer: Answer,
    },
    /// Good events keep coming until everything is settled.
    Trickle,
    /// The broker looks for deliveries that are held for too long.
    LookForOverdue,
}

#[derive(Clone, Copy, Debug)]
pub enum Frame {
    UpTo(u64),
    One(u64),
    HandBack(u64),
}

pub struct World<'p> {
    plan: &'p Plan,
    rng: Rng,
    epoch: Instant,
    now: Duration,
    agenda: BinaryHeap<Reverse<Entry>>,
    next_entry: u64,
    broker: Broker,
    broker_down_until: Duration,
    api: Api,
    held_until: Duration,
    letters: Vec<(Duration, LetterFate)>,
    /// From then on each letter was taken and confirmed at once.
    letters_work_from: Duration,
    /// What all workers were told together, and what letters the broker has.
    told: Told,
    workers: Vec<Worker>,
    sessions: Vec<Session>,
    /// The plan's, and those of the trickle.
    publications: Vec<Publication>,
    acknowledged: Vec<bool>,
    unacknowledged: usize,
    /// Of those that the plan has.
    planned: usize,
    account: Account,
    most_pending: usize,
    /// When the plan is over and only the trickle goes on.
    calm: bool,
    summary: Summary,
    trace: &'p mut Trace,
}

struct Entry {
    at: Duration,
    number: u64,
    happening: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Runs the plan to its end: until everything is settled.
pub fn run(plan: &Plan, trace: &mut Trace) -> Result<Summary, Violation> {
    let mut world = World::new(plan, trace);
    let end = world.play();
    if let Err(violation) = &end {
        let line = format!("VIOLATION: {violation}");
        world.trace.line(world.now, || line);
    }
    world.summary.simulated = world.now;
    end.map(|()| world.summary)
}

impl<'p> World<'p> {
    fn new(plan: &'p Plan, trace: &'p mut Trace) -> World<'p> {
        let settings = &plan.settings;
        let mut world = World {
            rng: Rng::with_seed(plan.seed ^ 0x5eed),
            // Far enough from the beginning of the machine's clock to look back.
            epoch: Instant::now() + secs(1_000_000),
            now: Duration::ZERO,
            agenda: BinaryHeap::new(),
            next_entry: 0,
            broker: Broker::new(plan.requeue, plan.delivery_limit),
            broker_down_until: Duration::ZERO,
            api: Api::new(plan),
            held_until: Duration::ZERO,
            letters: Vec::new(),
            letters_work_from: Duration::ZERO,
            told: Told::default(),
            workers: Vec::new(),
            sessions: Vec::new(),
            publications: plan.publications.clone(),
            acknowledged: vec![false; plan.publications.len()],
            unacknowledged: plan.publications.len(),
            planned: plan.publications.len(),
            account: Account::new(plan),
            most_pending: plan.most_pending(),
            calm: false,
            summary: Summary::default(),
            plan,
            trace,
        };
        for (number, publication) in plan.publications.iter().enumerate() {
            world.at(publication.at, Happening::Publish(number));
        }
        for (number, disturbance) in plan.disturbances.iter().enumerate() {
            world.at(disturbance.at, Happening::Disturb(number));
        }
        let starts = [Some(Duration::ZERO), plan.standby_at];
        for (worker, start) in starts.into_iter().flatten().enumerate() {
            world.workers.push(Worker::new(worker, settings));
            world.at(start, Happening::Start { worker });
        }
        world.at(secs(30), Happening::LookForOverdue);
        world.at(plan.calm_from(), Happening::Trickle);
        world
    }

    fn play(&mut self) -> Result<(), Violation> {
        let end = self.plan.calm_from() + self.plan.patience();
        while let Some(Reverse(entry)) = self.agenda.pop() {
            self.now = entry.at;
            if self.now > end {
                return Err(self.stuck());
            }
            self.summary.steps += 1;
            if self.summary.steps > MOST_STEPS {
                return Err("too many steps: something spins".to_owned());
            }
            self.happen(entry.happening)?;
            if self.calm && self.unacknowledged == 0 && self.broker.is_empty() {
                return self.account.close(self.now, self.plan);
            }
        }
        Err("nothing happens any more".to_owned())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        if let Some(worker) = self.sleeper(&happening) {
            // A process that stands still finds it all when it wakes up.
            let until = self.workers[worker].frozen_until;
            self.at(until, happening);
            return Ok(());
        }
        match happening {
            Happening::Publish(number) => self.publish(number),
            Happening::Disturb(number) => self.disturb(number)?,
            Happening::Start { worker } => self.start(worker),
            Happening::Connect { worker, life } => self.connect(worker, life)?,
            Happening::Timer { worker, life, due } => self.timer(worker, life, due)?,
            Happening::Deliver(sent) => self.delivered(sent)?,
            Happening::Settle { session, frame } => self.settled(session, frame)?,
            Happening::Consume { session, prefetch } => self.broker.consume(session, prefetch),
            Happening::LetterArrives { session, letter } => self.letter_arrives(session, letter),
            Happening::LetterAnswered {
                session,
                letter,
                taken,
            } => {
                self.letter_answered(session, letter, taken)?;
            }
            Happening::LetterOverdue { session, letter } => {
                if self.awaits_letter(session, letter) {
                    self.worker_notices(session)?;
                }
            }
            Happening::BrokerNotices { session } => self.broker_notices(session),
            Happening::WorkerNotices { session } => self.worker_notices(session)?,
            Happening::Ping { session } => self.ping(session),
            Happening::Pong {
                session,
                since,
                unconsumed,
            } => self.pong(session, since, unconsumed)?,
            Happening::Goodbye { session } => self.broker_notices(session),
            Happening::OperatorResumes { worker, life } => self.operator_resumes(worker, life)?,
            Happening::GraceIsOver { worker, life } => self.grace_is_over(worker, life),
            Happening::CallArrives {
                worker,
                life,
                window,
            } => self.call_arrives(worker, life, window)?,
            Happening::CallAnswered {
                worker,
                life,
                window,
                answer,
            } => {
                self.call_answered(worker, life, window, answer)?;
            }
            Happening::Trickle => self.trickle(),
            Happening::LookForOverdue => {
                self.look_for_overdue()?;
                self.look_for_waiting()?;
            }
        }
        self.look_for_dropped()?;
        self.deliver();
        Ok(())
    }

    fn publish(&mut self, number: usize) {
        if self.is_broker_down() {
            // A publisher repeats what was not confirmed.
            return self.at(self.broker_down_until, Happening::Publish(number));
        }
        self.summary.events += 1;
        self.publications[number].at = self.now;
        self.account.published(&self.publications[number]);
        let users = self.publications[number].users.len();
        self.trace.line(self.now, || {
            format!("event {number} is published, with {users} users")
        });
        self.broker.publish(number);
    }

    /// When everything planned is over, good events go on coming until all of that is settled.
    fn trickle(&mut self) {
        self.calm = true;
        let Some(often) = self.plan.trickle.filter(|_| self.planned > 0) else {
            return;
        };
        let number = self.publications.len();
        let user = AFTERWARDS.start + number as u32 % (AFTERWARDS.end - AFTERWARDS.start);
        self.publications.push(Publication {
            at: self.now,
            users: vec![user],
            body: Body::Event,
            repeats: None,
        });
        self.acknowledged.push(false);
        self.unacknowledged += 1;
        self.publish(number);
        self.after(often, Happening::Trickle);
    }

    /// The event that this one is: itself, or the one that it repeats.
    fn event(&self, publication: usize) -> usize {
        self.publications[publication]
            .repeats
            .unwrap_or(publication)
    }

    /// Nothing of it comes again. False when that was known.
    fn is_over(&mut self, publication: usize) -> bool {
        let known = std::mem::replace(&mut self.acknowledged[publication], true);
        if !known {
            self.unacknowledged -= 1;
            self.planned -= usize::from(publication < self.plan.publications.len());
        }
        !known
    }

    fn is_broker_down(&self) -> bool {
        self.now < self.broker_down_until
    }

    fn stuck(&self) -> Violation {
        let missing: Vec<usize> = (0..self.acknowledged.len())
            .filter(|number| !self.acknowledged[*number])
            .collect();
        let shown = &missing[..missing.len().min(5)];
        let workers: Vec<String> = self
            .workers
            .iter()
            .map(|worker| worker.describe(self.instant()))
            .collect();
        format!(
            "{} events are not settled long after all faults ended, {shown:?} among them; {}",
            missing.len(),
            workers.join("; ")
        )
    }

    fn instant(&self) -> Instant {
        self.epoch + self.now
    }

    fn at(&mut self, at: Duration, happening: Happening) {
        self.next_entry += 1;
        self.agenda.push(Reverse(Entry {
            at: at.max(self.now),
            number: self.next_entry,
            happening,
        }));
    }

    fn after(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    /// A random time up to `most`.
    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.rng.u64(..=most.as_micros() as u64))
    }

    fn way(&mut self) -> Duration {
        self.up_to(self.plan.jitter)
    }

    fn milliseconds(&mut self) -> Duration {
        self.up_to(ms(20))
    }
}
