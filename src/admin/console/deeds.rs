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
    let (who, set) = match chosen_by(&console, &headers, &chosen) {
        Ok(chosen) => chosen,
        Err(refusal) => return refusal,
    };
    let Some(job) = console.board.begin("Redriving", set.ids.len()) else {
        return busy();
    };
    log(&who, &set, "redrive");
    let acting = Arc::clone(&console);
    soon(async move {
        let end = redriven(&acting, &set, &job).await;
        let all = matches!(&end, Ok(done) if done.redriven == done.matched);
        let outcome = tell_redriven(&who, end);
        acting.board.end(outcome, all.then_some(&set));
    })
    .await
}

async fn redriven(console: &Console, set: &Set, job: &Job) -> Result<Redriven, Error> {
    let (mut session, letters) = console.board.take(set).await?;
    let progress = |done: &Redriven| job.over.store(done.over(), Ordering::Relaxed);
    let done = session.redrive(&letters, None, &job.stop, progress).await;
    // What was not acknowledged is the broker's again, however the goodbye goes.
    let _ = session.close().await;
    done
}

fn tell_redriven(who: &Who, end: Result<Redriven, Error>) -> String {
    let done = match end {
        Ok(done) => done,
        Err(error) => return failed(who, "redrive", &error),
    };
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
    let mut text = format!(
        "{} redriven: their events are in the queue again.",
        counted(done.redriven, "letter")
    );
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

pub(super) async fn purge(
    State(console): Shared,
    headers: HeaderMap,
    Form(chosen): Form<Chosen>,
) -> Response {
    let (who, set) = match chosen_by(&console, &headers, &chosen) {
        Ok(chosen) => chosen,
        Err(refusal) => return refusal,
    };
    if chosen.no_export.is_empty() {
        let why = "Nothing was removed: export the letters first, and tick the box that says so.";
        return html(StatusCode::BAD_REQUEST, page::notice("Not purged", why));
    }
    let Some(job) = console.board.begin("Purging", set.ids.len()) else {
        return busy();
    };
    log(&who, &set, "purge");
    let acting = Arc::clone(&console);
    soon(async move {
        let end = purged(&acting, &set, &job).await;
        let all = matches!(&end, Ok(done) if done.purged == done.matched);
        let outcome = tell_purged(&who, end);
        acting.board.end(outcome, all.then_some(&set));
    })
    .await
}

async fn purged(console: &Console, set: &Set, job: &Job) -> Result<Purged, Error> {
    let (mut session, letters) = console.board.take(set).await?;
    let progress = |done: &Purged| job.over.store(done.purged, Ordering::Relaxed);
    let done = session.purge(&letters, &job.stop, progress).await;
    let _ = session.close().await;
    done.map_err(|(_, error)| error)
}

fn tell_purged(who: &Who, end: Result<Purged, Error>) -> String {
    match end {
        Ok(done) => {
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
        Err(error) => failed(who, "purge", &error),
    }
}

pub(super) async fn export(
    State(console): Shared,
    headers: HeaderMap,
    Form(chosen): Form<Chosen>,
) -> Response {
    let (who, set) = match chosen_by(&console, &headers, &chosen) {
        Ok(chosen) => chosen,
        Err(refusal) => return refusal,
    };
    let Some(_) = console.board.begin("Exporting", set.ids.len()) else {
        return busy();
    };
    log(&who, &set, "export");
    // It goes on if the browser goes away: the letters must be given back.
    let acting = Arc::clone(&console);
    let exported = tokio::spawn(async move {
        let end = exported(&acting, &set).await;
        let outcome = match &end {
            Ok((_, count)) => format!("{} exported.", counted(*count, "letter")),
            Err(error) => failed(&who, "export", error),
        };
        acting.board.end(outcome, None);
        end
    });
    match exported.await {
        Ok(Ok((lines, _))) => {
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

/// The letters, one a line, and their number.
async fn exported(console: &Console, set: &Set) -> Result<(String, u64), Error> {
    let (session, letters) = console.board.take(set).await?;
    let _ = session.close().await;
    // Beside the worker's loop, as it takes a while.
    let written = tokio::task::spawn_blocking(move || {
        let lines: Vec<String> = letters.matched.iter().filter_map(export_line).collect();
        (lines.join("\n") + "\n", lines.len() as u64)
    });
    Ok(written.await.unwrap_or_default())
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

/// Who acts, and on which letters.
#[expect(clippy::result_large_err, reason = "it is the answer itself, and rare")]
fn chosen_by(
    console: &Console,
    headers: &HeaderMap,
    chosen: &Chosen,
) -> Result<(Who, Set), Response> {
    let who = operator(console, headers)?;
    let set = console.board.set(chosen);
    let set = set.ok_or_else(|| html(StatusCode::CONFLICT, page::read_again()))?;
    if set.bytes > LARGEST {
        let why = format!(
            "These letters have {} MiB. Use the command, which has no such limit: tagsweep dead-letters --help.",
            grouped(set.bytes >> 20)
        );
        return Err(html(
            StatusCode::CONFLICT,
            page::notice("Too many for the console", &why),
        ));
    }
    Ok((who, set))
}

fn busy() -> Response {
    let why = "The letters are being read, or another action works on them: nothing was done. Try again in a moment.";
    html(StatusCode::CONFLICT, page::notice("Busy", why))
}

/// Does it in the background, and answers when it is over or takes long.
async fn soon(action: impl Future<Output = ()> + Send + 'static) -> Response {
    let acting = tokio::spawn(action);
    let _ = tokio::time::timeout(SOON, acting).await;
    Redirect::to("/").into_response()
}

fn log(who: &Who, set: &Set, action: &'static str) {
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
}

fn failed(who: &Who, what: &'static str, error: &Error) -> String {
    tracing::warn!(operator_session = who.session, action = what, reason = %error, "an action on dead letters failed");
    format!("{} failed: {error}.", capitalised(what))
}
