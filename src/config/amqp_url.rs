//! A broker's URL, whose password is never shown.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::{Host, Url};

/// The parameters that the AMQP client obeys; any other would be ignored in silence.
const PARAMETERS: [&str; 4] = ["auth_mechanism", "channel_max", "frame_max", "heartbeat"];

/// An `amqp://` or `amqps://` URL. `Display`, `Debug` and serde show `***` for its password.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpUrl(Url);

/// Why a text is not a usable broker URL. It does not hold the text: a password may be anywhere in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmqpUrl {
    #[error("is not a URL ({0}); write amqp://user:password@host:5672/%2f, percent-encoded")]
    Malformed(#[from] url::ParseError),
    #[error("must start with amqp:// or amqps://")]
    Scheme,
    #[error("names no host; write amqp://host:5672/%2f")]
    NoHost,
    #[error("has an IPv6 address, which the AMQP client takes for localhost; use a host name")]
    Ipv6,
    #[error("has a raw @ or # after the host; percent-encode them, / and ? in the password")]
    NotEncoded,
    #[error(
        "has a parameter that the AMQP client does not know; it knows auth_mechanism, channel_max, frame_max and heartbeat"
    )]
    Parameter,
}

impl AmqpUrl {
    /// Takes `text` as a broker URL.
    ///
    /// # Errors
    /// When the AMQP client would refuse it, or read something else out of it than stands there.
    pub fn parse(text: &str) -> Result<AmqpUrl, InvalidAmqpUrl> {
        let url = Url::parse(text.trim())?;
        if !matches!(url.scheme(), "amqp" | "amqps") {
            return Err(InvalidAmqpUrl::Scheme);
        }
        match url.host() {
            None | Some(Host::Domain("")) => return Err(InvalidAmqpUrl::NoHost),
            Some(Host::Ipv6(_)) => return Err(InvalidAmqpUrl::Ipv6),
            Some(_) => {}
        }
        // In `amqp://user:12/34@host` the host is `user`, and half the password is the path.
        if url.path().contains('@') || url.fragment().is_some() {
            return Err(InvalidAmqpUrl::NotEncoded);
        }
        if url
            .query_pairs()
            .any(|(name, _)| !PARAMETERS.contains(&name.as_ref()))
        {
            return Err(InvalidAmqpUrl::Parameter);
        }
        Ok(AmqpUrl(url))
    }

    /// The URL with its password. For the AMQP client; never for logs.
    pub fn expose_secret(&self) -> &str {
        self.0.as_str()
    }

    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "amqps"
    }

    /// Whether it ends in a bare `/`, which names the vhost with the empty name and not `/`.
    pub(super) fn has_empty_vhost(&self) -> bool {
        self.0.path() == "/"
    }
}

impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.password().is_some() && shown.set_password(Some("***")).is_err() {
            return f.write_str("[redacted]");
        }
        shown.fmt(f)
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AmqpUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The value of `rabbitmq.url`: one URL or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AmqpUrls(Vec<AmqpUrl>);

impl AmqpUrls {
    pub(super) fn as_slice(&self) -> &[AmqpUrl] {
        &self.0
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrSeveral {
    One(String),
    Several(Vec<String>),
}

impl<'de> Deserialize<'de> for AmqpUrls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = match OneOrSeveral::deserialize(deserializer)? {
            OneOrSeveral::One(text) => vec![text],
            OneOrSeveral::Several(texts) => texts,
        };
        parse_all(texts.iter().map(String::as_str))
            .map(AmqpUrls)
            .map_err(de::Error::custom)
    }
}

/// Parses several URLs; the error says which of them is wrong.
pub(super) fn parse_all<'a>(
    texts: impl ExactSizeIterator<Item = &'a str>,
) -> Result<Vec<AmqpUrl>, String> {
    let several = texts.len() > 1;
    texts
        .enumerate()
        .map(|(index, text)| {
            AmqpUrl::parse(text).map_err(|invalid| match several {
                true => format!("URL {} {invalid}", index + 1),
                false => invalid.to_string(),
            })
        })
        .collect()
}

impl JsonSchema for AmqpUrls {
    fn schema_name() -> Cow<'static, str> {
        "AmqpUrls".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "items": { "type": "string" },
            "minItems": 1,
            "writeOnly": true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_everything_but_its_password() {
        for (text, shown) in [
            (
                "amqp://guest:s3cret@host:5672/%2f",
                "amqp://guest:***@host:5672/%2f",
            ),
            (
                "amqps://a%40b:p%2Fw@host/v?heartbeat=10",
                "amqps://a%40b:***@host/v?heartbeat=10",
            ),
            ("amqp://user:p@ss@10.0.0.1", "amqp://user:***@10.0.0.1"),
            ("amqp://host", "amqp://host"),
        ] {
            let url = AmqpUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::to_string(&url).unwrap(), format!("{shown:?}"));
        }
    }

    #[test]
    fn a_url_that_the_client_would_misread_is_refused_without_showing_it() {
        for (text, expected) in [
            ("http://user:s3cret@host", InvalidAmqpUrl::Scheme),
            ("amqp:///%2f", InvalidAmqpUrl::NoHost),
            ("amqp:host", InvalidAmqpUrl::NoHost),
            ("amqp://user:s3cret@[::1]:5672/%2f", InvalidAmqpUrl::Ipv6),
            ("amqp://user:12/s3cret@host", InvalidAmqpUrl::NotEncoded),
            ("amqp://user:12#s3cret@host", InvalidAmqpUrl::NotEncoded),
            ("amqp://user:12?s3cret@host", InvalidAmqpUrl::Parameter),
            ("amqp://host/%2f?hartbeat=10", InvalidAmqpUrl::Parameter),
            (
                "amqp://user:s3cret/x@host",
                InvalidAmqpUrl::Malformed(url::ParseError::InvalidPort),
            ),
            ("host:port", InvalidAmqpUrl::Scheme),
        ] {
            let refused = AmqpUrl::parse(text).unwrap_err();
            assert_eq!(refused, expected, "{text}");
            assert!(!refused.to_string().contains("s3cret"));
        }
    }
}
