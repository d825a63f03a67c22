//! A message written as a text, so that seeds and fixtures can be read and edited:
//!
//! ```text
//! routing-key: user.deleted
//! content-type: application/json
//! header cloudEvents:type: user.deleted
//!
//! {"the": "body"}
//! ```

use std::borrow::Cow;

use tagsweep::event::{self, Decoded, Message, Rules};

/// What such a text says. A property or header that is named twice has its first value.
pub struct Written<'a> {
    lines: Vec<(&'a str, &'a str)>,
    pub body: &'a [u8],
}

impl<'a> Written<'a> {
    /// Takes any bytes: what is no head of a message is body.
    pub fn read(text: &'a [u8]) -> Written<'a> {
        let end = text.windows(2).position(|two| two == b"\n\n");
        let head = end.and_then(|end| str::from_utf8(&text[..end]).ok());
        let (Some(head), Some(end)) = (head, end) else {
            return Written {
                lines: Vec::new(),
                body: text,
            };
        };
        Written {
            lines: head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .collect(),
            body: &text[end + 2..],
        }
    }

    pub fn property(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.lines.iter().find(|(known, _)| *known == name)?;
        Some(value)
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        let is_it = |line: &&(&str, &str)| line.0.strip_prefix("header ") == Some(name);
        let (_, value) = self.lines.iter().find(is_it)?;
        Some(value)
    }

    pub fn decode(&self, rules: &Rules) -> Decoded {
        let message = Message {
            body: self.body,
            content_type: self.property("content-type"),
            content_encoding: self.property("content-encoding"),
            kind: self.property("type"),
            message_id: self.property("message-id"),
            timestamp: self.property("timestamp").and_then(|at| at.parse().ok()),
            routing_key: self.property("routing-key").unwrap_or_default(),
            header: &|name| self.header(name).map(Cow::Borrowed),
        };
        event::decode(&message, rules)
    }
}
