//! Whether the broker is still there: it is asked again and again, and an answer counts from the question.
//!
//! A connection that is cut off gives no sign for two heartbeats, and a process that stood still does not
//! know for how long. The broker may have given the queue to another worker by then.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use lapin::{Channel, options::BasicQosOptions};
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

use crate::rabbitmq::{Options, connection::loss::CallError};

/// Questions in the time for which an answer holds.
const QUESTIONS: u32 = 5;

type Question = Pin<Box<dyn Future<Output = lapin::Result<()>> + Send>>;

pub(crate) struct Contact {
    channel: Channel,
    prefetch: u16,
    /// How long to wait for an answer before the session counts as lost.
    limit: Duration,
    tick: Interval,
    asked: Option<(Instant, Question)>,
    patience: Pin<Box<Sleep>>,
}

impl Contact {
    pub(crate) fn new(channel: Channel, prefetch: u16, options: &Options) -> Self {
        let mut tick = interval(options.lease() / QUESTIONS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            channel,
            prefetch,
            limit: options.timing.call,
            tick,
            asked: None,
            patience: Box::pin(sleep(options.timing.call)),
        }
    }

    /// The next consumer of the channel is to have this prefetch, whatever is asked in between.
    pub(crate) fn set_prefetch(&mut self, prefetch: u16) {
        self.prefetch = prefetch;
    }

    /// Something came from the broker. The answer may be behind a lot of it.
    pub(crate) fn heard(&mut self) {
        if self.asked.is_some() {
            self.be_patient();
        }
    }

    fn be_patient(&mut self) {
        let until = tokio::time::Instant::now() + self.limit;
        self.patience.as_mut().reset(until);
    }

    /// When a question was asked that is answered now.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Instant, CallError>> {
        if self.asked.is_none() {
            ready!(self.tick.poll_tick(cx));
            let (channel, prefetch) = (self.channel.clone(), self.prefetch);
            let question = async move {
                // What was agreed already, so that nothing changes. It is answered behind whatever the
                // broker sent before.
                channel
                    .basic_qos(prefetch, BasicQosOptions::default())
                    .await
            };
            self.asked = Some((Instant::now(), Box::pin(question)));
            self.be_patient();
        }
        let Some((since, question)) = &mut self.asked else {
            return Poll::Pending;
        };
        let since = *since;
        let answer = match question.as_mut().poll(cx) {
            Poll::Ready(answer) => answer.map(|()| since).map_err(CallError::Failed),
            Poll::Pending => {
                ready!(self.patience.as_mut().poll(cx));
                Err(CallError::Silent {
                    operation: "basic.qos",
                    limit: self.limit,
                })
            }
        };
        self.asked = None;
        Poll::Ready(answer)
    }
}
