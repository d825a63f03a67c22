//! The worker: RabbitMQ on one side, the API on the other, the engine between them.
//!
//! One loop over a closed set of events. It decides nothing: what happens is told to the engine, and
//! what the engine asks for is done. It translates between the words of the edges, and it is where
//! things are logged, once each.

mod condition;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod held;
mod inquiry;
mod letter;
mod meters;
mod origins;
mod report;
mod traced;
mod wiring;

use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::config::Settings;
use crate::engine::{
    Action, Answer, Delivery, Engine, Input, LetterId, Notice, Settlement, Trigger, WindowId,
};
use crate::event::{Decoded, Rules, UserId};
use crate::im::{self, Client, Reply};
use crate::rabbitmq::{self, Broker, DeliveryTag, QueueCount};
use crate::shutdown::Shutdown;
use crate::traces::{OpenWindow, Traces};
use condition::Progress;
pub use condition::{Stall, State};
use held::Held;
pub use inquiry::{Inquirer, Inquiries, NoAnswer, View, inquiries};
use meters::Meters;
use traced::{Traced, outcome};
pub use wiring::{SetupError, broker_options, client_options};

/// Deliveries taken in one turn of the loop, before calls and answers get theirs.
const TURN: usize = 128;
/// How often a line tells what was done.
const SUMMARY: Duration = Duration::from_secs(60);
/// How long the goodbye to the broker may take after the order to stop.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why the worker ended other than in good order.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the worker could not be set up: {0}")]
    Setup(#[from] SetupError),
    #[error("stopped before everything in hand was settled; the broker delivers the rest again")]
    Stopped,
    #[error(
        "the last acknowledgements may not have arrived, the broker delivers those events again: {0}"
    )]
    Close(rabbitmq::Loss),
}

/// Works until `shutdown` asks for an end, and returns when all in hand is settled. Answers `inquiries`
/// on the way, and tells `traces` what it does.
///
/// # Errors
/// When it could not start, or had to stop before everything was settled. Nothing is lost then: what
/// was not acknowledged is delivered again.
pub async fn run(
    settings: &Settings,
    traces: Option<&Traces>,
    inquiries: Inquiries,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let mut worker = Worker::new(settings, traces)?;
    report::started(settings);
    let end = tokio::select! {
        () = worker.work(inquiries, &shutdown) => Ok(()),
        () = shutdown.stop.cancelled() => Err(Error::Stopped),
    };
    let status = worker.engine.status(Instant::now());
    let closed = tokio::select! {
        closed = worker.broker.close() => closed.map_err(Error::Close),
        () = over(&shutdown) => Err(Error::Stopped),
    };
    report::ended(&status);
    end.and(closed)
}

/// Some time after the order to stop: a broker that is mute must not hold up the end.
async fn over(shutdown: &Shutdown) {
    shutdown.stop.cancelled().await;
    tokio::time::sleep(GOODBYE).await;
}

struct Worker {
    engine: Engine,
    broker: Broker,
    /// The session of the latest delivery.
    consuming: Option<u32>,
    client: Client,
    calls: JoinSet<Call>,
    held: Held,
    rules: Rules,
    report: report::Report,
    meters: Meters,
    traced: Traced,
    progress: Progress,
    /// By how many workers the quota is shared, and the whole of it.
    share: u32,
    quota: u32,
    queue: Option<QueueCount>,
}

/// One that is over.
struct Call {
    window: WindowId,
    reply: Reply,
    ids: usize,
    trigger: Trigger,
    took: Duration,
    span: Option<OpenWindow>,
}

impl Worker {
    fn new(settings: &Settings, traces: Option<&Traces>) -> Result<Worker, SetupError> {
        let broker_options = broker_options(settings)?;
        let now = Instant::now();
        Ok(Worker {
            engine: Engine::new(
                wiring::engine_settings(settings, broker_options.lease()),
                now,
            ),
            broker: Broker::new(broker_options),
            consuming: None,
            client: Client::new(client_options(&settings.im)?).map_err(SetupError::Client)?,
            calls: JoinSet::new(),
            held: Held::default(),
            rules: wiring::rules(&settings.events),
            report: report::Report::default(),
            meters: Meters::new(),
            traced: Traced::new(traces, settings)?,
            progress: Progress::new(settings.admin.stall_limit, now),
            share: 1,
            quota: settings.im.calls_per_second,
            queue: None,
        })
    }

