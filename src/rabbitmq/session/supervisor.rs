//! The supervisor: opens one session after the other, without limit.

use std::{future::pending, pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    task::JoinSet,
    time::{Sleep, sleep},
};

use super::{Session, Settlement};
use crate::rabbitmq::{
    Cause, Delivery, Event, Letter, Loss, Options, Timing, Warning, connection::first_of,
};

/// The broker as the worker's loop sees it: [`next`](Self::next) and commands that never wait.
///
/// Everything happens inside `next`, so it must be polled; dropping its future loses nothing.
pub struct Broker {
    options: Arc<Options>,
    phase: Phase,
    backoff: Backoff,
    /// The number of the newest session; the first is 1.
    sessions: u32,
    /// Position of the URL that worked last.
    position: usize,
    draining: bool,
    /// The prefetch; 0: not consuming. It outlives sessions.
    prefetch: u16,
    /// The broker failed, perhaps at a message. The prefetch is 1 until a session lasts, so that other messages are
    /// not returned with that one each time: returns count towards the queue's delivery limit.
    careful: bool,
    farewells: JoinSet<()>,
}

/// The position of a URL, a session on it, and warnings for the operator.
type Opened = (usize, (Session, Vec<Warning>));

enum Phase {
    Waiting(Pin<Box<Sleep>>),
    Opening(BoxFuture<'static, Result<Opened, Loss>>),
    Open(Box<Session>),
    /// Lost during a drain: there is nothing to reconnect for.
    Over,
}

impl Broker {
    /// Does not connect yet: the first [`next`](Self::next) does.
    ///
    /// # Panics
    ///
    /// Without a URL, or outside a tokio runtime.
    pub fn new(options: Options) -> Self {
        assert!(!options.urls.is_empty(), "a broker needs a URL");
        Self {
            backoff: Backoff::new(options.timing),
            prefetch: options.prefetch,
            options: Arc::new(options),
            phase: Phase::Waiting(Box::pin(sleep(Duration::ZERO))),
            sessions: 0,
            position: 0,
            draining: false,
            careful: false,
            farewells: JoinSet::new(),
        }
    }

    /// The next event. Cancel-safe.
    pub async fn next(&mut self) -> Event {
        loop {
            match &mut self.phase {
                Phase::Over => pending().await,
                Phase::Waiting(pause) => {
                    pause.await;
                    self.renew_access();
                    self.phase = Phase::Opening(self.open().boxed());
                }
                Phase::Opening(opening) => {
                    return match opening.await {
                        Ok(opened) => self.begin(opened),
                        Err(reason) => Event::NotOpened {
                            reason,
                            retry_in: self.wait(),
                        },
                    };
                }
                Phase::Open(session) => {
                    if self.careful && session.since.elapsed() >= self.options.timing.steady_after {
                        self.careful = false;
                        session.consume(self.prefetch);
                    }
                    return match session.next().await {
                        Ok(event) => event,
                        Err(reason) => self.lose(reason),
                    };
                }
            }
        }
    }

    /// Returns a delivery that has already arrived, so that one turn of the loop can take many.
    pub fn try_next(&mut self) -> Option<Delivery> {
        self.session()?.try_delivery()
    }

    /// Queues a settlement. One of an older session is dropped: its tag now names another delivery, and its own
    /// delivery is back at the broker.
    pub fn settle(&mut self, settlement: Settlement) {
        if let Some(session) = self.numbered(settlement.tag().session) {
            session.acks.push(settlement);
        }
    }

    /// Queues a letter. One of an older session is dropped, as its delivery will come again.
    pub fn publish_letter(&mut self, letter: Letter) {
        if let Some(session) = self.numbered(letter.session) {
            session.publish_letter(letter);
        }
    }

    /// Sets the prefetch for this session and later ones; 0 stops consuming, so that another consumer can take the
    /// queue. Deliveries that the broker has sent before are still returned, and can be settled.
    pub fn consume(&mut self, prefetch: u16) {
        self.prefetch = prefetch;
        let prefetch = self.prefetch_now();
        if let Some(session) = self.session() {
            session.consume(prefetch);
        }
    }

    /// Whether deliveries come from the consumer that was requested last. Those of an earlier one do not show that
    /// the queue is ours.
    pub fn consumes_as_asked(&mut self) -> bool {
        self.session()
            .is_some_and(|session| session.consuming.is_as_asked())
    }

