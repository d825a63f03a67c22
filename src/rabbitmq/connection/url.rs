//! The broker's URL, as the AMQP client understands it.

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// RabbitMQ's default, in bytes. lapin allocates buffers for 32 such frames in each direction: if the size is known
/// in advance, the system provides untouched memory; if the broker sets it, lapin writes to all 16 MB of two
/// connections.
const FRAME_MAX: u32 = 131_072;
/// RabbitMQ 4.1 and newer refuse less.
const FRAME_MIN: u32 = 8_192;
/// lapin allocates its buffers before it connects: a frame size of a few MiB exhausts a container's memory.
const FRAME_LIMIT: u32 = 1_048_576;
/// Channels that the worker has open at the same time on one connection.
pub(crate) const CHANNELS: u16 = 8;
/// The protocol's longest name, in bytes. lapin panics on a longer one.
const LONGEST_NAME: usize = 255;

const PARAMETERS: [&str; 4] = ["auth_mechanism", "channel_max", "frame_max", "heartbeat"];

/// Why a URL is not usable. Of the URL it contains only values of known parameters: a password may be anywhere
/// else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    #[error("is not a URL ({0}); write amqp://user:password@host:5672/%2f, percent-encoded")]
    Malformed(#[from] url::ParseError),
    #[error("must start with amqp:// or amqps://")]
    Scheme,
    #[error("names no host; write amqp://host:5672/%2f")]
    NoHost,
    #[error(
        "has an invalid host; use letters, digits, dots, hyphens and underscores, or an IP address"
    )]
    Host,
    #[error("has port 0; write a number from 1 to 65535, or none for the default")]
    Port,
    #[error(
        "has more than one / after the host; write a / in the vhost as %2f, and separate several URLs with commas"
    )]
    Path,
    #[error("has a raw @ or # after the host; percent-encode them, / and ? in the password")]
    NotEncoded,
    #[error(
        "has a parameter that does not exist; there are auth_mechanism, channel_max, frame_max and heartbeat"
    )]
    UnknownParameter,
    #[error("has the parameter {0} twice; remove one of them")]
    Twice(&'static str),
    #[error("has heartbeat={0:?}; write the seconds as a whole number from 0 to 65535, such as 10")]
    Heartbeat(String),
    #[error(
        "has channel_max={0:?}; write a whole number from {CHANNELS} to 65535, or remove it: the worker needs {CHANNELS} channels"
    )]
    ChannelMax(String),
    #[error(
        "has frame_max={0:?}; write a whole number from {FRAME_MIN} to {FRAME_LIMIT}, or remove it: RabbitMQ 4.1 and newer need {FRAME_MIN} bytes"
    )]
    FrameMax(String),
    #[error("has auth_mechanism={0:?}; write plain, amqplain, external or anonymous, or remove it")]
    AuthMechanism(String),
    #[error(
        "has percent escapes that are not UTF-8 in its user, password or vhost; write %25 for a percent sign, and the vhost / as %2f"
    )]
    Escapes,
    #[error("has a vhost longer than {LONGEST_NAME} bytes")]
    LongVhost,
}

/// Checks `text`, which is one URL.
///
/// # Errors
/// When the AMQP client would refuse or misread it.
pub fn check_url(text: &str) -> Result<(), UrlProblem> {
    parse(text).map(drop)
}

/// A URL with our heartbeat and frame size, unless it sets its own.
pub(super) fn uri(url: &SecretString, heartbeat: u16) -> Result<AMQPUri, UrlProblem> {
    let mut uri = parse(url.expose_secret())?;
    uri.query.heartbeat.get_or_insert(heartbeat);
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    Ok(uri)
}

/// The heartbeat of connections to this URL, in seconds; none where it is not usable.
pub(crate) fn heartbeat(url: &SecretString, default: u16) -> Option<u16> {
    uri(url, default).ok()?.query.heartbeat
}

fn parse(text: &str) -> Result<AMQPUri, UrlProblem> {
    let url = Url::parse(text.trim())?;
    if !matches!(url.scheme(), "amqp" | "amqps") {
        return Err(UrlProblem::Scheme);
    }
    let host = match url.host() {
        None | Some(url::Host::Domain("")) => return Err(UrlProblem::NoHost),
        Some(url::Host::Ipv6(address)) => Some(address.to_string()),
        Some(url::Host::Domain(name)) if !name.bytes().all(is_of_a_host) => {
            return Err(UrlProblem::Host);
        }
        Some(_) => None,
    };
    // In `amqp://user:12/34@host` the host is `user`, and half the password is the path.
    if url.path().contains('@') || url.fragment().is_some() {
        return Err(UrlProblem::NotEncoded);
    }
    if url.path().matches('/').count() > 1 {
        return Err(UrlProblem::Path);
    }
    if url.port() == Some(0) {
        return Err(UrlProblem::Port);
    }
    parameters(&url)?;
    // What else it can be wrong about is only the escapes: the rest was looked at above.
    let mut uri: AMQPUri = url.as_str().parse().map_err(|_| UrlProblem::Escapes)?;
    if uri.vhost.len() > LONGEST_NAME {
        return Err(UrlProblem::LongVhost);
    }
    // lapin takes an IPv6 address for no host at all, and would go to localhost.
    if let Some(address) = host {
        uri.authority.host = address;
    }
    Ok(uri)
}

/// Names of services in a container network have underscores, too.
fn is_of_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

