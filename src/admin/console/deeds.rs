//! Redrive, purge and export: each on the letters that were shown, one at a time, logged with who did it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::actions::operator;
use super::letters::{Chosen, Job, Set};
use super::story::{capitalised, counted, grouped};
use super::{Console, Shared, html, page};
use crate::dead_letters::{Error, Purged, Redriven, export_line};
use crate::explain;
use crate::shell::Who;

/// An action that takes no longer is over when the page is shown again.
const SOON: Duration = Duration::from_secs(2);
/// Bodies that are held in memory at a time. The commands have no such limit.
pub(super) const LARGEST: u64 = 64 << 20;

pub(super) async fn redrive(
    State(console): Shared,
    headers: HeaderMap,
    Form(chosen): Form<Chosen>,
) -> Response {
    match Deed::begin(console, &headers, &chosen, "redrive") {
        Ok(deed) => soon(deed.redrive()).await,
        Err(refusal) => refusal,
    }
}

pub(super) async fn purge(
    State(console): Shared,
    headers: HeaderMap,
    Form(chosen): Form<Chosen>,
) -> Response {
    if chosen.no_export.is_empty() {
        let why = "Nothing was removed: export the letters first, and tick the box that says so.";
        return html(StatusCode::BAD_REQUEST, page::notice("Not purged", why));
    }
    match Deed::begin(console, &headers, &chosen, "purge") {
        Ok(deed) => soon(deed.purge()).await,
        Err(refusal) => refusal,
    }
}

pub(super) async fn export(
    State(console): Shared,
    headers: HeaderMap,
    Form(chosen): Form<Chosen>,
) -> Response {
    let deed = match Deed::begin(console, &headers, &chosen, "export") {
        Ok(deed) => deed,
        Err(refusal) => return refusal,
    };
    // It goes on if the browser goes away: the letters must be given back.
    match tokio::spawn(deed.export()).await {
        Ok(Some(lines)) => {
            let headers = [
                (CONTENT_TYPE, "application/x-ndjson"),
                (
                    CONTENT_DISPOSITION,
                    "attachment; filename=\"dead-letters.ndjson\"",
                ),
            ];
            (headers, lines).into_response()
        }
        _ => Redirect::to("/").into_response(),
    }
}

pub(super) async fn stop(State(console): Shared, headers: HeaderMap) -> Response {
    let who = match operator(&console, &headers) {
        Ok(who) => who,
        Err(refusal) => return refusal,
    };
    if let Some(job) = console.board.known().job {
        tracing::info!(
            operator_session = who.session,
            operator_address = %who.address,
            "an operator stops an action on dead letters"
        );
        job.stop.cancel();
    }
    Redirect::to("/").into_response()
}

/// An action that has begun. No other begins before it has ended.
struct Deed {
    console: Arc<Console>,
    who: Who,
    set: Set,
    job: Arc<Job>,
}

impl Deed {
    /// The action on the letters that are meant; or the answer that says why it does not begin.
    #[expect(clippy::result_large_err, reason = "it is the answer itself, and rare")]
    fn begin(
        console: Arc<Console>,
        headers: &HeaderMap,
        chosen: &Chosen,
        action: &'static str,
    ) -> Result<Deed, Response> {
        let who = operator(&console, headers)?;
        let set = console.board.set(chosen);
        let set = set.ok_or_else(|| html(StatusCode::CONFLICT, page::read_again()))?;
        if set.bytes > LARGEST {
            let why = format!(
                "These letters have {} MiB. Use the command, which has no such limit: tagsweep dead-letters --help.",
                grouped(set.bytes >> 20)
            );
            let notice = page::notice("Too many for the console", &why);
            return Err(html(StatusCode::CONFLICT, notice));
        }
        let Some(job) = console.board.begin(action, set.ids.len()) else {
            let why = "The letters are being read, or another action works on them: nothing was done. Try again in a moment.";
            return Err(html(StatusCode::CONFLICT, page::notice("Busy", why)));
        };
        // What a letter of another program gives as its reason may be anything.
        let reason = explain::of_name(&set.reason).map(|known| known.name);
        tracing::info!(
            operator_session = who.session,
            operator_address = %who.address,
            action,
            reason,
            code = set.code,
            letters = set.ids.len(),
            "an operator acts on dead letters"
        );
        Ok(Deed {
            console,
            who,
            set,
            job,
        })
    }

