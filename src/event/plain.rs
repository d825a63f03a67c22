//! The plain form: `{"type":"user.deleted","user_id":"alice","id":"evt-1","time":"…"}`.

use super::body::{Body, Scalar};
use super::{Decoded, Found, Malformed, Message, Rules, TypeSource, foreign};

pub(super) fn event(
    body: Body<'_>,
    message: &Message<'_>,
    rules: &Rules,
) -> Result<Decoded, Malformed> {
    let (kind, read_from) = match &body.kind {
        Scalar::Text(kind) => (kind.as_ref(), TypeSource::Body),
        Scalar::Absent => outer_kind(message),
        Scalar::Number(_) | Scalar::Other => return Err(Malformed::TypeNotText),
    };
    if !rules.act_on(kind) {
        return Ok(foreign(kind, read_from));
    }
    let mut ids = body.user_id;
    ids.append(body.user_ids);
    let found = Found {
        kind,
        source: None,
        id: body.id.text(),
        time: body.time.time(),
        ids,
    };
    found.complete(message).map(Decoded::Event)
}

/// The type of a message whose body does not tell it.
pub(super) fn outer_kind<'a>(message: &Message<'a>) -> (&'a str, TypeSource) {
    match message.kind {
        Some(kind) if !kind.is_empty() => (kind, TypeSource::Property),
        _ => (message.routing_key, TypeSource::RoutingKey),
    }
}
