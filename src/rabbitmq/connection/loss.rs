//! Why there is no session: one variant for each remedy.
//!
//! Texts are ours, plus the AMQP reply code. The broker's own text is never part of one, and
//! neither is a URL.

use std::{fmt, future::Future, time::Duration};

use lapin::ErrorKind;

use super::{
    cause::{ACCESS_REFUSED, Cause, NOT_FOUND, PRECONDITION_FAILED, RESOURCE_LOCKED, in_brackets},
    frames::Farewell,
};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// `broker` is host and port, or which URL it is of those that are set.
    #[error("cannot connect to {broker}: {cause}")]
    NotConnected { broker: String, cause: Cause },
    /// None of several URLs is usable. Each broker with its reason.
    #[error("none of the URLs in rabbitmq.url can be used: {}", each(.0))]
    Several(Vec<(String, Loss)>),
    #[error(
        "{part} {name:?} does not exist: create it, or set rabbitmq.declare = true so that tagsweep does"
    )]
    Missing { part: Part, name: String },
    #[error(
        "{part} {name:?} exists but is unavailable, as its broker node or its process is down: see the broker's log, start the node again, or replace the queue with a quorum queue"
    )]
    Down { part: Part, name: String },
    #[error(
        "the broker's user lacks permissions on {part} {name:?}: grant it {permission} with rabbitmqctl set_permissions; with rabbitmq.declare = false it needs fewer"
    )]
    Denied {
        part: Part,
        name: String,
        permission: &'static str,
    },
    #[error(
        "{part} {name:?} is in exclusive use by another connection: stop that client, or use another queue"
    )]
    Exclusive { part: Part, name: String },
    #[error(
        "{part} {name:?} cannot be created: names that begin with amq. are reserved; choose another name"
    )]
    Reserved { part: Part, name: String },
    #[error(
        "{part} {name:?} cannot be created or used as it is{}: see the broker's log; delete it, or choose another name",
        in_brackets(argument.as_ref().map(|argument| format!("{argument} differs")))
    )]
    Precondition {
        part: Part,
        name: String,
        argument: Option<String>,
    },
    #[error(
        "queue {name:?} can lose messages: {how}; use another queue, or set rabbitmq.accept_lossy_queue = true"
    )]
    LosesMessages { name: String, how: String },
    #[error("the broker did not answer {operation} within {limit:?}")]
    Silent {
        operation: &'static str,
        limit: Duration,
    },
    #[error(
        "the broker cancelled the consumer: the queue was deleted or moved, or a delivery was held past the consumer timeout"
    )]
    Cancelled,
    #[error(
        "the unacknowledged messages are too large for rabbitmq.prefetch: returned once, consuming with a prefetch of {prefetch}"
    )]
    TooLarge { prefetch: u16 },
    /// A reply that is about no exchange or queue.
    #[error("{0}")]
    Ended(Cause),
    #[error("the broker closed the {scope} with AMQP reply {code}: see its log")]
    Closed { scope: &'static str, code: u16 },
    #[error("the connection broke: {cause}")]
    Broken { cause: String },
}

impl Loss {
    /// Replaces a mere "closed" with the reason that the broker gave for closing the connection.
    pub(crate) fn explained(self, farewell: &Farewell) -> Self {
        match (self, farewell.reply()) {
            (Self::Broken { .. } | Self::Silent { .. }, Some((code, text))) => {
                Self::of_reply("connection", code, text)
            }
            (loss, _) => loss,
        }
    }

    fn of_reply(scope: &'static str, code: u16, text: &str) -> Self {
        Cause::of_reply(code, text).map_or(Self::Closed { scope, code }, Self::Ended)
    }
}

fn each(losses: &[(String, Loss)]) -> String {
    let told = losses.iter().map(|(broker, loss)| match loss {
        Loss::NotConnected { cause, .. } => format!("{broker}: {cause}"),
        loss => format!("{broker}: {loss}"),
    });
    told.collect::<Vec<_>>().join("; ")
}

/// An exchange or queue that must exist on the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Exchange,
    Queue,
    DeadLetterExchange,
    DeadLetterQueue,
}

