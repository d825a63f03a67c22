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
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{
    Options,
    loss::{CallError, within},
};

/// Questions in the time for which an answer holds.
const QUESTIONS: u32 = 5;

type Question = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

pub(super) struct Contact {
    channel: Channel,
    prefetch: u16,
    /// How long to wait for an answer before the session counts as lost.
    limit: Duration,
    tick: Interval,
    asked: Option<(Instant, Question)>,
}

impl Contact {
    pub(super) fn new(channel: Channel, prefetch: u16, options: &Options) -> Self {
        let mut tick = interval(options.lease() / QUESTIONS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            channel,
            prefetch,
            limit: options.timing.call,
            tick,
            asked: None,
        }
    }

    /// The next consumer of the channel is to have this prefetch, whatever is asked in between.
    pub(super) fn set_prefetch(&mut self, prefetch: u16) {
        self.prefetch = prefetch;
    }

    /// When a question was asked that is answered now.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Instant, CallError>> {
        if self.asked.is_none() {
            ready!(self.tick.poll_tick(cx));
            let (channel, prefetch, limit) = (self.channel.clone(), self.prefetch, self.limit);
            let question = async move {
                // What was agreed already, so that nothing changes. It is answered behind whatever the
                // broker sent before.
                let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
                within(limit, "basic.qos", qos).await
            };
            self.asked = Some((Instant::now(), Box::pin(question)));
        }
        let Some((since, question)) = &mut self.asked else {
            return Poll::Pending;
        };
        let since = *since;
        let answer = ready!(question.as_mut().poll(cx));
        self.asked = None;
        Poll::Ready(answer.map(|()| since))
    }
}
