//! Causes of connection failures: one variant for each remedy.
//!
//! Causes are recognised by socket errors, and by the reply codes and texts of RabbitMQ 3.10 to 4.x. The texts are
//! ours: a broker's own text is never part of one, and neither is a URL or a user.

use std::{fmt, io, net::SocketAddr, time::Duration};

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::{stream::Spoken, url::UrlProblem};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("the URL {0}")]
    Url(UrlProblem),

    // Finding it.
    #[error("the host name cannot be resolved: check the host in rabbitmq.url, and DNS")]
    UnknownHost,
    #[error("the host name was not resolved within {limit:?}: check DNS")]
    LookupTimeout { limit: Duration },
    #[error(
        "connection refused: nothing listens there; check host and port in rabbitmq.url, and that RabbitMQ is running"
    )]
    Refused,
    #[error("{step} timed out after {limit:?}: check host and port, and firewalls on the way")]
    Timeout { step: &'static str, limit: Duration },
    #[error("unreachable ({kind}): check the network and firewalls on the way")]
    Unreachable { kind: io::ErrorKind },
    #[error("no address of the host accepts a connection: {}", each(.0))]
    Addresses(Vec<(SocketAddr, Cause)>),

    // Speaking with it.
    #[error(
        "the port speaks TLS and rabbitmq.url says amqp://: write amqps://, or use the plain port (5672 by default)"
    )]
    TlsSpoken,
    #[error(
        "the port speaks AMQP without TLS and rabbitmq.url says amqps://: use the TLS port (5671 by default), or write amqp://"
    )]
    TlsNotSpoken,
    #[error(
        "the port answers in HTTP, not in AMQP: use the AMQP port (5672, with TLS 5671; 15672 is the management UI)"
    )]
    Http,
    #[error("the server on the port does not speak AMQP: check host and port in rabbitmq.url")]
    NotAmqp,
    #[error(
        "the broker does not speak AMQP 0-9-1: tagsweep needs RabbitMQ with its AMQP 0-9-1 listener"
    )]
    OtherVersion,
    #[error(
        "the connection was closed before any AMQP answer: check that the port is a plain AMQP port (TLS and HTTP ports do this, and proxies without a backend)"
    )]
    ClosedBeforeAnswer,
    #[error(
        "the connection was closed after the TLS handshake, before any AMQP answer: the broker may require a client certificate that it trusts (rabbitmq.cert_file, rabbitmq.key_file)"
    )]
    ClosedAfterHandshake,
    #[error(
        "the connection was accepted, but nothing was received for {limit:?}: check that the port is a plain AMQP port (HTTP ports do this), and that the broker is not overloaded"
    )]
    Mute { limit: Duration },
    #[error("the connection was closed during the login: see the broker's log for the reason")]
    ClosedDuringLogin,

    // TLS.
    #[error("the TLS settings of rabbitmq are not usable: {cause}")]
    TlsSettings { cause: String },
    #[error(
        "no trusted CA certificates found, neither by SSL_CERT_FILE or SSL_CERT_DIR nor in the system's folders (such as /etc/ssl/certs){}: set rabbitmq.ca_file, or install the package ca-certificates",
        in_brackets((!errors.is_empty()).then(|| errors.join("; ")))
    )]
    NoTrustRoots { errors: Vec<String> },
    #[error(
        "the broker's certificate is signed by an unknown authority: set rabbitmq.ca_file to the certificate of the CA"
    )]
    UnknownAuthority,
    #[error(
        "the broker's certificate is expired: renew it on the broker; if it is not, check this machine's clock"
    )]
    Expired,
    #[error("the broker's certificate is not valid yet: check this machine's clock")]
    NotValidYet,
    #[error(
        "the broker's certificate is for another name: use a host in rabbitmq.url that the certificate names"
    )]
    OtherName,
    #[error("the broker's certificate is not usable ({0}): check the certificate on the broker")]
    Certificate(String),
    #[error(
        "the broker refused our client certificate or the lack of one ({0}): set rabbitmq.cert_file and rabbitmq.key_file to a certificate of a CA that the broker trusts"
    )]
    ClientCertificate(String),
    #[error(
        "the TLS handshake failed ({0}): the broker must offer TLS 1.2 or 1.3 with a usual cipher suite"
    )]
    Handshake(String),
    #[error(
        "the connection was closed during the TLS handshake: check that the port is the broker's TLS port (5671 by default)"
    )]
    ClosedInHandshake,

    // Logging in.
    #[error(
        "the broker refused user or password: check them in rabbitmq.url or the login files (by default, the user guest may log in only from the broker's own machine)"
    )]
    Credentials,
    #[error(
        "the broker does not offer the authentication mechanism {asked}, only {offered}: add ?auth_mechanism= with one of them to rabbitmq.url, or enable {asked} on the broker"
    )]
    Mechanism { asked: String, offered: String },
    #[error(
        "the virtual host does not exist: check the last part of rabbitmq.url (the vhost / is written %2f), or create it"
    )]
    VhostMissing,
    #[error(
        "the user has no access to the virtual host: grant it with rabbitmqctl set_permissions, or use another vhost in rabbitmq.url"
    )]
    VhostRefused,
    #[error(
        "the virtual host is down: restart it with rabbitmqctl restart_vhost, and see the broker's log"
    )]
    VhostDown,
    #[error(
        "the connection limit of the virtual host is reached{}: raise it with rabbitmqctl set_vhost_limits (max-connections; a worker needs 2), or close other connections", in_brackets(*limit)
    )]
    VhostConnections { limit: Option<u64> },
    #[error(
        "the connection limit of the user is reached{}: raise it with rabbitmqctl set_user_limits (max-connections; a worker needs 2), or close other connections", in_brackets(*limit)
    )]
    UserConnections { limit: Option<u64> },
    #[error(
        "the connection limit of the broker node is reached{}: raise connection_max in rabbitmq.conf, or close other connections", in_brackets(*limit)
    )]
    NodeConnections { limit: Option<u64> },
    #[error(
        "the channel limit of the user is reached{}: raise it with rabbitmqctl set_user_limits (max-channels; a worker needs 12)", in_brackets(*limit)
    )]
    UserChannels { limit: Option<u64> },
    #[error(
        "the channel limit of the broker node is reached{}: raise channel_max_per_node in rabbitmq.conf, or close other connections", in_brackets(*limit)
    )]
    NodeChannels { limit: Option<u64> },
    #[error(
        "too few channels are allowed on one connection: raise channel_max in rabbitmq.conf or in rabbitmq.url (a worker needs 8)"
    )]
    ChannelMax,
    #[error(
        "the broker does not accept the frame size: remove frame_max from rabbitmq.url, or set frame_max in rabbitmq.conf to 8192 or more"
    )]
    FrameMax,

    // Being used.
    #[error(
        "a delivery was held past the broker's consumer timeout: set rabbitmq.consumer_timeout to what the broker has, and rabbitmq.hold_limit below it"
    )]
    ConsumerTimeout,
    #[error("the broker is shutting down")]
    Shutdown,
    #[error("the broker closed the connection because its user was deleted: check rabbitmq.url")]
    UserDeleted,
    #[error(
        "the broker closed the connection because its virtual host was deleted: check rabbitmq.url"
    )]
    VhostDeleted,
    #[error("an operator closed the connection")]
    ClosedByOperator,
    #[error(
        "the queue limit of the virtual host or cluster is reached{}: raise it (rabbitmqctl set_vhost_limits, max-queues), or delete queues", in_brackets(*limit)
    )]
    QueueLimit { limit: Option<u64> },
    #[error("the broker lacks a resource (AMQP reply 506): see its alarms and its log")]
    Resource,
    #[error(
        "the broker failed (AMQP reply 541): see its log; if this repeats, it cannot convert a message of AMQP 1.0 for delivery: docs/OPERATIONS.md, A message that RabbitMQ cannot deliver"
    )]
    Internal,
    #[error("the broker closed the connection with AMQP reply {code}: see its log")]
    Reply { code: u16 },
}

