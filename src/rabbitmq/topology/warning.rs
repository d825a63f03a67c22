//! Warnings about queues and exchanges that differ from what tagsweep declares, with remedies.

use crate::rabbitmq::Part;

/// Something on the broker differs from what tagsweep declares.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error(
        "{part} {name:?} has other settings than tagsweep declares and is used as it is: {how}"
    )]
    Differs {
        part: Part,
        name: String,
        how: String,
    },
    #[error("{part} {name:?} can lose messages: {how}")]
    LosesMessages {
        part: Part,
        name: String,
        how: String,
    },
    #[error(
        "messages that RabbitMQ removes from queue {name:?} (delivery limit, maximum length, TTL) go to exchange {exchange:?}, not to tagsweep's dead-letter exchange: check that they are read there"
    )]
    ForeignDeadLetters { name: String, exchange: String },
    #[error(
        "queue {name:?} was declared without a dead-letter exchange: RabbitMQ drops an event that is returned more often than the delivery limit (20 by default since RabbitMQ 4; a policy can set another). Unless a policy sets one already: rabbitmqctl set_policy --vhost VHOST --apply-to queues tagsweep-events '^{name}$' '{{\"dead-letter-exchange\":\"{exchange}\",\"dead-letter-strategy\":\"at-least-once\",\"overflow\":\"reject-publish\"}}', or move to a new queue (docs/OPERATIONS.md, Moving to a new queue)"
    )]
    Drops { name: String, exchange: String },
    #[error(
        "queue {name:?} is not known to have a single active consumer: each replica counts consumers to find its share of the API quota, and is wrong for some seconds after a replica starts or stops"
    )]
    SharedByCount { name: String },
    #[error(
        "the settings of {part} {name:?} cannot be read without permission to configure it: check that it is durable and loses no messages, and set rabbitmq.delivery_limit to its delivery limit (20 is assumed otherwise)"
    )]
    SettingsUnknown { part: Part, name: String },
}
