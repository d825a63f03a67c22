//! Why there is no session: one variant per thing somebody should do about it.
//!
//! Texts are ours, plus the AMQP reply code. The broker's own text is never part of one, and
//! neither is a URL.

use std::{fmt, future::Future, time::Duration};

use lapin::ErrorKind;

use super::{cause::Cause, frames::Farewell};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// `broker` is host and port, or which URL it is of those that are set.
    #[error("cannot connect to {broker}: {cause}")]
    NotConnected { broker: String, cause: Cause },
    /// Of several URLs none is of use. Each broker with its reason.
    #[error("none of the URLs in rabbitmq.url can be used: {}", Each(.0))]
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
        Argument(argument)
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
        "the messages in hand are too large for rabbitmq.prefetch: given back once, consuming again with a prefetch of {prefetch}"
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
    /// The reason that the broker gave for closing the connection, where this loss only says that it is closed.
    pub(crate) fn explained(self, farewell: &Farewell) -> Self {
        match (self, farewell.reply()) {
            (Self::Broken { .. } | Self::Silent { .. }, Some((code, text))) => {
                Cause::of_reply(code, text).map_or(
                    Self::Closed {
                        scope: "connection",
                        code,
                    },
                    Self::Ended,
                )
            }
            (loss, _) => loss,
        }
    }
}

struct Each<'a>(&'a [(String, Loss)]);

impl fmt::Display for Each<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (broker, loss)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            match loss {
                Loss::NotConnected { cause, .. } => write!(f, "{separator}{broker}: {cause}")?,
                loss => write!(f, "{separator}{broker}: {loss}")?,
            }
        }
        Ok(())
    }
}

struct Argument<'a>(&'a Option<String>);

impl fmt::Display for Argument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(argument) => write!(f, " ({argument} differs)"),
            None => Ok(()),
        }
    }
}

/// A thing on the broker that has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Exchange,
    Queue,
    DeadLetterExchange,
    DeadLetterQueue,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exchange => "exchange",
            Self::Queue => "queue",
            Self::DeadLetterExchange => "dead-letter exchange",
            Self::DeadLetterQueue => "dead-letter queue",
        })
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

/// lapin gives none of its calls a timeout; every one goes through here.
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

pub(crate) const ACCESS_REFUSED: u16 = 403;
pub(crate) const NOT_FOUND: u16 = 404;
const RESOURCE_LOCKED: u16 = 405;
pub(crate) const PRECONDITION_FAILED: u16 = 406;

impl CallError {
    pub(crate) fn reply_code(&self) -> Option<u16> {
        match self {
            Self::Failed(error) => reply_code(error),
            Self::Silent { .. } => None,
        }
    }

    /// The broker's own text: to be understood, never to be shown.
    pub(crate) fn reply_text(&self) -> Option<&str> {
        match self {
            Self::Failed(error) => match error.kind() {
                ErrorKind::ProtocolError(error) => Some(error.get_message().as_str()),
                _ => None,
            },
            Self::Silent { .. } => None,
        }
    }

    /// The loss when the broker refuses something that is done to `part`.
    pub(crate) fn about(self, part: Part, name: &str) -> Loss {
        let name = name.to_owned();
        let text = self.reply_text().unwrap_or_default();
        let has = |words: &str| text.contains(words);
        match self.reply_code() {
            Some(NOT_FOUND) if is_down(text) => Loss::Down { part, name },
            Some(NOT_FOUND) => Loss::Missing { part, name },
            Some(ACCESS_REFUSED) if has("reserved prefix") => Loss::Reserved { part, name },
            Some(ACCESS_REFUSED) if has("exclusive use") => Loss::Exclusive { part, name },
            Some(RESOURCE_LOCKED) => Loss::Exclusive { part, name },
            Some(ACCESS_REFUSED) => Loss::Denied {
                part,
                name,
                permission: permission(text),
            },
            Some(code @ PRECONDITION_FAILED) => match Cause::of_reply(code, text) {
                Some(cause) => Loss::Ended(cause),
                None => Loss::Precondition {
                    part,
                    name,
                    argument: argument(text),
                },
            },
            _ => self.into(),
        }
    }
}

/// Whether a queue is there, and what would serve it is not.
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

/// Which permission a refusal asks for. Newer brokers say it.
fn permission(text: &str) -> &'static str {
    let named = ["configure", "write", "read"].into_iter().zip([
        "the configure permission",
        "the write permission",
        "the read permission",
    ]);
    let asked = |word: &str| text.contains(&format!("{word} access to"));
    named
        .into_iter()
        .find_map(|(word, permission)| asked(word).then_some(permission))
        .unwrap_or("a permission")
}

/// The argument of a queue or exchange that is another than the declared one.
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
        let ErrorKind::ProtocolError(reply) = error.kind() else {
            return match error.kind() {
                ErrorKind::ChannelsLimitReached => Self::Ended(Cause::ChannelMax),
                _ => Self::Broken {
                    cause: cause(&error),
                },
            };
        };
        let code = reply.get_id();
        let scope = match error.is_amqp_soft_error() {
            true => "channel",
            false => "connection",
        };
        Cause::of_reply(code, reply.get_message().as_str())
            .map_or(Self::Closed { scope, code }, Self::Ended)
    }
}

fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
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