    /// Returns all deliveries, and consumes with a lower `prefetch` in a new session: the protocol cannot lower it
    /// for an existing consumer.
    pub fn reopen(&mut self, prefetch: u16) {
        self.prefetch = prefetch;
        if let Some(session) = self.session() {
            session.end(Loss::TooLarge { prefetch });
        }
    }

    /// Starts the drain: no delivery is returned any more, acks and letters continue.
    pub fn stop_consuming(&mut self) {
        self.draining = true;
        match self.session() {
            Some(session) => session.stop_consuming(),
            None => self.phase = Phase::Over,
        }
    }

    /// Sends the queued settlements, then closes gracefully. Ok means that the broker has received every
    /// settlement; on Err it will redeliver some of the messages. Letters without an outcome are not waited for.
    /// Bounded by the call and close limits.
    pub async fn close(mut self) -> Result<(), Loss> {
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        let closed = match phase {
            Phase::Open(session) => session.close().await,
            Phase::Waiting(_) | Phase::Opening(_) | Phase::Over => Ok(()),
        };
        // Each is bounded by the close limit.
        while self.farewells.join_next().await.is_some() {}
        closed
    }

    fn prefetch_now(&self) -> u16 {
        self.prefetch.min(if self.careful { 1 } else { u16::MAX })
    }

    /// The session with this number, unless it is over.
    fn numbered(&mut self, number: u32) -> Option<&mut Session> {
        self.session().filter(|session| session.number == number)
    }

    fn session(&mut self) -> Option<&mut Session> {
        match &mut self.phase {
            Phase::Open(session) => Some(session),
            _ => None,
        }
    }

    fn renew_access(&mut self) {
        let newer = self.options.newer.as_ref();
        if let Some(access) = newer.and_then(|source| (source.0)())
            && !access.urls.is_empty()
        {
            let options = Arc::make_mut(&mut self.options);
            options.urls = access.urls;
            options.ca_pem = access.ca_pem;
            options.identity = access.identity;
        }
    }

    fn open(&self) -> impl Future<Output = Result<Opened, Loss>> + use<> {
        let (number, prefetch) = (self.sessions + 1, self.prefetch_now());
        let (options, position) = (Arc::clone(&self.options), self.position);
        async move {
            let open = |at| Session::open(number, Arc::clone(&options), at, prefetch);
            first_of(&options, position, open).await
        }
    }

    fn begin(&mut self, (position, (mut session, warnings)): Opened) -> Event {
        // It may have changed while the session was being opened.
        session.consume(self.prefetch_now());
        self.sessions = session.number;
        self.position = position;
        let share = session.share;
        self.phase = Phase::Open(Box::new(session));
        Event::Opened {
            session: self.sessions,
            share,
            warnings,
        }
    }

    fn lose(&mut self, reason: Loss) -> Event {
        if let Phase::Open(session) = std::mem::replace(&mut self.phase, Phase::Over) {
            if session.since.elapsed() >= self.options.timing.steady_after {
                self.backoff.reset();
            }
            while self.farewells.try_join_next().is_some() {}
            self.farewells.spawn(session.abandon());
        }
        self.careful |= reason == Loss::Ended(Cause::Internal);
        Event::Lost {
            session: self.sessions,
            reason,
            retry_in: (!self.draining).then(|| self.wait()),
        }
    }

    fn wait(&mut self) -> Duration {
        let pause = self.backoff.next();
        self.phase = Phase::Waiting(Box::pin(sleep(pause)));
        pause
    }
}

/// Exponential backoff without a limit of attempts, with full jitter, so that replicas do not reconnect in step.
struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    fn new(timing: Timing) -> Self {
        Self {
            min: timing.backoff_min,
            max: timing.backoff_max,
            ceiling: timing.backoff_min,
        }
    }

    fn next(&mut self) -> Duration {
        let pause = self.ceiling.mul_f64(fastrand::f64());
        self.ceiling = (self.ceiling * 2).min(self.max);
        pause
    }

    fn reset(&mut self) {
        self.ceiling = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_its_maximum_and_starts_anew() {
        let timing = Timing {
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            ..Timing::default()
        };
        let mut backoff = Backoff::new(timing);
        let mut ceilings = Vec::new();
        for _ in 0..9 {
            let ceiling = backoff.ceiling;
            ceilings.push(ceiling.as_millis());
            assert!(backoff.next() <= ceiling);
        }
        assert_eq!(
            ceilings,
            [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
        );
        backoff.reset();
        assert_eq!(backoff.ceiling, Duration::from_millis(250));
    }
}
