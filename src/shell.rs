//! The engine's side of the worker's loop: makes the calls that the engine requests and passes it the answers.
//!
//! A source drives it, such as the queue in [`crate::worker`]: the source reports what came in and carries out the
//! engine's [`Order`]s. The shell decides nothing. It reports everything that happens to its [`Watch`], once.

mod calls;
mod inquiry;
mod watch;
mod wiring;

use std::time::{Duration, Instant};

use crate::config::Settings;
use crate::engine::{Action, Delivery, Engine, Input, Letter, Settlement, Status};
use crate::im::Client;
use crate::traces::Traces;
use calls::{Call, Calls, answer};
pub(crate) use inquiry::InHand;
use inquiry::Question;
pub use inquiry::{Inquirer, Inquiries, NoAnswer, View, Who, Wish, inquiries};
pub(crate) use watch::Watch;
pub use watch::{Pause, Recent, SLOT, SLOTS, Slot, Stall, State};
pub(crate) use wiring::certificates;
pub use wiring::{SetupError, client_options};

pub(crate) struct Shell {
    engine: Engine,
    client: Client,
    calls: Calls,
    pub(crate) watch: Watch,
}

/// What the engine must know of its source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// How long after a sign of life of the broker no other worker uses the same source. None if none could.
    pub(crate) lease: Option<Duration>,
    /// How many finished events may wait for an older one, to be settled together.
    pub(crate) out_of_order: usize,
    /// It is a list of users: the log speaks of them alone.
    pub(crate) is_list: bool,
}

/// An action that the engine requests from a source.
#[derive(Debug)]
pub(crate) enum Order {
    Decode(Delivery),
    Settle(Settlement),
    Consume { prefetch: usize },
    DeadLetter(Letter),
}

impl Shell {
    pub(crate) fn new(
        settings: &Settings,
        source: Source,
        traces: Option<&Traces>,
    ) -> Result<Shell, SetupError> {
        let now = Instant::now();
        Ok(Shell {
            engine: Engine::new(wiring::engine_settings(settings, source)?, now),
            client: Client::new(client_options(&settings.im)?).map_err(SetupError::Client)?,
            calls: Calls::default(),
            watch: Watch::new(settings, source, traces, now)?,
        })
    }

    /// Passes an input to the engine.
    pub(crate) fn tell(&mut self, now: Instant, input: Input<'_>) {
        self.engine.handle(now, input);
    }

    /// Executes the engine's actions, and returns the next one that only the source can execute.
    pub(crate) fn order(&mut self) -> Option<Order> {
        loop {
            // The time of a call's start must be its own: the quota is kept by it.
            let now = Instant::now();
            match self.engine.poll(now)? {
                Action::Call {
                    window,
                    users,
                    trigger,
                } => {
                    let span = self.watch.calling(&users, trigger);
                    self.calls.start(&self.client, window, users, trigger, span);
                }
                Action::RenewUserSig => self.client.renew_user_sig(),
                Action::Notice(notice) => self.watch.notice(now, notice),
                Action::Decode(delivery) => return Some(Order::Decode(delivery)),
                Action::Settle(settlement) => return Some(Order::Settle(settlement)),
                Action::Consume { prefetch } => return Some(Order::Consume { prefetch }),
                Action::DeadLetter(letter) => return Some(Order::DeadLetter(letter)),
            }
        }
    }

    /// Starts the calls that were created since the last turn.
    pub(crate) async fn let_calls_start(&mut self) {
        self.calls.let_start().await;
    }

    /// Waits until calls have ended or the engine is due, whichever comes first. Cancel-safe.
    pub(crate) async fn turn(&mut self) {
        let deadline = self.engine.deadline(Instant::now());
        tokio::select! {
            first = self.calls.next() => {
                self.answered(first);
                while let Some(call) = self.calls.try_next() {
                    self.answered(call);
                }
                self.watch.clock_skew(self.client.clock_skew());
                self.watch.secret(self.client.secret_trouble());
            }
            () = until(deadline) => {}
        }
    }

    fn answered(&mut self, mut call: Call) {
        let now = Instant::now();
        self.watch.call_over(now, &mut call);
        let input = Input::Answered {
            window: call.window,
            answer: answer(call.reply),
        };
        self.engine.handle(now, input);
        self.watch.judged(now, &self.engine.status(now).tally);
    }

    /// Rereads the secrets at the next call.
    pub(crate) fn reread_secrets(&self) {
        self.watch.rereading();
        self.client.reread_secret();
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.engine.is_drained()
    }

    pub(crate) fn summary(&mut self) {
        let now = Instant::now();
        self.watch.summary(now, &self.engine.status(now));
    }

    pub(crate) fn reply_to(&mut self, question: Question, in_hand: InHand) {
        let now = Instant::now();
        let mut view = || self.watch.view(now, self.engine.status(now), in_hand);
        // Whoever asked may have gone away.
        match question {
            Question::View(reply) => drop(reply.send(view())),
            Question::Metrics(reply) => {
                let view = view();
                drop(reply.send(self.watch.metrics(&view)));
            }
            Question::Operator(wish, reply) => drop(reply.send(self.heed(now, &wish))),
        }
    }

    /// Returns whether the wish changes anything.
    fn heed(&mut self, now: Instant, wish: &Wish) -> bool {
        let paused = self.engine.status(now).operator_pause;
        if paused.is_some() == wish.pause {
            return false;
        }
        let input = match wish.pause {
            true => Input::OperatorPause,
            false => Input::OperatorResume,
        };
        self.engine.handle(now, input);
        self.watch.operator(now, wish, paused);
        true
    }

    pub(crate) fn status(&self) -> Status {
        self.engine.status(Instant::now())
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
