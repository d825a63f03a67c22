//! Letters that were returned so often that the broker drops them when they are given back.

use lapin::types::ShortString;
use tokio::time::timeout;

use crate::rabbitmq::{
    Loss, Message, Options,
    connection::Link,
    publish::{Lanes, Outgoing, Refused, copied_properties},
};

/// Writes them to their queue once more, one after the other, so that they keep their order.
pub(super) struct Renewer {
    link: Link,
    lane: Lanes,
    queue: ShortString,
}

impl Renewer {
    pub(super) async fn connect(options: &Options) -> Result<Self, Loss> {
        let link = Link::open_any(options, "tagsweep dead-letters").await?;
        let lane = Lanes::open(&link, 1).await.map_err(Loss::from)?;
        Ok(Self {
            link,
            lane,
            queue: options.dead_letter_queue.as_str().into(),
        })
    }

    /// Returns when the broker has it. What the broker refuses of a message is left out, as in any letter.
    pub(super) async fn write(&mut self, message: &Message) -> Result<(), String> {
        let mut outgoing = Outgoing {
            exchange: ShortString::default(),
            routing_key: self.queue.clone(),
            body: message.body.clone(),
            properties: copied_properties(message),
        };
        loop {
            self.lane.push(0, outgoing);
            let confirmed = timeout(self.link.timing.confirm, self.lane.next()).await;
            let confirmed = confirmed.map_err(|_| "no confirm in time".to_owned())?;
            let (_, outcome) = confirmed.map_err(|loss| loss.to_string())?;
            let Err(Refused {
                why,
                outgoing: refused,
            }) = outcome
            else {
                return Ok(());
            };
            let less = refused.with_less(why, self.queue.as_str());
            outgoing = less.ok_or_else(|| why.to_string())?;
        }
    }

    /// Closes gracefully, if the broker answers in time. Whatever was confirmed stays so.
    pub(super) async fn close(self) {
        let _ = self.link.close().await;
    }
}
