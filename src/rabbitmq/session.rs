//! One session: two connections, from the first login to the first sign of loss.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use lapin::Channel;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{
    Delivery, Event, Letter, LetterRefusal, Loss, Options, QueueCount, Settlement, Warning,
    connection::{Link, LinkEvents},
    consuming::Consuming,
    contact::Contact,
    lanes::{Lanes, Refused},
    loss::{CallError, within},
    message::{Envelope, delivery},
    settlements::{Settlements, send},
    topology::{Scratch, Sharing, count, prepare},
};

/// Letters between publish and confirm at the same time.
const LANES: usize = 8;
/// A dead-letter queue that cannot be counted is tried each so many counts: the broker logs each refusal.
const COUNTS_PER_TRY: u32 = 20;

type Call<T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send>>;
type Check<T> = Pin<Box<dyn Future<Output = Result<T, Loss>> + Send>>;

pub(super) struct Session {
    number: u32,
    options: Arc<Options>,
    consuming: Consuming,
    channel: Channel,
    settlements: Settlements,
    settling: Option<Call<()>>,
    letters: Lanes,
    consume_events: LinkEvents,
    publish_events: LinkEvents,
    poll: Interval,
    sharing: Sharing,
    delivery_limit: Option<u32>,
    /// When the session was opened.
    share: u32,
    contact: Contact,
    /// Of the latest delivery.
    envelope: Option<Arc<Envelope>>,
    /// No delivery is given any more.
    draining: bool,
    count: Interval,
    counting: Option<Check<QueueCount>>,
    /// Counts since the last one that told what the dead-letter queue holds.
    letters_unknown: u32,
    mending: Option<Check<()>>,
    /// Found while somebody asked for a delivery only; told by the next poll.
    loss: Option<Loss>,
    consume: Link,
    publish: Link,
}

impl Session {
    /// Opens a session on the URL at `position`. The warnings are for the operator.
    pub(super) async fn open(
        number: u32,
        options: Arc<Options>,
        position: usize,
        prefetch: u16,
    ) -> Result<(Self, Vec<Warning>), Loss> {
        let (consume, publish) = tokio::try_join!(
            Link::open(&options, position, "tagsweep consume"),
            Link::open(&options, position, "tagsweep publish"),
        )?;
        let farewells = [consume.0.farewell(), publish.0.farewell()];
        let opened = Self::over(number, options, prefetch, consume, publish).await;
        opened.map_err(|loss| farewells.iter().fold(loss, Loss::explained))
    }

    async fn over(
        number: u32,
        options: Arc<Options>,
        prefetch: u16,
        (consume, consume_events): (Link, LinkEvents),
        (publish, publish_events): (Link, LinkEvents),
    ) -> Result<(Self, Vec<Warning>), Loss> {
        let timing = options.timing;
        let topology = prepare(consume.connection(), &options).await?;
        let letters = Lanes::open(&publish, LANES, timing.call, timing.confirm).await?;
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
            settlements: Settlements::default(),
            settling: None,
            letters,
            consume_events,
            publish_events,
            poll: every(timing.poll),
            sharing: topology.sharing,
            delivery_limit: topology.delivery_limit,
            share,
            contact: Contact::new(channel.clone(), consuming.prefetch(), &options),
            consuming,
            envelope: None,
            draining: false,
            count: every(timing.count),
            counting: None,
            letters_unknown: 0,
            mending: None,
            loss: None,
            channel,
            consume,
            publish,
            options,
        };
        Ok((session, topology.warnings))
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn share(&self) -> u32 {
        self.share
    }

    pub(super) fn settle(&mut self, settlement: Settlement) {
        self.settlements.push(settlement);
    }

    pub(super) fn publish_letter(&mut self, letter: Letter) {
        let id = letter.id;
        let outgoing =
            letter.into_outgoing(&self.options.dead_letter_exchange, self.publish.frame_max());
        self.letters.push(id, outgoing);
    }

    /// No delivery is given any more. What the broker had sent ahead is its own again when the
    /// channel closes; its tags are above all that were given, so no ack can include them.
    ///
    /// A single active consumer is not cancelled: the broker would make another worker the active one at
    /// once, while our last calls still use the quota. It hands the queue on when the channel closes.
    pub(super) fn stop_consuming(&mut self) {
        self.draining = true;
        match self.sharing {
            Sharing::SingleActiveConsumer => self.consuming.stay(),
            Sharing::ByCount => self.consuming.want(0),
        }
    }

    /// Consumes with this prefetch from now on, with 0 not at all.
    pub(super) fn consume(&mut self, prefetch: u16) {
        if !self.draining {
            self.consuming.want(prefetch);
        }
    }

