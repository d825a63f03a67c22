//! A broker's URL, whose password is never shown.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::Url;
use zeroize::Zeroizing;

use crate::rabbitmq::{UrlProblem, check_url};

/// An `amqp://` or `amqps://` URL. `Display`, `Debug` and serde show `***` for its password.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpUrl(Url);

impl AmqpUrl {
    /// Takes `text` as a broker URL.
    ///
    /// # Errors
    /// When the AMQP client would refuse it, or read something else out of it than stands there.
    pub fn parse(text: &str) -> Result<AmqpUrl, UrlProblem> {
        check_url(text)?;
        Ok(AmqpUrl(Url::parse(text.trim())?))
    }

    /// The URL with its password. For the AMQP client; never for logs.
    pub fn expose_secret(&self) -> &str {
        self.0.as_str()
    }

    /// The same broker with another login: of what is given, the URL's own part is replaced.
    #[expect(
        clippy::expect_used,
        reason = "only a URL without a host takes no login, and that was refused"
    )]
    pub(super) fn with_login(mut self, username: Option<&str>, password: Option<&str>) -> AmqpUrl {
        let takes_it = "a URL with a host";
        if let Some(username) = username {
            self.0.set_username(&encoded(username)).expect(takes_it);
        }
        if let Some(password) = password {
            let password = encoded(password);
            self.0.set_password(Some(&password)).expect(takes_it);
        }
        self
    }

    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "amqps"
    }

    /// Whether it ends in a bare `/`, which names the vhost with the empty name and not `/`.
    pub(super) fn has_empty_vhost(&self) -> bool {
        self.0.path() == "/"
    }
}

/// Percent-encoded, the percent sign too, which `Url` leaves as it is.
fn encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => encoded.push(byte.into()),
            false => encoded.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]),
        }
    }
    encoded
}

fn hex_digit(half: u8) -> char {
    char::from_digit(half.into(), 16).map_or('0', |digit| digit.to_ascii_uppercase())
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
}
