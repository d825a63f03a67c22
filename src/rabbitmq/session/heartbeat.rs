//! Regular requests that show whether the broker is still there; an answer counts from the time of its request.
//!
//! A cut connection gives no sign for two heartbeats, and a suspended process does not know for how long it stood
//! still. By then the broker may have given the queue to another worker.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use futures_util::future::FusedFuture;
use lapin::{Channel, options::BasicQosOptions};
use tokio::time::{Interval, Sleep, sleep};

use super::{Call, call, every};
use crate::rabbitmq::{Loss, Options};

/// Requests in the time for which an answer is valid.
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

    /// Notes that something came from the broker: the answer may be queued behind it.
    pub(super) fn heard(&mut self) {
        if !self.question.is_terminated() {
            self.be_patient();
        }
    }

    fn be_patient(&mut self) {
        let until = tokio::time::Instant::now() + self.limit;
        self.patience.as_mut().reset(until);
    }

    /// Waits for an answer, and returns the time of its request. Cancel-safe. The request sets the prefetch for the
    /// channel's next consumer, so it repeats the current one.
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
