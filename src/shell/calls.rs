//! The calls in flight, and the translation of their replies for the engine.

use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

use crate::engine::{Answer, Trigger, WindowId};
use crate::event::UserId;
use crate::im::{Client, Fault, HttpAnswer, Reply};
use crate::traces::OpenWindow;

#[derive(Default)]
pub(super) struct Calls {
    in_flight: JoinSet<Call>,
    /// Calls were made that the runtime has not started yet.
    made: bool,
}

/// A finished call.
pub(super) struct Call {
    pub(super) window: WindowId,
    pub(super) reply: Reply,
    pub(super) ids: usize,
    pub(super) trigger: Trigger,
    pub(super) took: Duration,
    pub(super) span: Option<OpenWindow>,
}

impl Calls {
    pub(super) fn start(
        &mut self,
        client: &Client,
        window: WindowId,
        users: Vec<UserId>,
        trigger: Trigger,
        span: Option<OpenWindow>,
    ) {
        let client = client.clone();
        self.in_flight.spawn(async move {
            let start = Instant::now();
            let reply = client.remove_all_tags(&users).await;
            Call {
                window,
                reply,
                ids: users.len(),
                trigger,
                took: start.elapsed(),
                span,
            }
        });
        self.made = true;
    }

    /// On a single thread a call starts only when the loop yields, and it should start now.
    pub(super) async fn let_start(&mut self) {
        if std::mem::take(&mut self.made) {
            tokio::task::yield_now().await;
        }
    }

    /// Waits for the next call to finish. Never ready while none is in flight. Cancel-safe.
    pub(super) async fn next(&mut self) -> Call {
        match self.in_flight.join_next().await {
            Some(call) => ended(call),
            None => std::future::pending().await,
        }
    }

    /// Returns a call that has already finished, if any.
    pub(super) fn try_next(&mut self) -> Option<Call> {
        self.in_flight.try_join_next().map(ended)
    }
}

fn ended(call: Result<Call, JoinError>) -> Call {
    // A call neither panics nor is aborted; going on would hold its users for ever.
    call.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Translates a reply of the API for the engine.
pub(super) fn answer(reply: Reply) -> Answer {
    match reply {
        // A failure under a name that was not asked for may be one of ours, spelt differently: to
        // take the call as done would be to acknowledge on hope.
        Reply::Done { strangers: 1.., .. } => Answer::Unclear,
        Reply::Done {
            failed,
            strangers: 0,
        } => Answer::Done { failed },
        Reply::Refused(code) => Answer::Refused(code),
        Reply::Unclear => Answer::Unclear,
        Reply::Http(HttpAnswer {
            status,
            retry_after,
            ..
        }) => Answer::Http {
            status,
            retry_after,
        },
        // Status 200, but a page.
        Reply::Fault(Fault::NotJson | Fault::TooLarge) => Answer::Http {
            status: 200,
            retry_after: None,
        },
        Reply::Fault(Fault::Secret(_)) => Answer::NoCredential,
        Reply::Fault(_) => Answer::Fault,
    }
}