    /// The one loop. Returns when a drain has come to its end.
    async fn work(&mut self, mut inquiries: Inquiries, shutdown: &Shutdown) {
        let mut draining = false;
        let mut summary = tokio::time::interval(SUMMARY);
        summary.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.perform() {
                // On one thread a call only starts when the loop lets go, and it should start now.
                tokio::task::yield_now().await;
            }
            if self.engine.is_drained() {
                return;
            }
            let deadline = self.engine.deadline(Instant::now());
            tokio::select! {
                event = self.broker.next() => self.broker_event(event),
                Some(call) = self.calls.join_next() => self.answered(call),
                () = until(deadline) => {}
                question = inquiries.next() => self.reply_to(question),
                () = shutdown.reread.notified() => {
                    report::rereading();
                    self.client.reread_secret();
                }
                () = shutdown.drain.cancelled(), if !draining => {
                    draining = true;
                    self.broker.stop_consuming();
                    self.engine.handle(Instant::now(), Input::Drain);
                }
                _ = summary.tick() => self.report.summary(&self.engine.status(Instant::now())),
            }
        }
    }

    /// Does what the engine asks for, until it asks for nothing more. Tells whether calls were made.
    fn perform(&mut self) -> bool {
        let mut called = false;
        loop {
            // The time of a call's start must be its own: the quota is kept by it.
            let now = Instant::now();
            let Some(action) = self.engine.poll(now) else {
                return called;
            };
            match action {
                Action::Decode(delivery) => self.decode(now, delivery),
                Action::Call {
                    window,
                    users,
                    trigger,
                } => {
                    self.call(window, users, trigger);
                    called = true;
                }
                Action::RenewUserSig => self.client.renew_user_sig(),
                Action::Settle(settlement) => self.settle(now, settlement),
                Action::DeadLetter(due) => self.dead_letter(now, due),
                Action::Notice(notice) => self.notice(now, notice),
            }
        }
    }

    fn broker_event(&mut self, event: rabbitmq::Event) {
        let now = Instant::now();
        report::broker_event(&event);
        match event {
            rabbitmq::Event::Opened { share, .. } => {
                self.progress.opened();
                self.meters.session_opened();
                self.shared(now, share);
            }
            rabbitmq::Event::Counted(queue) => self.counted(now, queue),
            rabbitmq::Event::Lost { session, .. } => {
                self.progress.lost(now);
                self.queue = None;
                self.consuming = None;
                self.held.clear();
                self.traced.lost();
                self.engine.handle(now, Input::SessionLost { session });
            }
            rabbitmq::Event::Delivered(delivery) => {
                let arrived = SystemTime::now();
                self.progress.delivered(self.held.is_empty(), now);
                self.delivered(now, arrived, delivery);
                // Where one delivery is, there are often more: one turn takes what has arrived.
                for _ in 1..TURN {
                    let Some(delivery) = self.broker.try_next() else {
                        break;
                    };
                    self.delivered(now, arrived, delivery);
                }
            }
            rabbitmq::Event::LetterConfirmed(id) => {
                self.engine
                    .handle(now, Input::LetterConfirmed(LetterId(id)));
            }
            rabbitmq::Event::LetterRefused(id, _) => {
                self.engine.handle(now, Input::LetterRefused(LetterId(id)));
            }
            rabbitmq::Event::InTouch(since) => self.engine.handle(now, Input::InTouch { since }),
            rabbitmq::Event::NotOpened { .. }
            | rabbitmq::Event::Blocked
            | rabbitmq::Event::Unblocked => {}
        }
    }

    fn shared(&mut self, now: Instant, workers: u32) {
        self.share = workers;
        self.engine.handle(now, Input::Sharing { workers });
    }

    fn counted(&mut self, now: Instant, queue: QueueCount) {
        if queue.share != self.share {
            report::share_changed(queue.share);
            self.shared(now, queue.share);
        }
        self.queue = Some(queue);
        let ours = !self.stands_by();
        let starving = ours && queue.ready > 0 && self.held.is_empty();
        self.progress.counted(starving, now);
    }

    fn notice(&mut self, now: Instant, notice: Notice) {
        match notice {
            Notice::Paused(_) => {}
            Notice::Resumed { .. } => self.progress.sign(now),
            Notice::Throttled { .. } => self.meters.throttled(),
        }
        report::notice(notice);
    }

    fn delivered(&mut self, now: Instant, arrived: SystemTime, delivered: rabbitmq::Delivery) {
        let DeliveryTag { session, tag } = delivered.tag;
        let delivery = Delivery { session, tag };
        if self.consuming != Some(session) {
            // The broker lets one worker consume at a time. Its first delivery may come long after the
            // session was opened, and at the moment at which another worker's session ended.
            self.consuming = Some(session);
            self.engine.handle(now, Input::TookOver);
        }
        self.held.insert(delivery, delivered.message, arrived);
        self.engine.handle(
            now,
            Input::Delivered {
                delivery,
                redelivered: delivered.redelivered,
            },
        );
    }

    #[expect(
        clippy::unreachable,
        reason = "the engine names deliveries that it was told of and has not settled"
    )]
    fn decode(&mut self, now: Instant, delivery: Delivery) {
        let Some(message) = self.held.message(delivery) else {
            unreachable!("a delivery is held until it is settled");
        };
        match wiring::decode(message, &self.rules) {
            Decoded::Event(event) => {
                self.traced.event(delivery, message, &event.users);
                let invalid = !event.invalid.is_empty();
                let input = Input::Event {
                    delivery,
                    key: event.key,
                    users: &event.users,
                    invalid,
                };
                self.engine.handle(now, input);
                if let Some(happened) = event.time {
                    self.held.set_time(delivery, happened);
                }
                if invalid {
                    self.held.set_invalid(delivery, event.invalid);
                }
            }
            Decoded::NotForUs(_) => self.engine.handle(now, Input::NotForUs { delivery }),
            Decoded::Malformed(why) => {
                self.held.set_malformed(delivery, why);
                self.engine.handle(now, Input::Unreadable { delivery });
            }
        }
    }

    fn call(&mut self, window: WindowId, users: Vec<UserId>, trigger: Trigger) {
        let client = self.client.clone();
        let span = self.traced.call(&users, trigger);
        self.calls.spawn(async move {
            let start = Instant::now();
            let reply = client.remove_all_tags(&users).await;
            Call {
                window,
                reply,
                ids: users.len(),
                trigger,
                took: start.elapsed(),
                span,
            }
        });
    }

    fn answered(&mut self, call: Result<Call, tokio::task::JoinError>) {
        let mut call = Some(call);
        while let Some(over) = call {
            match over {
                Ok(call) => self.call_over(Instant::now(), call),
                // A call neither panics nor is aborted; going on would hold its users for ever.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
            call = self.calls.try_join_next();
        }
        self.report.clock_skew(self.client.clock_skew());
    }

    fn call_over(&mut self, now: Instant, call: Call) {
        report::call(&call.reply, call.ids, call.trigger, call.took);
        self.meters
            .call(&call.reply, call.trigger, call.ids, call.took);
        if let Some(span) = call.span {
            span.end(outcome(&call.reply));
        }
        if !matches!(call.reply, Reply::Done { .. }) {
            self.progress.sign(now);
        }
        let input = Input::Answered {
            window: call.window,
            answer: answer(call.reply),
        };
        self.engine.handle(now, input);
    }

    fn settle(&mut self, now: Instant, settlement: Settlement) {
        self.traced.settled(settlement);
        let tag = |delivery: Delivery| DeliveryTag {
            session: delivery.session,
            tag: delivery.tag,
        };
        let settlement = match settlement {
            Settlement::UpTo(delivery) => {
                let now = SystemTime::now();
                self.held
                    .remove_up_to(delivery, |time| self.meters.acknowledged(time, now));
                rabbitmq::Settlement::UpTo(tag(delivery))
            }
            Settlement::One(delivery) => {
                if let Some(time) = self.held.remove(delivery) {
                    self.meters.acknowledged(time, SystemTime::now());
                }
                rabbitmq::Settlement::One(tag(delivery))
            }
            Settlement::HandBack(delivery) => {
                self.held.remove(delivery);
                rabbitmq::Settlement::HandBack(tag(delivery))
            }
        };
        if !matches!(settlement, rabbitmq::Settlement::HandBack(_)) {
            self.progress.sign(now);
        }
        self.broker.settle(settlement);
    }

    #[expect(
        clippy::unreachable,
        reason = "the engine names deliveries that it was told of and has not settled"
    )]
    fn dead_letter(&mut self, now: Instant, due: crate::engine::Letter) {
        let Some(held) = self.held.letter_parts(due.delivery) else {
            unreachable!("a delivery is held until it is settled");
        };
        let first_seen = SystemTime::now() - now.saturating_duration_since(due.first_seen);
        report::dead_letter(&due);
        self.broker
            .publish_letter(letter::letter(&due, held, first_seen));
    }
}

/// What the API's reply is to the engine.
fn answer(reply: Reply) -> Answer {
    match reply {
        // A failure under a name that was not asked for may be one of ours, spelt differently: to
        // take the call as done would be to acknowledge on hope.
        Reply::Done { strangers: 1.., .. } => Answer::Unclear,
        Reply::Done {
            failed,
            strangers: 0,
        } => Answer::Done { failed },
        Reply::Refused(code) => Answer::Refused(code),
        Reply::Unclear => Answer::Unclear,
        Reply::Fault(im::Fault::Secret(_)) => Answer::NoCredential,
        Reply::Fault(_) => Answer::Fault,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
