//! A message written as a text, so that it can be read, edited and kept:
//!
//! ```text
//! routing-key: user.deleted
//! content-type: application/json
//! header cloudEvents:type: user.deleted
//!
//! {"the": "body"}
//! ```

use std::borrow::Cow;

use serde_json::Value;

use super::{Message, PROPERTIES, Surroundings};

/// Where it was published to.
const ROUTE: [&str; 2] = ["exchange", "routing-key"];

/// What such a text says. A property or header that is named twice has its first value.
#[derive(Clone, Debug)]
pub struct Written<'a> {
    properties: Vec<(&'a str, &'a str)>,
    headers: Vec<(&'a str, &'a str)>,
    pub body: &'a [u8],
}

/// A line that is neither a property nor a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {0} is no property and no header: write \"NAME: VALUE\" or \"header NAME: VALUE\", then an empty line"
)]
pub struct UnknownLine(pub usize);

impl<'a> Written<'a> {
    /// A body with nothing around it.
    pub fn of_body(body: &'a [u8]) -> Written<'a> {
        Written {
            properties: Vec::new(),
            headers: Vec::new(),
            body,
        }
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// When a line before the first empty one says nothing.
    pub fn parse(text: &'a [u8]) -> Result<Written<'a>, UnknownLine> {
        let mut written = Written::of_body(b"");
        let mut rest = text;
        for number in 1.. {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let Some((line, behind)) = end.and_then(|end| rest.split_at_checked(end)) else {
                return Err(UnknownLine(number));
            };
            rest = behind.get(1..).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            let line = str::from_utf8(line).map_err(|_| UnknownLine(number))?;
            written.add(line).ok_or(UnknownLine(number))?;
        }
        written.body = rest;
        Ok(written)
    }

    fn add(&mut self, line: &'a str) -> Option<()> {
        let pair = line
            .split_once(": ")
            .or_else(|| Some((line.strip_suffix(':')?, "")));
        let (name, value) = pair?;
        match name.strip_prefix("header ") {
            Some(name) => self.headers.push((name, value)),
            None => {
                is_property(name).then_some(())?;
                self.properties.push((name, value));
            }
        }
        Some(())
    }

    /// As if this were the routing key.
    pub fn set_routing_key(&mut self, key: &'a str) {
        self.properties.insert(0, ("routing-key", key));
    }

    /// As if it had this header.
    pub fn set_header(&mut self, name: &'a str, value: &'a str) {
        self.headers.insert(0, (name, value));
    }

    pub fn property(&self, name: &str) -> Option<&'a str> {
        first(&self.properties, name)
    }

    pub fn header(&self, name: &str) -> Option<&'a str> {
        first(&self.headers, name)
    }

    /// Gives `read` the message that it is.
    pub fn message<T>(&self, read: impl FnOnce(&Message<'_>) -> T) -> T {
        read(&Message {
            body: self.body,
            content_type: self.property("content-type"),
            content_encoding: self.property("content-encoding"),
            kind: self.property("type"),
            message_id: self.property("message-id"),
            timestamp: self.property("timestamp").and_then(|at| at.parse().ok()),
            exchange: self.property("exchange"),
            routing_key: self.property("routing-key").unwrap_or_default(),
            header: &|name| self.header(name).map(Cow::Borrowed),
            surroundings: &|| self.surroundings(),
        })
    }

    fn surroundings(&self) -> Surroundings {
        let mut surroundings = Surroundings::default();
        for (name, value) in self.headers.iter().rev() {
            let value = (*value).into();
            surroundings.headers.insert((*name).to_owned(), value);
        }
        for (name, value) in self.properties.iter().rev() {
            if ROUTE.contains(name) {
                continue;
            }
            let number = match *name {
                "delivery-mode" | "priority" | "timestamp" => value.parse::<u64>().ok(),
                _ => None,
            };
            let value = number.map_or_else(|| (*value).into(), Value::from);
            surroundings
                .properties
                .insert(name.replace('-', "_"), value);
        }
        surroundings
    }
}

/// Here the names have hyphens.
fn is_property(name: &str) -> bool {
    let is_amqps = !name.contains('_') && PROPERTIES.contains(&name.replace('-', "_").as_str());
    is_amqps || ROUTE.contains(&name)
}

fn first<'a>(pairs: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    let (_, value) = pairs.iter().find(|(known, _)| *known == name)?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_message_has_what_its_lines_say() {
        let text = b"routing-key: a.b\r\npriority: 3\nheader x:y: 1: 2\nheader empty:\ntype:\n\n{}\n\nrest";
        let mut written = Written::parse(text).unwrap();
        assert_eq!(written.property("routing-key"), Some("a.b"));
        assert_eq!(written.header("x:y"), Some("1: 2"));
        assert_eq!(written.header("empty"), Some(""));
        assert_eq!(written.property("type"), Some(""));
        assert_eq!(written.body, b"{}\n\nrest");
        written.set_routing_key("c");
        written.set_header("empty", "full");
        written.message(|message| {
            assert_eq!(message.routing_key, "c");
            let Surroundings {
                headers,
                properties,
            } = (message.surroundings)();
            assert_eq!(headers["empty"], "full");
            assert_eq!(properties["priority"], 3);
            assert!(!properties.contains_key("routing_key"));
        });
    }

    #[test]
    fn a_line_that_says_nothing_is_told() {
        for (text, line) in [
            (&b"rooting-key: a\n\n{}"[..], 1),
            (b"type: a\n{}\n\n", 2),
            (b"type: a", 1),
            (b"message_id: a\n\n", 1),
            (b"type: a\n\xff: b\n\n", 2),
            (b"", 1),
        ] {
            assert_eq!(Written::parse(text).unwrap_err(), UnknownLine(line));
        }
        assert_eq!(Written::parse(b"\n{}").unwrap().body, b"{}");
    }
}
