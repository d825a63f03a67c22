//! Health and metrics over HTTP. Nothing here changes anything.
//!
//! Every answer comes from the worker's main loop: a worker that does not answer is not healthy.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SERVER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::shell::{self, Inquirer, View};

/// Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A listening socket that does not serve yet.
#[derive(Debug)]
pub struct Admin(TcpListener);

impl Admin {
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(address: SocketAddr) -> io::Result<Admin> {
        TcpListener::bind(address).await.map(Admin)
    }

    /// The address, with the port that the system chose where 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves for as long as it is polled.
    pub async fn serve(self, inquirer: Inquirer) {
        if let Ok(address) = self.address() {
            tracing::info!(%address, "serving /livez, /readyz and /metrics");
        }
        let routes = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(inquirer);
        // It goes on after errors of connections, and has no other end.
        let _ = axum::serve(self.0, routes).await;
    }
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
    match view.as_ref().map(|view| view.state) {
        Ok(Is::Consuming | Is::Standby) if let Some(why) = hindrance => {
            unwell(&format!("not ready: {why}"))
        }
        Ok(Is::Consuming) => health(StatusCode::OK, "ready: consuming"),
        Ok(Is::Standby) => health(StatusCode::OK, "ready: idle, no messages yet"),
        Ok(Is::Connecting) => {
            let why = view.ok().and_then(|view| view.unconnected);
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            unwell(&format!("not ready: no broker session{why}"))
        }
        Ok(Is::Draining) => unwell("not ready: draining"),
        Ok(Is::Paused(reason)) => match trouble.filter(|_| reason.code.is_none()) {
            Some(trouble) => unwell(&format!("not ready: {reason} (the latest call: {trouble})")),
            None => unwell(&format!("not ready: {reason}")),
        },
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

fn answer(status: StatusCode, content_type: &'static str, text: String) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        // A proxy that keeps an answer would keep the worker well.
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // By this, `tagsweep health` knows a worker.
        (
            SERVER,
            HeaderValue::from_static(concat!("tagsweep/", env!("CARGO_PKG_VERSION"))),
        ),
    ];
    (status, headers, text).into_response()
}
