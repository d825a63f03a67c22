//! Why the dead-letter queue cannot be read: one variant for each remedy.

use crate::rabbitmq::Loss;

#[derive(Debug, thiserror::Error)]
pub enum BrowseError {
    #[error(
        "another tagsweep command or console is working on {queue:?}: try again when it has ended (the broker notices a broken connection within half a minute)"
    )]
    Busy { queue: String },
    #[error(
        "the broker's user may not create queue {name:?}, which keeps two commands apart: grant it the configure permission (docs/OPERATIONS.md, Permissions)"
    )]
    MayNotLock { name: String },
    #[error(
        "dead-letter queue {queue:?} does not exist: check rabbitmq.dead_letter_queue and the virtual host in rabbitmq.url, or create it with `tagsweep check --declare`"
    )]
    Missing { queue: String },
    #[error(
        "dead-letter queue {queue:?} is a stream, and nothing can be taken from a stream: bind a quorum queue to the dead-letter exchange and name it in rabbitmq.dead_letter_queue"
    )]
    Stream { queue: String },
    #[error(
        "dead-letter queue {queue:?} has a single active consumer, so it cannot be read while another program consumes it, nor in ranges: declare it again without x-single-active-consumer (`tagsweep check --declare` creates it so)"
    )]
    SingleActiveConsumer { queue: String },
    #[error(
        "dead-letter queue {queue:?} holds {waiting} messages but delivers none ({consumers} other consumers): stop the program that consumes it; if there is none, the queue has a single active consumer or is a stream, and must be declared again as a plain quorum queue"
    )]
    NotDelivered {
        queue: String,
        waiting: u32,
        consumers: u32,
    },
    #[error(
        "dead-letter queue {queue:?} drops a message after {limit} returns, and one of them was returned {returned} times; reading it counts as a return before RabbitMQ 4.3: raise its delivery-limit by a policy, or read it all the same with --force"
    )]
    NearLimit {
        queue: String,
        limit: u32,
        returned: u32,
    },
    #[error(
        "{count} messages were returned as often as the dead-letter queue's delivery limit allows, and could not be written to it again ({why}): the broker drops them, or moves them to that queue's own dead-letter exchange"
    )]
    NotRenewed { count: usize, why: String },
    #[error(transparent)]
    Lost(#[from] Loss),
}
