//! What becomes of each AMQP property of a message in its dead letter.

use lapin::BasicProperties;

/// The properties of a message, so that what becomes of each is decided in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Property {
    ContentType,
    ContentEncoding,
    Headers,
    DeliveryMode,
    Priority,
    CorrelationId,
    ReplyTo,
    Expiration,
    MessageId,
    Timestamp,
    Type,
    UserId,
    AppId,
    ClusterId,
}

/// What becomes of a property in a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    /// Kept unless the broker refuses the letter.
    KeptIfTaken,
    /// Made by us, or left out.
    NotCopied,
}

impl Property {
    pub(crate) const ALL: [Property; 14] = [
        Property::ContentType,
        Property::ContentEncoding,
        Property::Headers,
        Property::DeliveryMode,
        Property::Priority,
        Property::CorrelationId,
        Property::ReplyTo,
        Property::Expiration,
        Property::MessageId,
        Property::Timestamp,
        Property::Type,
        Property::UserId,
        Property::AppId,
        Property::ClusterId,
    ];

    pub(crate) fn fate(self) -> Fate {
        match self {
            Property::ContentType
            | Property::ContentEncoding
            | Property::MessageId
            | Property::Timestamp
            | Property::Type
            | Property::AppId => Fate::Kept,
            // amq.rabbitmq.reply-to is refused from whoever does not consume from it.
            Property::ReplyTo | Property::CorrelationId | Property::Priority => Fate::KeptIfTaken,
            // Chosen one by one.
            Property::Headers
            // A letter is always persistent.
            | Property::DeliveryMode
            // A letter waits for a person.
            | Property::Expiration
            // It must be the publishing user, which it no longer is.
            | Property::UserId
            // Means nothing since AMQP 0-9-1.
            | Property::ClusterId => Fate::NotCopied,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Property::ContentType => "content-type",
            Property::ContentEncoding => "content-encoding",
            Property::Headers => "headers",
            Property::DeliveryMode => "delivery-mode",
            Property::Priority => "priority",
            Property::CorrelationId => "correlation-id",
            Property::ReplyTo => "reply-to",
            Property::Expiration => "expiration",
            Property::MessageId => "message-id",
            Property::Timestamp => "timestamp",
            Property::Type => "type",
            Property::UserId => "user-id",
            Property::AppId => "app-id",
            Property::ClusterId => "cluster-id",
        }
    }

    /// `to` with the property of `from`; none where that has none.
    pub(crate) fn copy(
        self,
        from: &BasicProperties,
        to: &BasicProperties,
    ) -> Option<BasicProperties> {
        let to = to.clone();
        match self {
            Property::ContentType => Some(to.with_content_type(from.content_type().clone()?)),
            Property::ContentEncoding => {
                Some(to.with_content_encoding(from.content_encoding().clone()?))
            }
            Property::Headers => Some(to.with_headers(from.headers().clone()?)),
            Property::DeliveryMode => Some(to.with_delivery_mode((*from.delivery_mode())?)),
            Property::Priority => Some(to.with_priority((*from.priority())?)),
            Property::CorrelationId => Some(to.with_correlation_id(from.correlation_id().clone()?)),
            Property::ReplyTo => Some(to.with_reply_to(from.reply_to().clone()?)),
            Property::Expiration => Some(to.with_expiration(from.expiration().clone()?)),
            Property::MessageId => Some(to.with_message_id(from.message_id().clone()?)),
            Property::Timestamp => Some(to.with_timestamp((*from.timestamp())?)),
            Property::Type => Some(to.with_type(from.kind().clone()?)),
            Property::UserId => Some(to.with_user_id(from.user_id().clone()?)),
            Property::AppId => Some(to.with_app_id(from.app_id().clone()?)),
            Property::ClusterId => Some(to.with_cluster_id(from.cluster_id().clone()?)),
        }
    }
}

/// `to` with those of these properties that `from` has.
pub(crate) fn copy(
    properties: impl Iterator<Item = Property>,
    from: &BasicProperties,
    to: BasicProperties,
) -> BasicProperties {
    properties.fold(to, |to, property| property.copy(from, &to).unwrap_or(to))
}