    async fn redrive(self) {
        let done = async {
            let (mut session, letters) = self.console.board.take(&self.set).await?;
            let progress = |done: &Redriven| self.job.over.store(done.over(), Ordering::Relaxed);
            let done = session.redrive(&letters, None, &self.job.stop, progress);
            let done = done.await;
            // What was not acknowledged is the broker's again, however the goodbye goes.
            let _ = session.close().await;
            done
        };
        match done.await {
            Ok(done) => {
                let are_gone = done.redriven == done.matched;
                let told = tell_redriven(&self.who, &done) + &self.missed(done.matched);
                self.end(told, are_gone);
            }
            Err(error) => self.fail(&error),
        }
    }

    async fn purge(self) {
        let done = async {
            let (mut session, letters) = self.console.board.take(&self.set).await?;
            let progress = |done: &Purged| self.job.over.store(done.purged, Ordering::Relaxed);
            let done = session.purge(&letters, &self.job.stop, progress).await;
            let _ = session.close().await;
            done.map_err(|(_, error)| error)
        };
        match done.await {
            Ok(done) => {
                let are_gone = done.purged == done.matched;
                let told = tell_purged(&self.who, &done) + &self.missed(done.matched);
                self.end(told, are_gone);
            }
            Err(error) => self.fail(&error),
        }
    }

    /// The letters, one a line.
    async fn export(self) -> Option<String> {
        let letters = async {
            let (session, letters) = self.console.board.take(&self.set).await?;
            let _ = session.close().await;
            Ok(letters)
        };
        let letters = match letters.await {
            Ok(letters) => letters,
            Err(error) => {
                self.fail(&error);
                return None;
            }
        };
        // Beside the worker's loop, as it takes a while.
        let written = tokio::task::spawn_blocking(move || {
            let lines: Vec<String> = letters.matched.iter().filter_map(export_line).collect();
            (lines.join("\n") + "\n", lines.len() as u64)
        });
        let (lines, count) = written.await.unwrap_or_default();
        self.end(format!("{} exported.", counted(count, "letter")), false);
        Some(lines)
    }

    /// What was shown and is not in the queue any more.
    fn missed(&self, matched: u64) -> String {
        match (self.set.ids.len() as u64).saturating_sub(matched) {
            0 => String::new(),
            1 => " One of those shown was gone before.".to_owned(),
            missed => format!(" {} of those shown were gone before.", grouped(missed)),
        }
    }

    /// `are_gone`: none of the letters is in the queue any more.
    fn end(&self, outcome: String, are_gone: bool) {
        self.console
            .board
            .end(outcome, are_gone.then_some(&self.set));
    }

    fn fail(&self, error: &Error) {
        let action = self.job.action;
        tracing::warn!(operator_session = self.who.session, action, reason = %error, "an action on dead letters failed");
        self.end(format!("{} failed: {error}.", capitalised(action)), false);
    }
}

/// Does it in the background, and answers when it is over or takes long.
async fn soon(action: impl Future<Output = ()> + Send + 'static) -> Response {
    let acting = tokio::spawn(action);
    let _ = tokio::time::timeout(SOON, acting).await;
    Redirect::to("/").into_response()
}

fn tell_redriven(who: &Who, done: &Redriven) -> String {
    let lost = done.lost.as_ref().map(ToString::to_string);
    tracing::info!(
        operator_session = who.session,
        letters = done.matched,
        redriven = done.redriven,
        skipped = done.skipped,
        failed = done.failed,
        stopped = done.stopped,
        lost,
        "dead letters redriven"
    );
    let mut text = match done.redriven {
        0 => "No letter redriven.".to_owned(),
        redriven => format!(
            "{} redriven: their events are in the queue again.",
            counted(redriven, "letter")
        ),
    };
    if done.skipped > 0 {
        text += &format!(
            " {} skipped: they have no body and name no users.",
            counted(done.skipped, "letter")
        );
    }
    if let Some(refusal) = done.refusal {
        text += &format!(
            " {} failed and stay: {refusal}.",
            counted(done.failed, "letter")
        );
    }
    if let Some(lost) = lost {
        text += &format!(
            " The connection was lost ({lost}); what was on its way may be redriven twice."
        );
    }
    if done.stopped {
        text += " Stopped.";
    }
    text
}

fn tell_purged(who: &Who, done: &Purged) -> String {
    tracing::info!(
        operator_session = who.session,
        letters = done.matched,
        purged = done.purged,
        stopped = done.stopped,
        "dead letters purged"
    );
    let stopped = if done.stopped { " Stopped." } else { "" };
    format!("{} purged.{stopped}", counted(done.purged, "letter"))
}
