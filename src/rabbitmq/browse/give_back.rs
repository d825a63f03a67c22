//! What was taken and is not done goes back to the queue, in its order, and none of it is lost.

use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use tokio::time::{Instant, sleep};

use super::{BETWEEN_COUNTS, BrowseError, Browser, Range, renew::Renewer};
use crate::rabbitmq::{Loss, connection::loss::within, message};

/// How long letters that were given back may take to be in the queue again.
const RETURN: Duration = Duration::from_secs(15);

impl Browser {
    /// Gives back all that was not acknowledged, in order, and waits until it is in the queue again.
    ///
    /// # Errors
    /// When the connection is lost: the broker gives it back itself.
    pub async fn give_back(&mut self) -> Result<(), BrowseError> {
        for range in 0..self.ranges.len() {
            self.apply_acks(range).await?;
        }
        self.renew().await?;
        let limit = self.options.timing.call;
        let held = std::mem::take(&mut self.held);
        let ranges = std::mem::take(&mut self.ranges);
        for Range { channel, .. } in &ranges {
            if !channel.status().connected() {
                continue;
            }
            if self.is_new() {
                let all = BasicNackOptions {
                    multiple: true,
                    requeue: true,
                };
                // Tag 0 is all.
                within(limit, "basic.nack", channel.basic_nack(0, all))
                    .await
                    .map_err(Loss::from)?;
            }
            let close = channel.close(200, "bye".into());
            within(limit, "channel.close", close)
                .await
                .map_err(Loss::from)?;
        }
        if held > 0 && !ranges.is_empty() {
            self.wait_for(held).await?;
        }
        Ok(())
    }

    /// Waits until the queue has applied the acknowledgements of a range. A channel that has many on their way keeps
    /// some to itself, and would take them with it when it is closed: letters that are done would be back.
    ///
    /// A `basic.get` is answered by the queue, after what it was sent before; when the second is answered, the
    /// channel knows what became of its acknowledgements and has sent the rest. Letters that came meanwhile are held.
    async fn apply_acks(&mut self, range: usize) -> Result<(), Loss> {
        let channel = match self.ranges.get(range) {
            Some(range) if range.acknowledged && range.channel.status().connected() => {
                range.channel.clone()
            }
            _ => return Ok(()),
        };
        for _ in 0..2 {
            let queue = self.options.dead_letter_queue.as_str().into();
            let get = channel.basic_get(queue, BasicGetOptions::default());
            let got = within(self.options.timing.call, "basic.get", get).await?;
            if let Some(got) = got {
                self.hold(range, message::delivery(0, got.delivery, None, &mut None));
            }
        }
        Ok(())
    }

    /// Writes to the queue once more what the broker would drop now. It is behind the others then, and its returns are
    /// counted from the beginning.
    async fn renew(&mut self) -> Result<(), BrowseError> {
        let spent = std::mem::take(&mut self.spent);
        if spent.is_empty() {
            return Ok(());
        }
        let count = spent.len();
        let failed = |why: String| BrowseError::NotRenewed { count, why };
        let connected = Renewer::connect(&self.options).await;
        let mut renewer = connected.map_err(|loss| failed(loss.to_string()))?;
        for (place, message) in spent {
            renewer.write(&message).await.map_err(failed)?;
            // What is not acknowledged is dropped: that comes to the same.
            if let Some(range) = self.ranges.get(place.range) {
                let ack = range
                    .channel
                    .basic_ack(place.tag, BasicAckOptions::default());
                let _ = within(self.options.timing.call, "basic.ack", ack).await;
            }
        }
        renewer.close().await;
        Ok(())
    }

    /// Waits until so many letters are ready, as the next command expects them. Another program may take some.
    async fn wait_for(&mut self, held: u64) -> Result<(), BrowseError> {
        let end = Instant::now() + RETURN;
        while u64::from(self.depth().await?) < held && Instant::now() < end {
            sleep(BETWEEN_COUNTS / 2).await;
        }
        Ok(())
    }
}
