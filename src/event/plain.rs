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
        ids: body.users.ids()?,
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
    let names_queue = message.exchange == Some("") && !rules.act_on(key);
    (!key.is_empty() && !names_queue).then_some((key, TypeSource::RoutingKey))
}
