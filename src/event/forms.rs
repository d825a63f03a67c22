//! Which form a message is in, and what it says in that form.

use super::body::{self, Body, Outline};
use super::foreign::{TypeSource, foreign};
use super::plain::outer_kind;
use super::{Decoded, Form, Format, Malformed, Message, Rules, TOMBSTONE};
use super::{cloudevents, plain};

type Outcome = Result<Decoded, Malformed>;

pub(super) fn read(message: &Message<'_>, rules: &Rules) -> (Option<Form>, Outcome) {
    if rules.format == Format::None {
        return (None, without_form(message));
    }
    let structured = rules.format != Format::Plain && cloudevents::is_structured(message);
    if rules.format != Format::Plain
        && !structured
        && let Some(attributes) = cloudevents::Attributes::find(message)
    {
        let decoded = cloudevents::binary(&attributes, message, rules);
        return (Some(Form::CloudEvents), decoded);
    }
    let may_be_plain = rules.format != Format::CloudEvents && !structured;
    let form = match may_be_plain {
        true => Form::Plain,
        false => Form::CloudEvents,
    };
    let text = body::trim(message.body);
    if is_nothing(text) {
        return (Some(form), Ok(TOMBSTONE));
    }
    if is_encoded(message) {
        return (Some(form), encoded(message, rules, may_be_plain));
    }
    if !body::is_object(text) {
        return (Some(form), no_object(message, rules, may_be_plain));
    }
    let body = match Body::parse(text) {
        Ok(body) => body,
        Err(why) => {
            return (
                Some(form),
                unreadable(why, text, message, rules, may_be_plain),
            );
        }
    };
    let is_cloud_event = match rules.format {
        Format::Auto => structured || body.specversion.is_present(),
        Format::Plain | Format::None => false,
        Format::CloudEvents => true,
    };
    match is_cloud_event {
        true => (
            Some(Form::CloudEvents),
            cloudevents::structured(body, message, rules),
        ),
        false => (Some(Form::Plain), plain::event(body, message, rules)),
    }
}

/// Only rules could have told what it is.
fn without_form(message: &Message<'_>) -> Outcome {
    if is_nothing(body::trim(message.body)) {
        return Ok(TOMBSTONE);
    }
    match is_encoded(message) {
        true => Err(Malformed::Encoded),
        false => Ok(Decoded::Unrecognised),
    }
}

fn is_nothing(text: &[u8]) -> bool {
    text.is_empty() || text == b"null"
}

/// A type inside would be the one that counts, so the routing key decides nothing here.
fn encoded(message: &Message<'_>, rules: &Rules, may_be_plain: bool) -> Outcome {
    let kind = message.kind.filter(|kind| !kind.is_empty());
    match kind.filter(|kind| may_be_plain && !rules.act_on(kind)) {
        Some(kind) => Ok(foreign(kind, TypeSource::Property)),
        None => Err(Malformed::Encoded),
    }
}

fn no_object(message: &Message<'_>, rules: &Rules, may_be_plain: bool) -> Outcome {
    match outer_kind(message, rules) {
        _ if !may_be_plain => Err(Malformed::NotAnObject),
        Some((kind, _)) if rules.act_on(kind) => Err(Malformed::NotAnObject),
        Some((kind, read_from)) => Ok(foreign(kind, read_from)),
        None => Ok(Decoded::Unrecognised),
    }
}

/// A body that cannot be read may certainly be none of ours.
fn unreadable(
    why: Malformed,
    text: &[u8],
    message: &Message<'_>,
    rules: &Rules,
    may_be_plain: bool,
) -> Outcome {
    let outline = Outline::read(text);
    if outline.is_ill_typed {
        return Err(why);
    }
    let is_plain = may_be_plain && (rules.format == Format::Plain || !outline.has_specversion);
    if let Some(kind) = outline.kinds.first() {
        let read_from = match is_plain {
            true => TypeSource::Body,
            false => TypeSource::CloudEvents,
        };
        return match outline.kinds.iter().any(|kind| rules.act_on(kind)) {
            true => Err(why),
            false => Ok(foreign(kind, read_from)),
        };
    }
    if !is_plain || !outline.is_whole {
        return Err(why);
    }
    match outer_kind(message, rules) {
        _ if outline.says_otherwise => Ok(Decoded::Unrecognised),
        Some((kind, _)) if rules.act_on(kind) => Err(why),
        Some((kind, read_from)) => Ok(foreign(kind, read_from)),
        None => Ok(Decoded::Unrecognised),
    }
}

/// Some libraries write the character set where the content encoding belongs.
pub(super) fn is_encoded(message: &Message<'_>) -> bool {
    !message.content_encoding.is_none_or(|encoding| {
        ["", "identity", "utf-8", "utf8"]
            .iter()
            .any(|plain| plain.eq_ignore_ascii_case(encoding))
    })
}

impl Rules {
    pub(super) fn act_on(&self, kind: &str) -> bool {
        self.types.iter().any(|wanted| wanted == kind)
    }
}
