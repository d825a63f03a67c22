//! The worker: a queue of RabbitMQ on one side, the API on the other, the engine between them.
//!
//! It is one loop. The [shell](crate::shell) has the engine and the calls; this module is its source, the queue:
//! deliveries come in, settlements and dead letters go out.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod held;
mod letter;
mod redriven;
mod secrets;
mod wiring;

use std::time::{Duration, Instant, SystemTime};

use tokio::time::MissedTickBehavior;

use crate::config::{Settings, Unmatched};
use crate::engine::{Delivery, Input, Letter, LetterId, Settlement};
use crate::event::{self, Decoded, Event, Rules};
use crate::rabbitmq::{self, Broker, DeliveryTag, Message, QueueCount, Returns};
use crate::shell::{Inquiries, Order, SetupError, Shell, Source};
use crate::shutdown::Shutdown;
use crate::traces::Traces;
use held::{Held, LIMIT, Read};
use letter::LetterIds;
use secrets::SecretFiles;
pub use wiring::broker_options;

/// Deliveries taken in one turn of the loop, before calls and answers get theirs.
const TURN: usize = 128;
/// Bytes of deliveries taken in one turn: large bodies are read at once, which takes time.
const TURN_BYTES: usize = 8 << 20;
/// Interval of the log line `progress`.
const SUMMARY: Duration = Duration::from_secs(60);
/// How long closing the broker session may take after the order to stop.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why the worker did not shut down gracefully.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot set up the worker: {0}")]
    Setup(#[from] SetupError),
    #[error("stopped before all events were acknowledged; the broker redelivers the rest")]
    Stopped,
    #[error("the last acknowledgements may be lost, the broker redelivers those events: {0}")]
    Close(rabbitmq::Loss),
}

/// Runs until `shutdown` requests an end, and returns when every delivery is settled. Answers `inquiries`, and
/// records spans in `traces`.
///
/// # Errors
/// When it could not start, or had to stop before everything was settled. Nothing is lost: unacknowledged events
/// are redelivered.
pub async fn run(
    settings: &Settings,
    traces: Option<&Traces>,
    inquiries: Inquiries,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let mut worker = Worker::new(settings, traces)?;
    worker.shell.watch.started(settings);
    let end = tokio::select! {
        () = worker.work(inquiries, &shutdown) => Ok(()),
        () = shutdown.stop.cancelled() => Err(Error::Stopped),
    };
    let Worker { shell, broker, .. } = worker;
    let status = shell.status();
    let closed = tokio::select! {
        closed = broker.close() => closed.map_err(Error::Close),
        () = over(&shutdown) => Err(Error::Stopped),
    };
    shell.watch.ended(&status);
    end.and(closed)
}

/// Resolves some time after the order to stop: a silent broker must not delay the end.
async fn over(shutdown: &Shutdown) {
    shutdown.stop.cancelled().await;
    tokio::time::sleep(GOODBYE).await;
}

struct Worker {
    shell: Shell,
    broker: Broker,
    held: Held,
    letter_ids: LetterIds,
    secret_files: SecretFiles,
    rules: Rules,
    unmatched: Unmatched,
    /// The session of the latest delivery; none before the first one since we consume.
    delivering: Option<u32>,
    /// How many workers share the quota.
    share: u32,
    /// Current prefetch: lower than the configured one if the messages are too large.
    prefetch: u16,
}

impl Worker {
    fn new(settings: &Settings, traces: Option<&Traces>) -> Result<Worker, SetupError> {
        let options = broker_options(&settings.rabbitmq, settings.prefetch())?;
        let source = Source {
            lease: Some(options.lease()),
            out_of_order: usize::from(settings.prefetch() / 4),
            is_list: false,
        };
        Ok(Worker {
            shell: Shell::new(settings, source, traces)?,
            broker: Broker::new(options),
            held: Held::default(),
            letter_ids: LetterIds::new(),
            secret_files: SecretFiles::of(settings),
            rules: settings.events.rules()?,
            unmatched: settings.events.unmatched,
            delivering: None,
            share: 1,
            prefetch: settings.prefetch(),
        })
    }

