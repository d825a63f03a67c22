//! Publishes dead letters as events again, to the queue of events directly: no other queue gets them.

use bytes::Bytes;
use lapin::{
    BasicProperties,
    types::{AMQPValue, ShortString},
};

use crate::letter::{DROPPED, Marks, ONLY_USERS};
use crate::rabbitmq::{
    LetterRefusal, Loss, Message, Options,
    connection::Link,
    publish::{Lanes, Outgoing, PUBLISH, Refused, letter_properties, room},
    topology::Scratch,
};

/// Events between publish and confirm at the same time.
const LANES: usize = 64;

/// What is published in place of a body that was left out.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The AMQP property `type`.
    pub kind: String,
    /// JSON.
    pub body: Vec<u8>,
}

/// A publishing connection of its own: a broker that blocks publishers must not keep acknowledgements.
pub struct Republisher {
    link: Link,
    lanes: Lanes,
    width: usize,
    queue: ShortString,
}

impl Republisher {
    /// Connects to the first URL that answers.
    ///
    /// # Errors
    /// When none does, or the queue of events is known to lose messages.
    pub async fn connect(options: &Options) -> Result<Self, Loss> {
        let link = Link::open_any(options, "tagsweep dead-letters").await?;
        let mut scratch = Scratch::new(link.connection(), options.timing.call);
        scratch.queue_keeps_events(options).await?;
        let width = LANES.min(link.channel_max().into());
        let opened = Lanes::open(&link, width).await;
        Ok(Self {
            lanes: opened.map_err(|error| Loss::from(error).explained(&link.farewell))?,
            link,
            width,
            queue: options.queue.as_str().into(),
        })
    }

    /// Whether another event may be published before one is confirmed.
    pub fn has_room(&self) -> bool {
        self.lanes.unconfirmed() < self.width
    }

    /// Number of events without an outcome.
    pub fn unconfirmed(&self) -> usize {
        self.lanes.unconfirmed()
    }

    /// Publishes the message with these headers of ours in place of those that it has. False: they do not fit into a
    /// frame, and nothing is published.
    pub fn publish(
        &mut self,
        id: u64,
        message: &Message,
        marks: Marks,
        rewritten: Option<Rewritten>,
    ) -> bool {
        let properties = letter_properties(message, marks, room(self.link.frame_max()));
        if lacks_users(&properties) {
            return false;
        }
        let (properties, body) = match rewritten {
            None => (properties, message.body.clone()),
            Some(Rewritten { kind, body }) => {
                let Ok(kind) = ShortString::try_new(kind) else {
                    return false;
                };
                (of_json(&properties, kind), Bytes::from(body))
            }
        };
        self.lanes.push(
            id,
            Outgoing {
                exchange: ShortString::default(),
                routing_key: self.queue.clone(),
                body,
                properties,
            },
        );
        true
    }

    /// The next outcome. Cancel-safe. Never ready while nothing is unconfirmed.
    ///
    /// # Errors
    /// When the connection is lost: events without an outcome may be in the queue.
    pub async fn next(&mut self) -> Result<(u64, Result<(), LetterRefusal>), Loss> {
        let limit = self.link.timing.confirm;
        let next = tokio::time::timeout(limit, self.lanes.next()).await;
        let silent = || Loss::Silent {
            operation: PUBLISH,
            limit,
        };
        let next = next.unwrap_or_else(|_| Err(silent()));
        let (id, outcome) = next.map_err(|loss| loss.explained(&self.link.farewell))?;
        Ok((id, outcome.map_err(|Refused { why, .. }| why)))
    }

    /// Closes gracefully, if the broker answers in time.
    ///
    /// # Errors
    /// When it does not. Whatever was confirmed stays so.
    pub async fn close(self) -> Result<(), Loss> {
        self.link.close().await
    }
}

/// Without all of them, the event would be done for too few.
fn lacks_users(properties: &BasicProperties) -> bool {
    let headers = properties.headers().as_ref();
    let Some(AMQPValue::FieldArray(dropped)) =
        headers.and_then(|headers| headers.inner().get(DROPPED))
    else {
        return false;
    };
    let is_users = |name: &AMQPValue| matches!(name, AMQPValue::LongString(name) if name.as_bytes() == ONLY_USERS.as_bytes());
    dropped.as_slice().iter().any(is_users)
}

/// The properties of the original, as far as they are not about its body.
fn of_json(from: &BasicProperties, kind: ShortString) -> BasicProperties {
    let mut to = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_type(kind);
    if let Some(headers) = from.headers() {
        to = to.with_headers(headers.clone());
    }
    if let Some(id) = from.message_id() {
        to = to.with_message_id(id.clone());
    }
    if let Some(time) = from.timestamp() {
        to = to.with_timestamp(*time);
    }
    if let Some(app) = from.app_id() {
        to = to.with_app_id(app.clone());
    }
    to
}