impl Part {
    pub(in crate::rabbitmq) fn name(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Queue => "queue",
            Self::DeadLetterExchange => "dead-letter exchange",
            Self::DeadLetterQueue => "dead-letter queue",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How one AMQP call failed.
#[derive(Debug)]
pub(crate) enum CallError {
    Silent {
        operation: &'static str,
        limit: Duration,
    },
    Failed(lapin::Error),
}

/// Runs a call of lapin with a timeout, which lapin itself does not have.
pub(crate) async fn within<T>(
    limit: Duration,
    operation: &'static str,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(CallError::Failed),
        Err(_) => Err(CallError::Silent { operation, limit }),
    }
}

impl CallError {
    /// The reply with which the broker refused the call. Its text is only parsed, never shown.
    pub(crate) fn reply(&self) -> Option<(u16, &str)> {
        match self {
            Self::Failed(error) => reply(error),
            Self::Silent { .. } => None,
        }
    }

    pub(crate) fn reply_code(&self) -> Option<u16> {
        self.reply().map(|(code, _)| code)
    }

    /// The loss when the broker refuses an operation on `part`.
    pub(crate) fn about(self, part: Part, name: &str) -> Loss {
        let Some((code, text)) = self.reply() else {
            return self.into();
        };
        let has = |words: &str| text.contains(words);
        let name = name.to_owned();
        match code {
            NOT_FOUND if is_down(text) => Loss::Down { part, name },
            NOT_FOUND => Loss::Missing { part, name },
            ACCESS_REFUSED if has("reserved prefix") => Loss::Reserved { part, name },
            ACCESS_REFUSED if has("exclusive use") => Loss::Exclusive { part, name },
            RESOURCE_LOCKED => Loss::Exclusive { part, name },
            ACCESS_REFUSED => Loss::Denied {
                part,
                name,
                permission: permission(text),
            },
            PRECONDITION_FAILED => Cause::of_reply(code, text).map_or_else(
                || Loss::Precondition {
                    part,
                    name,
                    argument: argument(text),
                },
                Loss::Ended,
            ),
            _ => self.into(),
        }
    }
}

/// Whether the queue exists but is unavailable.
fn is_down(text: &str) -> bool {
    [
        "down or inaccessible",
        "process is stopped by supervisor",
        "crashed and failed to restart",
        "due to timeout",
        "stopping or being demoted",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// The permission that a refusal requires. Newer brokers name it.
fn permission(text: &str) -> &'static str {
    let named = [
        ("configure access to", "the configure permission"),
        ("write access to", "the write permission"),
        ("read access to", "the read permission"),
    ];
    let asked = named.into_iter().find(|(words, _)| text.contains(words));
    asked.map_or("a permission", |(_, permission)| permission)
}

/// The argument of a queue or exchange that differs from the declared one.
fn argument(text: &str) -> Option<String> {
    let (_, behind) = text.split_once("arg '")?;
    let (argument, _) = behind.split_once('\'')?;
    Some(argument.to_owned())
}

impl From<CallError> for Loss {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Silent { operation, limit } => Self::Silent { operation, limit },
            CallError::Failed(error) => Self::from(error),
        }
    }
}

impl From<lapin::Error> for Loss {
    fn from(error: lapin::Error) -> Self {
        let Some((code, text)) = reply(&error) else {
            return match error.kind() {
                ErrorKind::ChannelsLimitReached => Self::Ended(Cause::ChannelMax),
                _ => Self::Broken {
                    cause: cause(&error),
                },
            };
        };
        let scope = match error.is_amqp_soft_error() {
            true => "channel",
            false => "connection",
        };
        Self::of_reply(scope, code, text)
    }
}

fn reply(error: &lapin::Error) -> Option<(u16, &str)> {
    match error.kind() {
        ErrorKind::ProtocolError(reply) => Some((reply.get_id(), reply.get_message().as_str())),
        _ => None,
    }
}

fn cause(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::MissingHeartbeatError => "no heartbeat from the broker".to_owned(),
        ErrorKind::InvalidChannelState(..) => "the channel is closed".to_owned(),
        ErrorKind::InvalidConnectionState(_) => "the connection is closed".to_owned(),
        ErrorKind::ParsingError(_) => "a frame could not be read".to_owned(),
        _ => "the AMQP client failed".to_owned(),
    }
}
