//! Publishing events, each confirmed, many in flight.

use bytes::Bytes;
use lapin::{BasicProperties, types::ShortString};

use super::{Lanes, LetterRefusal, Outgoing, PUBLISH};
use crate::rabbitmq::{Loss, Options, connection::Link};

/// Events between publish and confirm at the same time.
const LANES: usize = 64;

/// One event to be published to the exchange of [`Options`].
#[derive(Clone, Copy, Debug)]
pub struct Publishing<'a> {
    pub routing_key: &'a str,
    pub body: &'a [u8],
    pub content_type: &'a str,
    pub message_id: &'a str,
    /// The AMQP property `type`.
    pub kind: &'a str,
}

/// Why an event is not, or may not be, in a queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("event {number}: {refusal}")]
    Refused { number: u64, refusal: LetterRefusal },
    #[error("event {number}: its routing key, id or type is longer than 255 bytes")]
    TooLong { number: u64 },
    #[error("events that were not confirmed may be lost: {0}")]
    Lost(#[from] Loss),
}

/// A publishing connection. Every error is final: reconnect.
pub struct Publisher {
    link: Link,
    lanes: Lanes,
    exchange: ShortString,
    published: u64,
    confirmed: u64,
}

impl Publisher {
    /// Connects to the first URL that answers.
    pub async fn connect(options: Options) -> Result<Self, Loss> {
        let link = Link::open_any(&options, "tagsweep publish").await?;
        let opened = Lanes::open(&link, LANES.min(link.channel_max().into())).await;
        Ok(Self {
            lanes: opened.map_err(|error| Loss::from(error).explained(&link.farewell))?,
            link,
            exchange: options.exchange.as_str().into(),
            published: 0,
            confirmed: 0,
        })
    }

    /// Sends one event, waiting only where too many are unconfirmed. An error may be about an
    /// earlier event: events are numbered from 1 as they were given.
    pub async fn publish(&mut self, event: Publishing<'_>) -> Result<(), PublishError> {
        self.published += 1;
        let number = self.published;
        let outgoing = self
            .outgoing(event)
            .ok_or(PublishError::TooLong { number })?;
        self.lanes.push(number, outgoing);
        while self.lanes.unconfirmed() >= LANES {
            self.settle_one().await?;
        }
        Ok(())
    }

    /// Number of confirmed events.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Waits until every event is confirmed.
    pub async fn flush(&mut self) -> Result<(), PublishError> {
        while self.lanes.unconfirmed() > 0 {
            self.settle_one().await?;
        }
        Ok(())
    }

    /// Waits for all confirms, then closes gracefully, if the broker answers in time.
    pub async fn close(mut self) -> Result<(), PublishError> {
        self.flush().await?;
        // What is confirmed is in a queue, however the goodbye goes.
        let _ = self.link.close().await;
        Ok(())
    }

    async fn settle_one(&mut self) -> Result<(), PublishError> {
        let limit = self.link.timing.confirm;
        let next = tokio::time::timeout(limit, self.lanes.next()).await;
        let (number, outcome) = next.map_err(|_| Loss::Silent {
            operation: PUBLISH,
            limit,
        })??;
        outcome.map_err(|refused| PublishError::Refused {
            number,
            refusal: refused.why,
        })?;
        self.confirmed += 1;
        Ok(())
    }

    fn outgoing(&self, event: Publishing<'_>) -> Option<Outgoing> {
        let short = |text: &str| ShortString::try_new(text).ok();
        Some(Outgoing {
            exchange: self.exchange.clone(),
            routing_key: short(event.routing_key)?,
            body: Bytes::copy_from_slice(event.body),
            properties: BasicProperties::default()
                .with_delivery_mode(2)
                .with_content_type(short(event.content_type)?)
                .with_message_id(short(event.message_id)?)
                .with_type(short(event.kind)?),
        })
    }
}