    /// Ends the session for this reason, with the next poll.
    pub(super) fn end(&mut self, reason: Loss) {
        self.loss.get_or_insert(reason);
    }

    pub(super) fn consumes_as_asked(&self) -> bool {
        self.consuming.is_as_asked()
    }

    /// The next thing that happened. Deliveries come last, so that a stream of them never holds
    /// up an ack or a confirm.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Loss>> {
        if let Some(loss) = self.loss.take() {
            return Poll::Ready(Err(loss));
        }
        // Before settlements: what is returned would come again to a consumer that is to be cancelled, and be returned
        // once more.
        if let Some(prefetch) = self.consuming.poll_change(cx)? {
            self.contact.set_prefetch(prefetch);
        }
        if let Poll::Ready(Err(loss)) = self.poll_settlements(cx) {
            return Poll::Ready(Err(loss));
        }
        if let Poll::Ready(event) = self.poll_links(cx) {
            return Poll::Ready(event);
        }
        if let Poll::Ready(event) = self.poll_letters(cx) {
            return Poll::Ready(event);
        }
        if let Poll::Ready(event) = self.poll_watch(cx) {
            return Poll::Ready(event);
        }
        // lapin's streams do not take part in tokio's budget, and a full queue never runs dry.
        if !tokio::task::coop::has_budget_remaining() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.draining {
            // They are the broker's again when the channel closes.
            while let Poll::Ready(Ok(_)) = self.poll_consumer(cx) {}
            return Poll::Pending;
        }
        self.poll_consumer(cx).map_ok(Event::Delivered)
    }

    /// A delivery that is here already. A loss found on the way is told by the next poll.
    pub(super) fn try_delivery(&mut self) -> Option<Delivery> {
        if self.loss.is_some() || self.draining {
            return None;
        }
        match self.poll_consumer(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(delivery)) => Some(delivery),
            Poll::Ready(Err(loss)) => {
                self.loss = Some(loss);
                None
            }
            Poll::Pending => None,
        }
    }

    fn poll_consumer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Delivery, Loss>> {
        let arrived = ready!(self.consuming.poll_next(cx))?;
        self.consume.backlog.taken(arrived.data.len());
        self.contact.heard();
        let (number, limit) = (self.number, self.delivery_limit);
        Poll::Ready(Ok(delivery(number, arrived, limit, &mut self.envelope)))
    }

    /// Sends what is to be settled, one frame after the other. Ready only with a loss, or when
    /// everything is written.
    pub(super) fn poll_settlements(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Loss>> {
        loop {
            if let Some(settling) = &mut self.settling {
                ready!(settling.as_mut().poll(cx))?;
                self.settling = None;
            }
            let Some(frame) = self.settlements.pop() else {
                return Poll::Ready(Ok(()));
            };
            let channel = self.channel.clone();
            self.settling = Some(Box::pin(send(channel, frame, self.options.timing.call)));
        }
    }

    fn poll_links(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Loss>> {
        while let Poll::Ready(Some(event)) = self.consume_events.as_mut().poll_next(cx) {
            if let Some(loss) = end_of_connection(event) {
                return Poll::Ready(Err(loss));
            }
        }
        while let Poll::Ready(Some(event)) = self.publish_events.as_mut().poll_next(cx) {
            match event {
                lapin::Event::ConnectionBlocked(_) => {
                    self.letters.set_blocked(true);
                    return Poll::Ready(Ok(Event::Blocked));
                }
                lapin::Event::ConnectionUnblocked => {
                    self.letters.set_blocked(false);
                    return Poll::Ready(Ok(Event::Unblocked));
                }
                event => {
                    if let Some(loss) = end_of_connection(event) {
                        return Poll::Ready(Err(loss));
                    }
                }
            }
        }
        Poll::Pending
    }

    fn poll_letters(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Loss>> {
        let (id, outcome) = ready!(self.letters.poll(cx))?;
        let Err(Refused { why, outgoing }) = outcome else {
            return Poll::Ready(Ok(Event::LetterConfirmed(id)));
        };
        if matches!(why, LetterRefusal::Returned | LetterRefusal::ExchangeGone) {
            self.mend_dead_letter_route();
        }
        Poll::Ready(Ok(
            match outgoing.with_less(why, &self.options.dead_letter_queue) {
                Some(less) => {
                    self.letters.push(id, less);
                    Event::LetterReduced(why)
                }
                None => Event::LetterRefused(id, why),
            },
        ))
    }

    /// A returned letter means that the dead-letter queue or its binding is gone.
    fn mend_dead_letter_route(&mut self) {
        if self.options.declare && self.mending.is_none() {
            let mut scratch = Scratch::new(self.consume.connection(), self.options.timing.call);
            let options = Arc::clone(&self.options);
            self.mending = Some(Box::pin(async move {
                scratch.declare_dead_letter_route(&options).await
            }));
        }
    }

    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Loss>> {
        // Until it is pending, or nothing would wake us for the next look.
        while self.poll.poll_tick(cx).is_ready() {
            if let Err(loss) = self.check() {
                return Poll::Ready(Err(self.told_by_consumer().unwrap_or(loss)));
            }
        }
        if let Some(mending) = &mut self.mending
            && let Poll::Ready(answer) = mending.as_mut().poll(cx)
        {
            self.mending = None;
            answer?;
        }
        if let Poll::Ready(answer) = self.contact.poll(cx) {
            return Poll::Ready(answer.map(Event::InTouch).map_err(Loss::from));
        }
        self.poll_count(cx)
    }

    /// Some ends of a connection give no other sign.
    fn check(&self) -> Result<(), Loss> {
        let gone = |what: &str| Loss::Broken {
            cause: format!("the {what} is closed"),
        };
        if !self.consume.connected() {
            return Err(gone("consume connection"));
        }
        if !self.publish.connected() {
            return Err(gone("publish connection"));
        }
        if !self.channel.status().connected() {
            return Err(gone("consume channel"));
        }
        self.letters.check()
    }

    /// Why the consumer ended, which says more than that something is closed. Deliveries before
    /// that are the broker's again.
    fn told_by_consumer(&mut self) -> Option<Loss> {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match self.poll_consumer(&mut cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(loss)) => return Some(loss),
                Poll::Pending => return None,
            }
        }
    }

    fn poll_count(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Loss>> {
        if self.counting.is_none() {
            ready!(self.count.poll_tick(cx));
            let connection = self.consume.connection();
            let with_letters = self.letters_unknown.is_multiple_of(COUNTS_PER_TRY);
            let options = Arc::clone(&self.options);
            let counting = count(connection, options, self.sharing, with_letters);
            self.counting = Some(Box::pin(counting));
        }
        let Some(counting) = &mut self.counting else {
            return Poll::Pending;
        };
        let counted = ready!(counting.as_mut().poll(cx));
        self.counting = None;
        self.count.reset();
        match (counted, self.sharing) {
            (Ok(mut counted), _) => {
                let unknown = self.letters_unknown;
                self.letters_unknown = counted.dead_letters.map_or(unknown + 1, |_| 0);
                if !self.consuming.is_active() {
                    // Our own probes count, and we may consume again before the next count.
                    counted.share = self.sharing.among(counted.consumers + 1);
                }
                Poll::Ready(Ok(Event::Counted(counted)))
            }
            // Only told, and worth no session: consuming shows by itself whether the queue is there.
            (Err(_), Sharing::SingleActiveConsumer) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            (Err(loss), Sharing::ByCount) => Poll::Ready(Err(loss)),
        }
    }

    /// Lets go of a lost session: what still answers is told goodbye, nothing is waited for
    /// longer than the close limit, and nothing unsent is sent.
    pub(super) async fn abandon(self) {
        let Self {
            consuming,
            channel,
            settling,
            letters,
            consume,
            publish,
            ..
        } = self;
        drop(settling);
        // The loss is known; how the goodbye goes changes nothing.
        let _ = tokio::join!(consume.close(), publish.close());
        drop((consuming, channel, letters));
    }

    /// Sends what is to be settled and closes both connections. Ok means that the broker has
    /// taken every settlement: it answers the close of a channel after all that came before, and how the
    /// connections end after that changes nothing.
    pub(super) async fn close(mut self) -> Result<(), Loss> {
        let limit = self.options.timing.call;
        self.consume.backlog.lift();
        std::future::poll_fn(|cx| self.poll_settlements(cx)).await?;
        self.consuming.end().await?;
        // lapin takes a connection for broken that closes while a channel on it opens.
        if let Some(counting) = self.counting.take() {
            let _ = counting.await;
        }
        if let Some(mending) = self.mending.take() {
            let _ = mending.await;
        }
        within(
            limit,
            "channel.close",
            self.channel.close(200, "bye".into()),
        )
        .await?;
        let _ = tokio::join!(self.consume.close(), self.publish.close());
        Ok(())
    }
}

/// A connection also tells of channels that were closed, which those who use them see for
/// themselves; a refused declaration closes one every time.
fn end_of_connection(event: lapin::Event) -> Option<Loss> {
    match event {
        lapin::Event::Error(error) if !error.is_amqp_soft_error() => Some(error.into()),
        _ => None,
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
