//! Whether the broker is still there: it is asked again and again, and an answer counts from the question.
//!
//! A connection that is cut off gives no sign for two heartbeats, and a process that stood still does not
//! know for how long. The broker may have given the queue to another worker by then.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use futures_util::future::FusedFuture;
use lapin::{Channel, options::BasicQosOptions};
use tokio::time::{Interval, Sleep, sleep};

use super::{Call, call, every};
use crate::rabbitmq::{Loss, Options};

/// Questions in the time for which an answer holds.
const QUESTIONS: u32 = 5;

pub(super) struct Heartbeat {
    channel: Channel,
    /// How long to wait for an answer before the session counts as lost.
    limit: Duration,
    tick: Interval,
    question: Call<Instant>,
    patience: Pin<Box<Sleep>>,
}

impl Heartbeat {
    pub(super) fn new(channel: Channel, options: &Options) -> Self {
        Self {
            channel,
            limit: options.timing.call,
            tick: every(options.lease() / QUESTIONS),
            question: Call::terminated(),
            patience: Box::pin(sleep(options.timing.call)),
        }
    }

    /// Something came from the broker. The answer may be behind a lot of it.
    pub(super) fn heard(&mut self) {
        if !self.question.is_terminated() {
            self.be_patient();
        }
    }

    fn be_patient(&mut self) {
        let until = tokio::time::Instant::now() + self.limit;
        self.patience.as_mut().reset(until);
    }

    /// When a question was asked that is answered now. Cancel-safe. The next consumer of the channel is to have this
    /// prefetch, whatever is asked in between.
    pub(super) async fn answer(&mut self, prefetch: u16) -> Result<Instant, Loss> {
        if self.question.is_terminated() {
            self.tick.tick().await;
            let (channel, since) = (self.channel.clone(), Instant::now());
            self.question = call(async move {
                // What was agreed already, so that nothing changes. It is answered behind whatever the
                // broker sent before.
                let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
                qos.await?;
                Ok(since)
            });
            self.be_patient();
        }
        tokio::select! {
            biased;
            answer = &mut self.question => answer,
            () = &mut self.patience => Err(Loss::Silent {
                operation: "basic.qos",
                limit: self.limit,
            }),
        }
    }
}