fn parameters(url: &Url) -> Result<(), UrlProblem> {
    let mut seen = Vec::new();
    for (name, value) in url.query_pairs() {
        let known = PARAMETERS.into_iter().find(|known| *known == name);
        let known = known.ok_or(UrlProblem::UnknownParameter)?;
        if seen.contains(&known) {
            return Err(UrlProblem::Twice(known));
        }
        seen.push(known);
        let fine = match known {
            "heartbeat" => value.parse::<u16>().is_ok(),
            // 0 is what the broker allows.
            "channel_max" => value.parse().is_ok_and(|n: u16| n == 0 || n >= CHANNELS),
            "frame_max" => value
                .parse()
                .is_ok_and(|n: u32| n == 0 || (FRAME_MIN..=FRAME_LIMIT).contains(&n)),
            _ => ["plain", "amqplain", "external", "anonymous"]
                .contains(&value.to_lowercase().as_str()),
        };
        if !fine {
            // In `amqp://user:1?heartbeat=secret@host` it is the end of a password.
            if value.contains('@') {
                return Err(UrlProblem::NotEncoded);
            }
            let value = value.into_owned();
            return Err(match known {
                "heartbeat" => UrlProblem::Heartbeat(value),
                "channel_max" => UrlProblem::ChannelMax(value),
                "frame_max" => UrlProblem::FrameMax(value),
                _ => UrlProblem::AuthMechanism(value),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> AMQPUri {
        uri(&SecretString::from(url), 10).expect("a usable URL")
    }

    #[test]
    fn an_ipv6_address_is_not_taken_for_localhost() {
        let uri = parsed("amqp://u:p@[2001:db8::7]:5673/%2f");
        assert_eq!(uri.authority.host, "2001:db8::7");
        assert_eq!(uri.authority.port, 5673);
    }

    #[test]
    fn the_url_may_set_its_own_heartbeat_and_frame_size() {
        assert_eq!(parsed("amqp://h/%2f").query.heartbeat, Some(10));
        assert_eq!(parsed("amqp://h/%2f?heartbeat=3").query.heartbeat, Some(3));
        assert_eq!(parsed("amqp://h/%2f").query.frame_max, Some(FRAME_MAX));
        assert_eq!(
            parsed("amqp://h/%2f?frame_max=8192").query.frame_max,
            Some(8192)
        );
    }

    #[test]
    fn whatever_the_client_would_refuse_or_misread_is_refused_without_showing_a_password() {
        let text = |text: &str| text.to_owned();
        let long = format!("amqp://h/{}", "v".repeat(256));
        for (url, expected) in [
            (
                "amqp://h/%2f?heartbeat=abc",
                UrlProblem::Heartbeat(text("abc")),
            ),
            (
                "amqp://h/%2f?heartbeat=70000",
                UrlProblem::Heartbeat(text("70000")),
            ),
            ("amqp://h/%2f?heartbeat=", UrlProblem::Heartbeat(text(""))),
            (
                "amqp://h/%2f?heartbeat=-1",
                UrlProblem::Heartbeat(text("-1")),
            ),
            (
                "amqp://h/%2f?channel_max=abc",
                UrlProblem::ChannelMax(text("abc")),
            ),
            (
                "amqp://h/%2f?channel_max=4",
                UrlProblem::ChannelMax(text("4")),
            ),
            (
                "amqp://h/%2f?frame_max=4096",
                UrlProblem::FrameMax(text("4096")),
            ),
            (
                "amqp://h/%2f?frame_max=128k",
                UrlProblem::FrameMax(text("128k")),
            ),
            (
                "amqp://h/%2f?frame_max=4294967295",
                UrlProblem::FrameMax(text("4294967295")),
            ),
            ("amqp://u:p@ho%20st/%2f", UrlProblem::Host),
            ("amqp://u:s3cret@a;b/%2f", UrlProblem::Host),
            ("amqp://h:0/%2f", UrlProblem::Port),
            ("amqp://a/%2f;amqp://b/%2f", UrlProblem::Path),
            ("amqp://a/team/b", UrlProblem::Path),
            (
                "amqp://h/%2f?auth_mechanism=foo",
                UrlProblem::AuthMechanism(text("foo")),
            ),
            (
                "amqp://h/%2f?heartbeat=1&heartbeat=2",
                UrlProblem::Twice("heartbeat"),
            ),
            ("amqp://u:1?heartbeat=s3cret@h", UrlProblem::NotEncoded),
            ("amqp://h/%FF", UrlProblem::Escapes),
            ("amqp://u%FF:p@h/%2f", UrlProblem::Escapes),
            ("amqp://u:s3cret%FF@h/%2f", UrlProblem::Escapes),
            (&long, UrlProblem::LongVhost),
            ("http://user:s3cret@host", UrlProblem::Scheme),
            ("amqp:///%2f", UrlProblem::NoHost),
            ("amqp:host", UrlProblem::NoHost),
            ("amqp://user:12/s3cret@host", UrlProblem::NotEncoded),
            ("amqp://user:12#s3cret@host", UrlProblem::NotEncoded),
            ("amqp://user:12?s3cret@host", UrlProblem::UnknownParameter),
            ("amqp://host/%2f?hartbeat=10", UrlProblem::UnknownParameter),
            (
                "amqp://user:s3cret/x@host",
                UrlProblem::Malformed(url::ParseError::InvalidPort),
            ),
            ("host:port", UrlProblem::Scheme),
        ] {
            let refused = check_url(url).expect_err(url);
            assert_eq!(refused, expected, "{url}");
            assert!(!refused.to_string().contains("s3cret"), "{refused}");
        }
        for url in [
            "amqp://[::1]:5672",
            "amqp://my_broker-1.example.com./",
            "amqps://u:p%40ss@h/a%2fb?channel_max=8&frame_max=8192&auth_mechanism=AMQPLAIN",
            "amqp://h/%2f?channel_max=0&frame_max=0&heartbeat=0",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
    }
}
