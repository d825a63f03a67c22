//! The plain form: `{"type":"user.deleted","user_id":"alice","id":"evt-1","time":"…"}`.

use super::body::{Body, Scalar};
use super::foreign::{TypeSource, foreign};
use super::{Decoded, Found, Malformed, Message, Rules};

pub(super) fn event(
    body: Body<'_>,
    message: &Message<'_>,
    rules: &Rules,
) -> Result<Decoded, Malformed> {
    let (kind, read_from) = match &body.kind {
        Scalar::Text(kind) => (&**kind, TypeSource::Body),
        Scalar::Absent if body.says_otherwise => return Ok(Decoded::Unrecognised),
        Scalar::Absent => match outer_kind(message, rules) {
            Some(outer) => outer,
            None => return Ok(Decoded::Unrecognised),
        },
        Scalar::Number(_) | Scalar::Other => return Err(Malformed::TypeNotText),
    };
    if !rules.act_on(kind) {
        return Ok(foreign(kind, read_from));
    }
    let found = Found {
        kind,
        source: None,
        id: body.id.text(),
        time: body.time.time(),
        ids: body.users.beside(body.data, body.person)?,
    };
    found.complete(message).map(Decoded::Event)
}

/// The type of a message whose body says nothing about what happened.
pub(super) fn outer_kind<'a>(
    message: &Message<'a>,
    rules: &Rules,
) -> Option<(&'a str, TypeSource)> {
    if let Some(kind) = message.kind.filter(|kind| !kind.is_empty()) {
        return Some((kind, TypeSource::Property));
    }
    let key = message.routing_key;
    if key.is_empty() {
        return None;
    }
    let is_free_of_doubt = match rules.act_on(key) {
        true => !is_typed_by_a_header(message, key),
        // It is the name of a queue.
        false => message.exchange != Some(""),
    };
    is_free_of_doubt.then_some((key, TypeSource::RoutingKey))
}

/// Where producers write what happened, if not into the body. What they mean by it is for a rule to judge.
const TYPE_HEADERS: [&str; 11] = [
    "type",
    "event",
    "event_type",
    "event-type",
    "eventType",
    "event_name",
    "event-name",
    "eventName",
    "message_type",
    "message-type",
    "messageType",
];

fn is_typed_by_a_header(message: &Message<'_>, kind: &str) -> bool {
    let mut types = TYPE_HEADERS
        .iter()
        .filter_map(|name| (message.header)(name));
    types.any(|found| found != kind)
}