    /// The main loop. Returns when a drain is complete.
    async fn work(&mut self, mut inquiries: Inquiries, shutdown: &Shutdown) {
        let mut draining = false;
        let mut summary = tokio::time::interval(SUMMARY);
        summary.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(order) = self.shell.order() {
                self.carry_out(Instant::now(), order);
            }
            self.shell.let_calls_start().await;
            if self.shell.is_drained() {
                return;
            }
            tokio::select! {
                event = self.broker.next() => self.broker_event(Instant::now(), event),
                () = self.shell.turn() => {}
                question = inquiries.next() => self.shell.reply_to(question, self.held.in_hand()),
                () = shutdown.reread.notified() => self.reread_secrets(),
                () = shutdown.drain.cancelled(), if !draining => {
                    draining = true;
                    self.broker.stop_consuming();
                    self.shell.tell(Instant::now(), Input::Drain);
                }
                _ = summary.tick() => self.shell.summary(),
            }
        }
    }

    fn reread_secrets(&self) {
        self.shell.reread_secrets();
        for file in self.secret_files.unusable() {
            let watch = &self.shell.watch;
            watch.unusable_secret(file.key, &file.path, &file.reason);
        }
    }

    fn broker_event(&mut self, now: Instant, event: rabbitmq::Event) {
        use rabbitmq::Event;
        self.shell.watch.broker(now, &event, self.held.is_empty());
        match event {
            Event::Opened { share, .. } => self.shared(now, share),
            Event::Counted(queue) => self.counted(now, queue),
            Event::Lost { session, .. } => {
                self.delivering = None;
                self.held.clear();
                self.shell.tell(now, Input::SessionLost { session });
            }
            Event::Delivered(delivery) => self.deliveries(now, delivery),
            Event::LetterConfirmed(id) => {
                self.shell.tell(now, Input::LetterConfirmed(LetterId(id)));
            }
            Event::LetterRefused(id, _) => {
                self.shell.tell(now, Input::LetterRefused(LetterId(id)));
            }
            Event::InTouch(since) => self.shell.tell(now, Input::InTouch { since }),
            Event::NotOpened { .. }
            | Event::Blocked
            | Event::Unblocked
            | Event::LetterReduced(_) => {}
        }
    }

    fn shared(&mut self, now: Instant, workers: u32) {
        self.share = workers;
        self.shell.tell(now, Input::Sharing { workers });
    }

    fn counted(&mut self, now: Instant, queue: QueueCount) {
        if queue.share != self.share {
            self.shared(now, queue.share);
        }
        // Where the quota is shared by count, the others leave us our part of it.
        if queue.consumers == 0 || queue.share > 1 {
            self.shell.tell(now, Input::Unconsumed { since: now });
        }
    }

    /// Takes all deliveries that have arrived, since one rarely comes alone.
    fn deliveries(&mut self, now: Instant, first: rabbitmq::Delivery) {
        let arrived = SystemTime::now();
        let mut bytes = first.message.size();
        self.delivered(now, arrived, first);
        for _ in 1..TURN {
            if bytes > TURN_BYTES {
                break;
            }
            let Some(delivery) = self.broker.try_next() else {
                break;
            };
            bytes += delivery.message.size();
            self.delivered(now, arrived, delivery);
        }
        self.bound_memory();
    }

    fn delivered(&mut self, now: Instant, arrived: SystemTime, delivered: rabbitmq::Delivery) {
        let DeliveryTag { session, tag } = delivered.tag;
        let delivery = Delivery { session, tag };
        if self.delivering != Some(session) && self.broker.consumes_as_asked() {
            // The broker lets one worker consume at a time. Its first delivery may come long after the
            // session was opened, and at the moment at which another worker's session ended.
            self.delivering = Some(session);
            self.shell.tell(now, Input::TookOver);
        }
        let rabbitmq::Delivery {
            redelivered,
            returned,
            returns,
            message,
            ..
        } = delivered;
        self.held.insert(delivery, message, returned, arrived);
        if self.held.is_too_much(delivery)
            && let Some(message) = self.held.message(delivery)
        {
            let read = read(message, &self.rules);
            // Who is in a body that was not understood whole, nothing else would tell: only one that does not fit into
            // our memory is given up.
            if read.is_understood() || message.size() > LIMIT {
                self.held.keep_read(delivery, read);
            }
        }
        let input = Input::Delivered {
            delivery,
            redelivered,
        };
        self.shell.tell(now, input);
        if returns != Returns::Many {
            let at_once = returns == Returns::None;
            self.shell
                .tell(now, Input::ReturnedTooOften { delivery, at_once });
        }
    }

    /// Where too much is in hand of which nothing can be left out, fewer deliveries at a time are asked for. That
    /// gives all of them back, and the queue to a standby: it is done with so much to spare that it is not done
    /// again soon.
    fn bound_memory(&mut self) {
        let (bytes, held) = (self.held.bytes(), self.held.len());
        if bytes <= LIMIT || self.prefetch == 1 {
            return;
        }
        let fitting = LIMIT / 2 / (bytes / held.max(1)).max(1);
        let fitting = u16::try_from(fitting).unwrap_or(u16::MAX);
        self.prefetch = fitting.clamp(1, self.prefetch / 2);
        self.broker.reopen(self.prefetch);
    }

    fn carry_out(&mut self, now: Instant, order: Order) {
        match order {
            Order::Decode(delivery) => self.decode(now, delivery),
            Order::Settle(settlement) => self.settle(now, settlement),
            Order::Consume { prefetch } => self.consume(now, prefetch),
            Order::DeadLetter(due) => self.dead_letter(now, &due),
        }
    }

    #[expect(
        clippy::unreachable,
        reason = "the engine names deliveries that it was told of and has not settled"
    )]
    fn decode(&mut self, now: Instant, delivery: Delivery) {
        let before = self.held.take_read(delivery);
        let Some(message) = self.held.message(delivery) else {
            unreachable!("a delivery is held until it is settled");
        };
        let Read {
            decoded,
            form,
            invalid,
            absent,
        } = before.unwrap_or_else(|| read(message, &self.rules));
        self.shell.watch.read(form);
        match decoded {
            Decoded::Event(event) => {
                self.shell.watch.event(delivery, message, &event.users);
                let input = Input::Event {
                    delivery,
                    key: event.key,
                    users: &event.users,
                    invalid,
                    absent: u32::try_from(absent.len()).unwrap_or(u32::MAX),
                };
                self.shell.tell(now, input);
                if let Some(happened) = event.time {
                    self.held.set_time(delivery, happened);
                }
                if invalid > 0 || !absent.is_empty() {
                    self.held.set_invalid(delivery, event.invalid, absent);
                }
            }
            Decoded::NotForUs(why) => {
                self.shell.watch.not_for_us(now, why);
                self.shell.tell(now, Input::NotForUs { delivery });
            }
            Decoded::Malformed(why) => {
                self.held.set_malformed(delivery, why);
                self.shell.tell(now, Input::Unreadable { delivery });
            }
            Decoded::Unrecognised => self.unrecognised(now, delivery),
        }
    }

    fn unrecognised(&mut self, now: Instant, delivery: Delivery) {
        let input = match self.unmatched {
            Unmatched::DeadLetter => Input::Unrecognised { delivery },
            Unmatched::Ignore => {
                self.shell.watch.unrecognised(now);
                Input::NotForUs { delivery }
            }
        };
        self.shell.tell(now, input);
    }

    fn settle(&mut self, now: Instant, settlement: Settlement) {
        let watch = &mut self.shell.watch;
        watch.settled(now, settlement);
        let tag = |delivery: Delivery| DeliveryTag {
            session: delivery.session,
            tag: delivery.tag,
        };
        self.broker.settle(match settlement {
            Settlement::UpTo(delivery) => {
                let now = SystemTime::now();
                self.held
                    .remove_up_to(delivery, |time| watch.acknowledged(time, now));
                rabbitmq::Settlement::UpTo(tag(delivery))
            }
            Settlement::One(delivery) => {
                if let Some(time) = self.held.remove(delivery) {
                    watch.acknowledged(time, SystemTime::now());
                }
                rabbitmq::Settlement::One(tag(delivery))
            }
            Settlement::HandBack(delivery) => {
                self.held.remove(delivery);
                rabbitmq::Settlement::HandBack(tag(delivery))
            }
        });
    }

    fn consume(&mut self, now: Instant, prefetch: usize) {
        self.shell.watch.consume(now, prefetch > 0);
        // Another worker may get the queue now, and make calls.
        self.delivering = None;
        let prefetch = prefetch.try_into().unwrap_or(u16::MAX);
        self.broker.consume(self.prefetch.min(prefetch));
    }

    #[expect(
        clippy::unreachable,
        reason = "the engine names deliveries that it was told of and has not settled"
    )]
    fn dead_letter(&mut self, now: Instant, due: &Letter) {
        let Some(held) = self.held.letter_parts(due.delivery) else {
            unreachable!("a delivery is held until it is settled");
        };
        let first_seen = SystemTime::now() - now.saturating_duration_since(due.first_seen);
        let id = self.letter_ids.of(due.id);
        let detail = letter::detail(due, &held.fault);
        self.shell.watch.dead_letter(due, &id, &detail);
        self.broker
            .publish_letter(letter::letter(due, held, first_seen, id, detail));
    }
}

/// Decodes a message. Of invalid IDs it keeps as much as a dead letter names.
fn read(message: &Message, rules: &Rules) -> Read {
    let redriven = message.redriven();
    let event::Read { mut decoded, form } = wiring::read(message, redriven.as_ref(), rules);
    let mut count = 0;
    let mut absent = Vec::new();
    if let Some(redriven) = &redriven {
        (decoded, absent) = redriven::narrow(decoded, redriven);
    }
    if let Decoded::Event(event) = &mut decoded {
        let Event { users, invalid, .. } = event;
        count = u32::try_from(invalid.len()).unwrap_or(u32::MAX);
        letter::cut_to_fit(invalid);
        users.shrink_to_fit();
    }
    Read {
        decoded,
        form,
        invalid: count,
        absent,
    }
}
