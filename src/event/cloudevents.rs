//! CloudEvents 1.0 over AMQP: structured, all of the event in a JSON body, and binary, its
//! attributes in headers and its data in the body.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::body::{Body, Payload, Scalar};
use super::ids::Ids;
use super::{Decoded, Found, Malformed, Message, Rules, TypeSource, foreign, is_encoded};

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
        let mut ids = body.data.0;
        match &body.data_base64 {
            Scalar::Absent => {}
            Scalar::Text(text) => {
                let data = BASE64_STANDARD
                    .decode(text.as_bytes())
                    .map_err(|_| Malformed::Base64)?;
                ids.append(Payload::parse(&data)?.0);
            }
            Scalar::Number(_) | Scalar::Other => return Err(Malformed::Base64),
        }
        Ok(ids)
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
        Ok(Payload::parse(message.body)?.0)
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
    /// `data` reads the users that the event's data names; it is only called for a type of ours.
    fn decode(
        &self,
        message: &Message<'_>,
        rules: &Rules,
        data: impl FnOnce() -> Result<Ids, Malformed>,
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
        let mut ids = data()?;
        if ids.is_empty()
            && let Some(subject) = self.subject.text()
        {
            ids.take(&subject);
        }
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

const NAMES: [Names; 2] = [
    Names {
        specversion: "cloudEvents:specversion",
        kind: "cloudEvents:type",
        source: "cloudEvents:source",
        id: "cloudEvents:id",
        subject: "cloudEvents:subject",
        time: "cloudEvents:time",
    },
    Names {
        specversion: "cloudEvents_specversion",
        kind: "cloudEvents_type",
        source: "cloudEvents_source",
        id: "cloudEvents_id",
        subject: "cloudEvents_subject",
        time: "cloudEvents_time",
    },
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