pub(crate) const ACCESS_REFUSED: u16 = 403;
pub(crate) const NOT_FOUND: u16 = 404;
pub(crate) const RESOURCE_LOCKED: u16 = 405;
pub(crate) const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

impl Cause {
    pub(super) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            kind => Self::Unreachable { kind },
        }
    }

    pub(super) fn of_addresses(mut failures: Vec<(SocketAddr, Self)>) -> Self {
        match failures.len() {
            1 => failures.remove(0).1,
            _ => Self::Addresses(failures),
        }
    }

    pub(super) fn of_handshake(error: &io::Error, spoken: Spoken) -> Self {
        match (spoken, tls_error(error)) {
            (Spoken::AmqpHeader | Spoken::Amqp, _) => Self::TlsNotSpoken,
            (Spoken::Http, _) => Self::Http,
            (Spoken::Unknown, _) => Self::NotAmqp,
            (_, Some(error)) => Self::of_tls(error),
            (_, None) => Self::ClosedInHandshake,
        }
    }

    pub(super) fn of_tls(error: &TlsError) -> Self {
        use AlertDescription as Alert;
        use CertificateError as Bad;
        match error {
            TlsError::InvalidCertificate(bad) => match bad {
                Bad::UnknownIssuer => Self::UnknownAuthority,
                Bad::Expired | Bad::ExpiredContext { .. } => Self::Expired,
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => Self::NotValidYet,
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Self::OtherName,
                bad => Self::Certificate(format!("{bad:?}")),
            },
            TlsError::AlertReceived(
                alert @ (Alert::CertificateRequired
                | Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied),
            ) => Self::ClientCertificate(format!("{alert:?}")),
            error => Self::Handshake(error.to_string()),
        }
    }

    /// The cause of a connection that ended without a reply during login.
    pub(super) fn of_silent_end(error: Option<&io::Error>, spoken: Spoken, is_tls: bool) -> Self {
        if let Some(error) = error.and_then(tls_error) {
            return Self::of_tls(error);
        }
        match spoken {
            Spoken::Nothing if is_tls => Self::ClosedAfterHandshake,
            Spoken::Nothing => Self::ClosedBeforeAnswer,
            Spoken::Amqp => Self::ClosedDuringLogin,
            Spoken::AmqpHeader => Self::OtherVersion,
            Spoken::Http => Self::Http,
            Spoken::Tls => Self::TlsSpoken,
            Spoken::Unknown => Self::NotAmqp,
        }
    }

    /// The cause for a reply that concerns no exchange or queue.
    pub(super) fn of_reply(code: u16, text: &str) -> Option<Self> {
        let has = |part: &str| text.contains(part);
        let limit = number(text);
        Some(match code {
            311 | 501 if has("frame") => Self::FrameMax,
            320 if has("shutdown") => Self::Shutdown,
            320 if has("user") && has("deleted") => Self::UserDeleted,
            320 if has("vhost") && (has("deleted") || has("down")) => Self::VhostDeleted,
            320 => Self::ClosedByOperator,
            ACCESS_REFUSED if has("Login was refused") || has("login refused") => Self::Credentials,
            PRECONDITION_FAILED if has("delivery acknowledgement") && has("timed out") => {
                Self::ConsumerTimeout
            }
            PRECONDITION_FAILED if has("queue limit") => Self::QueueLimit { limit },
            506 => Self::Resource,
            NOT_ALLOWED | 541 if has("vhost") && has("is down") => Self::VhostDown,
            541 => Self::Internal,
            NOT_ALLOWED if has("vhost") && has("not found") => Self::VhostMissing,
            NOT_ALLOWED if has("user connection limit") => Self::UserConnections { limit },
            NOT_ALLOWED if has("node connection limit") => Self::NodeConnections { limit },
            NOT_ALLOWED if has("connection limit") => Self::VhostConnections { limit },
            NOT_ALLOWED if has("maximum allowed user limit") => Self::UserChannels { limit },
            NOT_ALLOWED if has("channel") && has("node") && has("limit") => {
                Self::NodeChannels { limit }
            }
            NOT_ALLOWED if has("channel_max") => Self::ChannelMax,
            NOT_ALLOWED if has("frame_max") => Self::FrameMax,
            NOT_ALLOWED if has("access to") => Self::VhostRefused,
            _ => return None,
        })
    }

    /// [`of_reply`](Self::of_reply) while logging in, when every refusal ends the connection.
    pub(super) fn of_login_reply(code: u16, text: &str) -> Self {
        Self::of_reply(code, text).unwrap_or(match code {
            ACCESS_REFUSED => Self::Credentials,
            NOT_FOUND => Self::VhostMissing,
            code => Self::Reply { code },
        })
    }

    /// Whether another address of the same name may work.
    pub(super) fn is_of_the_address(&self) -> bool {
        matches!(
            self,
            Self::Refused
                | Self::Timeout { .. }
                | Self::Unreachable { .. }
                | Self::Addresses(_)
                | Self::Mute { .. }
                | Self::ClosedBeforeAnswer
                | Self::ClosedAfterHandshake
                | Self::ClosedInHandshake
                | Self::Shutdown
        )
    }
}

fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

/// The number in brackets that ends or nearly ends a text about a limit.
fn number(text: &str) -> Option<u64> {
    let (_, behind) = text.rsplit_once('(')?;
    behind.split_once(')')?.0.parse().ok()
}

/// Formats a text in brackets, if there is one.
pub(super) fn in_brackets(told: Option<impl fmt::Display>) -> String {
    told.map(|told| format!(" ({told})")).unwrap_or_default()
}

fn each(causes: &[(SocketAddr, Cause)]) -> String {
    let told = causes.iter();
    let told = told.map(|(address, cause)| format!("{}: {cause}", address.ip()));
    told.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
