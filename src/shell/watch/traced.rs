//! Records spans of the worker's work. While traces are off, nothing is read, kept or counted here.

use super::origins::Origins;
use super::replies::reply_name;
use crate::config::Settings;
use crate::engine::{Delivery, Settlement, Trigger};
use crate::event::UserId;
use crate::im::{Fault, Reply};
use crate::rabbitmq::{HeaderValue, Message};
use crate::shell::SetupError;
use crate::traces::{Api, OpenWindow, Origin, Outcome, Spans, Traces};

pub(super) struct Traced(Option<On>);

struct On {
    spans: Spans,
    origins: Origins,
}

impl Traced {
    pub(super) fn new(traces: Option<&Traces>, settings: &Settings) -> Result<Traced, SetupError> {
        let api = Api {
            base_url: &settings.im.base_url.parse()?,
            path: &settings.im.path,
        };
        Ok(Traced(traces.map(|traces| On {
            spans: traces.spans(&settings.rabbitmq.queue, api),
            origins: Origins::default(),
        })))
    }

    /// An event names these users.
    pub(super) fn event(&mut self, delivery: Delivery, message: &Message, users: &[UserId]) {
        if let Some(On { origins, .. }) = &mut self.0 {
            let origin = Origin::read(|name| match message.header(name) {
                Some(HeaderValue::Text(text)) => Some(text),
                _ => None,
            });
            origins.insert(delivery, origin, users);
        }
    }

    /// These users are called now.
    pub(super) fn call(&mut self, users: &[UserId], trigger: Trigger) -> Option<OpenWindow> {
        let On { spans, origins } = self.0.as_mut()?;
        let again = matches!(trigger, Trigger::Retry | Trigger::Split);
        let first = again.then(|| origins.first_window(users)).flatten();
        let mut window = spans.window(trigger.name(), users.len(), first);
        let events = origins.called(users, again, &window.origin());
        window.link(events.len(), origins.of(&events));
        Some(window)
    }

    pub(super) fn settled(&mut self, settlement: Settlement) {
        if let Some(On { origins, .. }) = &mut self.0 {
            origins.settled(settlement);
        }
    }

    pub(super) fn lost(&mut self) {
        if let Some(On { origins, .. }) = &mut self.0 {
            origins.clear();
        }
    }
}

/// What the span of a call says of its reply.
pub(super) fn outcome(reply: &Reply) -> Outcome {
    let http_status = match reply {
        Reply::Http(answer) => Some(answer.status),
        Reply::Fault(Fault::NotJson | Fault::TooLarge) => Some(200),
        Reply::Fault(_) => None,
        Reply::Done { .. } | Reply::Refused(_) | Reply::Unclear => Some(200),
    };
    let api_code = match reply {
        Reply::Done { .. } => Some(0),
        Reply::Refused(code) => Some(*code),
        Reply::Unclear | Reply::Http(_) | Reply::Fault(_) => None,
    };
    let error = match reply {
        // The engine takes an answer about others for no answer.
        Reply::Done { strangers: 1.., .. } => Some("unclear".into()),
        Reply::Done { .. } => None,
        // As the conventions for HTTP want it.
        Reply::Http(answer) => Some(answer.status.to_string().into()),
        _ => Some(reply_name(reply)),
    };
    let failed_ids = match reply {
        Reply::Done { failed, .. } => failed.len(),
        _ => 0,
    };
    Outcome {
        http_status,
        api_code,
        error,
        failed_ids,
    }
}
