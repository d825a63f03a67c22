//! Health and metrics. They answer under any host name: probes and scrapers use addresses and names of all kinds.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::answer;
use crate::shell::{self, Inquirer, Pause, View};

/// Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn routes(inquirer: Inquirer) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(inquirer)
}

/// `200` if a restart would not help: the worker makes progress, or waits for a known reason.
async fn livez(State(inquirer): State<Inquirer>) -> Response {
    match inquirer.view().await {
        Ok(View { stall: None, .. }) => health(StatusCode::OK, "live"),
        Ok(View {
            stall: Some(stall), ..
        }) => unwell(&format!("not live: {stall}")),
        Err(no_answer) => unwell(&format!("not live: {no_answer}")),
    }
}

/// `200` if the worker could process an event now.
async fn readyz(State(inquirer): State<Inquirer>) -> Response {
    use shell::State as Is;
    let view = inquirer.view().await;
    let trouble = view.as_ref().ok().and_then(|view| view.trouble.clone());
    let hindrance = view.as_ref().ok().and_then(|view| view.hindrance.clone());
    let queue = view.as_ref().ok().and_then(|view| view.queue);
    let others_have_the_queue = queue.is_some_and(|queue| queue.ready > 0 && queue.consumers > 1);
    match view.as_ref().map(|view| view.state) {
        Ok(Is::Consuming | Is::Standby) if let Some(why) = hindrance => {
            unwell(&format!("not ready: {why}"))
        }
        Ok(Is::Consuming) => health(StatusCode::OK, "ready: consuming"),
        Ok(Is::Standby) if others_have_the_queue => health(
            StatusCode::OK,
            "ready: standby, another consumer has the queue",
        ),
        Ok(Is::Standby) => health(StatusCode::OK, "ready: idle, no messages yet"),
        Ok(Is::Connecting) => {
            let why = view.ok().and_then(|view| view.unconnected);
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            unwell(&format!("not ready: no broker session{why}"))
        }
        Ok(Is::Draining) => unwell("not ready: draining"),
        Ok(Is::Paused(pause)) => {
            let uncoded = matches!(pause, Pause::Api(reason) if reason.code.is_none());
            match trouble.filter(|_| uncoded) {
                Some(trouble) => {
                    unwell(&format!("not ready: {pause} (the latest call: {trouble})"))
                }
                None => unwell(&format!("not ready: {pause}")),
            }
        }
        Err(no_answer) => unwell(&format!("not ready: {no_answer}")),
    }
}

async fn metrics(State(inquirer): State<Inquirer>) -> Response {
    match inquirer.metrics().await {
        Ok(text) => answer(StatusCode::OK, METRICS, text),
        Err(no_answer) => unwell(&no_answer.to_string()),
    }
}

fn unwell(why: &str) -> Response {
    health(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn health(status: StatusCode, line: &str) -> Response {
    answer(status, "text/plain; charset=utf-8", format!("{line}\n"))
}
