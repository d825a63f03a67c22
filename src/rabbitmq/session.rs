//! One session: two connections, from the first login to the first sign of loss.

mod acks;
mod consumer;
mod heartbeat;
mod supervisor;

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Fuse, FusedFuture},
    stream::BoxStream,
};
use lapin::{Channel, Consumer};
use tokio::{
    task::coop::cooperative,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use self::{acks::Acks, consumer::Consuming, heartbeat::Heartbeat};
use super::{
    Delivery, Event, Letter, LetterRefusal, Loss, Options, QueueCount, Warning,
    connection::{Link, loss::within},
    message::{Envelope, delivery},
    publish::{Lanes, Outcome, Refused},
    topology::{Scratch, Sharing, count, prepare},
};

pub use acks::Settlement;
pub use supervisor::Broker;

/// Letters between publish and confirm at the same time.
const LANES: usize = 8;
/// If the dead-letter queue cannot be counted, it is retried only every this many counts, since the broker logs
/// each refusal.
const COUNTS_PER_TRY: u32 = 20;

/// A pending request to the broker, kept between turns of [`Session::next`]. Terminated, and never ready, while
/// there is none.
type Call<T> = Fuse<BoxFuture<'static, Result<T, Loss>>>;

fn call<T>(asked: impl Future<Output = Result<T, Loss>> + Send + 'static) -> Call<T> {
    asked.boxed().fuse()
}

struct Session {
    number: u32,
    since: Instant,
    options: Arc<Options>,
    consuming: Consuming,
    changing: Call<Option<Consumer>>,
    channel: Channel,
    acks: Acks,
    letters: Lanes,
    consume_events: BoxStream<'static, lapin::Event>,
    publish_events: BoxStream<'static, lapin::Event>,
    poll: Interval,
    sharing: Sharing,
    delivery_limit: Option<u32>,
    /// When the session was opened.
    share: u32,
    heartbeat: Heartbeat,
    /// Of the latest delivery.
    envelope: Option<Arc<Envelope>>,
    /// No delivery is returned any more.
    draining: bool,
    count: Interval,
    counting: Call<QueueCount>,
    /// Counts since the last one that told what the dead-letter queue holds.
    letters_unknown: u32,
    redeclaring: Call<()>,
    /// A loss found while only a delivery was requested; reported by the next turn.
    loss: Option<Loss>,
    consume: Link,
    publish: Link,
}

impl Session {
    /// Opens a session on the URL at `position`. The warnings are for the operator.
    async fn open(
        number: u32,
        options: Arc<Options>,
        position: usize,
        prefetch: u16,
    ) -> Result<(Self, Vec<Warning>), Loss> {
        let (consume, publish) = tokio::try_join!(
            Link::open(&options, position, "tagsweep consume"),
            Link::open(&options, position, "tagsweep publish"),
        )?;
        let farewells = [consume.farewell.clone(), publish.farewell.clone()];
        let opened = Self::over(number, options, prefetch, consume, publish).await;
        opened.map_err(|loss| farewells.iter().fold(loss, Loss::explained))
    }

    async fn over(
        number: u32,
        options: Arc<Options>,
        prefetch: u16,
        consume: Link,
        publish: Link,
    ) -> Result<(Self, Vec<Warning>), Loss> {
        let timing = options.timing;
        let (consume_events, publish_events) = (consume.events(), publish.events());
        let topology = prepare(consume.connection(), consume.version, &options).await?;
        let letters = Lanes::open(&publish, LANES).await?;
        let channel = consume.channel().await?;
        consume.backlog.limit();
        let consuming = Consuming::open(&channel, &options, topology.quorum, prefetch).await?;
        let share = match topology.sharing {
            Sharing::SingleActiveConsumer => 1,
            Sharing::ByCount => {
                let options = Arc::clone(&options);
                let counted = count(consume.connection(), options, topology.sharing, false);
                counted.await?.share
            }
        };
        let session = Self {
            number,
            since: Instant::now(),
            acks: Acks::new(channel.clone(), timing.call),
            letters,
            consume_events,
            publish_events,
            poll: every(timing.poll),
            sharing: topology.sharing,
            delivery_limit: topology.delivery_limit,
            share,
            heartbeat: Heartbeat::new(channel.clone(), &options),
            consuming,
            changing: Call::terminated(),
            envelope: None,
            draining: false,
            count: every(timing.count),
            counting: Call::terminated(),
            letters_unknown: 0,
            redeclaring: Call::terminated(),
            loss: None,
            channel,
            consume,
            publish,
            options,
        };
        Ok((session, topology.warnings))
    }

    fn publish_letter(&mut self, letter: Letter) {
        let id = letter.id;
        let outgoing =
            letter.into_outgoing(&self.options.dead_letter_exchange, self.publish.frame_max());
        self.letters.push(id, outgoing);
    }

    /// Stops returning deliveries. Prefetched deliveries go back to the broker when the channel closes; their tags
    /// are above all returned ones, so no ack can include them.
    ///
    /// A single active consumer is not cancelled: the broker would activate another worker at once, while our last
    /// calls still use the quota. It does so when the channel closes.
    fn stop_consuming(&mut self) {
        self.draining = true;
        match self.sharing {
            Sharing::SingleActiveConsumer => self.consuming.stay(),
            Sharing::ByCount => self.consuming.want(0),
        }
    }

    /// Sets the prefetch; 0 stops consuming.
    fn consume(&mut self, prefetch: u16) {
        if !self.draining {
            self.consuming.want(prefetch);
        }
    }

    /// Ends the session for this reason at the next turn.
    fn end(&mut self, reason: Loss) {
        self.loss.get_or_insert(reason);
    }

    /// The next thing that happened. Cancel-safe. Deliveries come last, so that a stream of them never holds up an ack
    /// or a confirm.
    async fn next(&mut self) -> Result<Event, Loss> {
        loop {
            if let Some(loss) = self.loss.take() {
                return Err(loss);
            }
            if self.changing.is_terminated()
                && let Some(change) = self.consuming.next_change()
            {
                self.changing = change.fuse();
            }
            let prefetch = self.consuming.prefetch();
            tokio::select! {
                biased;
                // Before settlements: what is returned would come again to a consumer that is to be cancelled, and be
                // returned once more.
                changed = &mut self.changing => self.consuming.changed(changed?),
                Err(loss) = self.acks.send() => return Err(loss),
                Some(event) = self.consume_events.next() => end_of_connection(event)?,
                Some(event) = self.publish_events.next() => match event {
                    lapin::Event::ConnectionBlocked(_) => {
                        self.letters.set_blocked(true);
                        return Ok(Event::Blocked);
                    }
                    lapin::Event::ConnectionUnblocked => {
                        self.letters.set_blocked(false);
                        return Ok(Event::Unblocked);
                    }
                    event => end_of_connection(event)?,
                },
                outcome = self.letters.next() => {
                    let (id, outcome) = outcome?;
                    return Ok(self.letter_ended(id, outcome));
                }
                _ = self.poll.tick() => self.check()?,
                redeclared = &mut self.redeclaring => redeclared?,
                answer = self.heartbeat.answer(prefetch) => return answer.map(Event::InTouch),
                _ = self.count.tick(), if self.counting.is_terminated() => self.start_count(),
                counted = &mut self.counting => {
                    if let Some(counted) = self.counted(counted)? {
                        return Ok(Event::Counted(counted));
                    }
                }
                // lapin's streams do not take part in tokio's budget, and a full queue never runs dry.
                arrived = cooperative(self.consuming.next()) => match arrived {
                    Ok(Some(arrived)) => {
                        let delivery = self.delivery(arrived);
                        if !self.draining {
                            return Ok(Event::Delivered(delivery));
                        }
                    }
                    Err(loss) if !self.draining => return Err(loss),
                    Ok(None) | Err(_) => {}
                }
            }
        }
    }

    /// Returns a delivery that has already arrived. A loss found on the way is reported by the next turn.
    fn try_delivery(&mut self) -> Option<Delivery> {
        if self.loss.is_some() || self.draining {
            return None;
        }
        match self.try_arrived()? {
            Ok(delivery) => Some(delivery),
            Err(loss) => {
                self.loss = Some(loss);
                None
            }
        }
    }

    fn try_arrived(&mut self) -> Option<Result<Delivery, Loss>> {
        let arrived = self.consuming.next().now_or_never()?.transpose()?;
        Some(arrived.map(|arrived| self.delivery(arrived)))
    }

    fn delivery(&mut self, arrived: lapin::message::Delivery) -> Delivery {
        self.consume.backlog.taken(arrived.data.len());
        self.heartbeat.heard();
        delivery(
            self.number,
            arrived,
            self.delivery_limit,
            &mut self.envelope,
        )
    }

    fn letter_ended(&mut self, id: u64, outcome: Outcome) -> Event {
        let Err(Refused { why, outgoing }) = outcome else {
            return Event::LetterConfirmed(id);
        };
        if matches!(why, LetterRefusal::Returned | LetterRefusal::ExchangeGone) {
            self.redeclare_dead_letter_route();
        }
        match outgoing.with_less(why, &self.options.dead_letter_queue) {
            Some(less) => {
                self.letters.push(id, less);
                Event::LetterReduced(why)
            }
            None => Event::LetterRefused(id, why),
        }
    }

    /// A returned letter means that the dead-letter queue or its binding is gone.
    fn redeclare_dead_letter_route(&mut self) {
        if self.options.declare && self.redeclaring.is_terminated() {
            let mut scratch = Scratch::new(self.consume.connection(), self.options.timing.call);
            let options = Arc::clone(&self.options);
            self.redeclaring =
                call(async move { scratch.declare_dead_letter_route(&options).await });
        }
    }

    /// Detects ends of a connection that give no other sign. The reason why the consumer ended is more specific
    /// than a closed channel.
    fn check(&mut self) -> Result<(), Loss> {
        let closed = [
            (self.consume.connected(), "consume connection"),
            (self.publish.connected(), "publish connection"),
            (self.channel.status().connected(), "consume channel"),
        ];
        let closed = closed.into_iter().find(|(connected, _)| !connected);
        let checked = match closed {
            Some((_, what)) => Err(Loss::Broken {
                cause: format!("the {what} is closed"),
            }),
            None => self.letters.check(),
        };
        checked.map_err(|loss| {
            // Deliveries before that are the broker's again.
            let told = std::iter::from_fn(|| self.try_arrived()).find_map(Result::err);
            told.unwrap_or(loss)
        })
    }

    fn start_count(&mut self) {
        let (connection, options) = (self.consume.connection(), Arc::clone(&self.options));
        let with_letters = self.letters_unknown.is_multiple_of(COUNTS_PER_TRY);
        self.counting = call(count(connection, options, self.sharing, with_letters));
    }

    fn counted(&mut self, counted: Result<QueueCount, Loss>) -> Result<Option<QueueCount>, Loss> {
        self.count.reset();
        match (counted, self.sharing) {
            (Ok(mut counted), _) => {
                let unknown = self.letters_unknown;
                self.letters_unknown = counted.dead_letters.map_or(unknown + 1, |_| 0);
                if !self.consuming.is_active() {
                    // Our own probes count, and we may consume again before the next count.
                    counted.share = self.sharing.among(counted.consumers + 1);
                }
                Ok(Some(counted))
            }
            // Only told, and worth no session: consuming shows by itself whether the queue is there.
            (Err(_), Sharing::SingleActiveConsumer) => Ok(None),
            (Err(loss), Sharing::ByCount) => Err(loss),
        }
    }

    /// Abandons a lost session: closes what still answers, waits at most for the close limit, and sends nothing
    /// that is unsent.
    async fn abandon(self) {
        drop(self.acks);
        // The loss is known; how the goodbye goes changes nothing.
        let _ = tokio::join!(self.consume.close(), self.publish.close());
    }

    /// Sends what is to be settled and closes both connections. Ok means that the broker has
    /// taken every settlement: it answers the close of a channel after all that came before, and how the
    /// connections end after that changes nothing.
    async fn close(mut self) -> Result<(), Loss> {
        self.consume.backlog.lift();
        self.acks.finish().await?;
        answered(self.changing).await?;
        // lapin takes a connection for broken that closes while a channel on it opens.
        let _ = answered(self.counting).await;
        let _ = answered(self.redeclaring).await;
        let goodbye = self.channel.close(200, "bye".into());
        within(self.options.timing.call, "channel.close", goodbye).await?;
        let _ = tokio::join!(self.consume.close(), self.publish.close());
        Ok(())
    }
}

/// Waits for the pending request, if there is one.
async fn answered<T>(call: Call<T>) -> Result<Option<T>, Loss> {
    match call.is_terminated() {
        true => Ok(None),
        false => call.await.map(Some),
    }
}

/// A connection also tells of channels that were closed, which those who use them see for
/// themselves; a refused declaration closes one every time.
fn end_of_connection(event: lapin::Event) -> Result<(), Loss> {
    match event {
        lapin::Event::Error(error) if !error.is_amqp_soft_error() => Err(error.into()),
        _ => Ok(()),
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
