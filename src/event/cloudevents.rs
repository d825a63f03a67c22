//! CloudEvents 1.0 over AMQP: structured, all of the event in a JSON body, and binary, its
//! attributes in headers and its data in the body.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::body::{Body, Scalar, Users};
use super::foreign::{TypeSource, foreign};
use super::forms::is_encoded;
use super::ids::Ids;
use super::{Decoded, Found, Malformed, Message, Rules};

const STRUCTURED: &[u8] = b"application/cloudevents";

/// Whether the content type says that the body holds the whole event.
pub(super) fn is_structured(message: &Message<'_>) -> bool {
    message
        .content_type
        .and_then(|content_type| content_type.as_bytes().get(..STRUCTURED.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(STRUCTURED))
}

pub(super) fn structured(
    body: Body<'_>,
    message: &Message<'_>,
    rules: &Rules,
) -> Result<Decoded, Malformed> {
    let event = CloudEvent {
        specversion: body.specversion,
        kind: body.kind,
        source: body.source,
        id: body.id,
        subject: body.subject,
        time: body.time,
    };
    event.decode(message, rules, || {
        let text = match &body.data_base64 {
            Scalar::Absent => return Ok(body.data),
            Scalar::Text(text) => text,
            Scalar::Number(_) | Scalar::Other => return Err(Malformed::Base64),
        };
        if body.data.is_some() {
            return Err(Malformed::DataTwice);
        }
        let data = BASE64_STANDARD.decode(text.as_bytes());
        Users::parse(&data.map_err(|_| Malformed::Base64)?)
    })
}

pub(super) fn binary(
    attributes: &Attributes<'_>,
    message: &Message<'_>,
    rules: &Rules,
) -> Result<Decoded, Malformed> {
    let event = CloudEvent {
        specversion: attributes.read(|names| names.specversion),
        kind: attributes.read(|names| names.kind),
        source: attributes.read(|names| names.source),
        id: attributes.read(|names| names.id),
        subject: attributes.read(|names| names.subject),
        time: attributes.read(|names| names.time),
    };
    event.decode(message, rules, || {
        if is_encoded(message) {
            return Err(Malformed::Encoded);
        }
        Users::parse(message.body)
    })
}

/// The attributes that count here, from wherever they were read.
struct CloudEvent<'a> {
    specversion: Scalar<'a>,
    kind: Scalar<'a>,
    source: Scalar<'a>,
    id: Scalar<'a>,
    subject: Scalar<'a>,
    time: Scalar<'a>,
}

impl CloudEvent<'_> {
    /// `data` reads the users that the event's data names, nothing where it has none; it is only called for a type of
    /// ours.
    fn decode(
        &self,
        message: &Message<'_>,
        rules: &Rules,
        data: impl FnOnce() -> Result<Option<Box<Users>>, Malformed>,
    ) -> Result<Decoded, Malformed> {
        if let Scalar::Text(kind) = &self.kind
            && !rules.act_on(kind)
        {
            return Ok(foreign(kind, TypeSource::CloudEvents));
        }
        // What another version means by its fields is unknown, so nothing else of it is judged.
        match &self.specversion {
            Scalar::Text(version) if version.starts_with("1.") => {}
            _ => return Err(Malformed::SpecVersion),
        }
        let kind = match &self.kind {
            Scalar::Text(kind) => kind,
            Scalar::Absent => return Err(Malformed::NoType),
            Scalar::Number(_) | Scalar::Other => return Err(Malformed::TypeNotText),
        };
        // Beside data, a subject is as often the message's ID or a path as it is a user.
        let ids = match data()? {
            Some(users) => users.ids()?,
            None => Ids::of(self.subject.text().as_deref()),
        };
        let found = Found {
            kind,
            source: self.source.text(),
            id: self.id.text(),
            time: self.time.time(),
            ids,
        };
        found.complete(message).map(Decoded::Event)
    }
}

/// The headers of a binary CloudEvent. The binding's releases differ in the prefix of their names.
pub(super) struct Attributes<'a> {
    header: &'a dyn Fn(&str) -> Option<Cow<'a, str>>,
    names: &'static Names,
}

struct Names {
    specversion: &'static str,
    kind: &'static str,
    source: &'static str,
    id: &'static str,
    subject: &'static str,
    time: &'static str,
}

macro_rules! names {
    ($prefix:literal) => {
        Names {
            specversion: concat!($prefix, "specversion"),
            kind: concat!($prefix, "type"),
            source: concat!($prefix, "source"),
            id: concat!($prefix, "id"),
            subject: concat!($prefix, "subject"),
            time: concat!($prefix, "time"),
        }
    };
}

/// Two prefixes of the binding for AMQP, the one of the binding for HTTP, which bridges keep, and none.
const NAMES: [Names; 4] = [
    names!("cloudEvents:"),
    names!("cloudEvents_"),
    names!("ce-"),
    names!(""),
];

impl<'a> Attributes<'a> {
    pub(super) fn find(message: &Message<'a>) -> Option<Attributes<'a>> {
        let names = NAMES
            .iter()
            .find(|names| (message.header)(names.specversion).is_some())?;
        Some(Attributes {
            header: message.header,
            names,
        })
    }

    fn read(&self, name: impl FnOnce(&Names) -> &'static str) -> Scalar<'a> {
        match (self.header)(name(self.names)) {
            Some(text) => Scalar::Text(text),
            None => Scalar::Absent,
        }
    }
}
