//! Why there is no session: one variant per thing somebody should do about it.
//!
//! Texts are ours, plus the AMQP reply code. The broker's own text is never part of one, and
//! neither is a URL.

use std::{fmt, future::Future, time::Duration};

use lapin::ErrorKind;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    #[error("rabbitmq.url number {position} is not a usable amqp:// or amqps:// URL")]
    BadUrl { position: usize },
    #[error("the TLS settings of rabbitmq are not usable: {cause}")]
    BadTls { cause: String },
    #[error("{broker} cannot be reached: {cause}")]
    Unreachable { broker: String, cause: String },
    #[error(
        "{broker} refused the login (AMQP reply {code}): check the user, password and virtual host in rabbitmq.url"
    )]
    LoginRefused { broker: String, code: u16 },
    #[error("{part} {name:?} does not exist: create it, or set rabbitmq.declare = true")]
    Missing { part: Part, name: String },
    #[error(
        "the broker's user lacks permissions on {part} {name:?}: grant them; with rabbitmq.declare = false it needs fewer"
    )]
    Denied { part: Part, name: String },
    #[error("the broker did not answer {operation} within {limit:?}")]
    Silent {
        operation: &'static str,
        limit: Duration,
    },
    #[error(
        "the broker cancelled the consumer: the queue was deleted or moved, or a delivery was held past the consumer timeout"
    )]
    Cancelled,
    #[error("the broker closed the {scope} with AMQP reply {code}")]
    Closed { scope: &'static str, code: u16 },
    #[error("the connection broke: {cause}")]
    Broken { cause: String },
    #[error(
        "the messages in hand are too large for rabbitmq.prefetch: given back once, consuming again with a prefetch of {prefetch}"
    )]
    TooLarge { prefetch: u16 },
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
pub(super) enum CallError {
    Silent {
        operation: &'static str,
        limit: Duration,
    },
    Failed(lapin::Error),
}

/// lapin gives none of its calls a timeout; every one goes through here.
pub(super) async fn within<T>(
    limit: Duration,
    operation: &'static str,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(CallError::Failed),
        Err(_) => Err(CallError::Silent { operation, limit }),
    }
}

pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
pub(super) const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

impl CallError {
    pub(super) fn reply_code(&self) -> Option<u16> {
        match self {
            Self::Failed(error) => reply_code(error),
            Self::Silent { .. } => None,
        }
    }

    /// The broker's own text: to be understood, never to be shown.
    pub(super) fn reply_text(&self) -> Option<&str> {
        match self {
            Self::Failed(error) => match error.kind() {
                ErrorKind::ProtocolError(error) => Some(error.get_message().as_str()),
                _ => None,
            },
            Self::Silent { .. } => None,
        }
    }

    /// The loss when this happened while connecting and logging in.
    pub(super) fn while_connecting(self, broker: &str) -> Loss {
        let broker = broker.to_owned();
        match self {
            Self::Silent { limit, .. } => Loss::Unreachable {
                broker,
                cause: format!("no AMQP answer within {limit:?}"),
            },
            Self::Failed(error) => match reply_code(&error) {
                Some(code @ (ACCESS_REFUSED | NOT_ALLOWED)) => Loss::LoginRefused { broker, code },
                Some(_) => Loss::from(error),
                None => Loss::Unreachable {
                    broker,
                    cause: cause(&error),
                },
            },
        }
    }
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
        match reply_code(&error) {
            Some(code) => Self::Closed {
                scope: if error.is_amqp_soft_error() {
                    "channel"
                } else {
                    "connection"
                },
                code,
            },
            None => Self::Broken {
                cause: cause(&error),
            },
        }
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
