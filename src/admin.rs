//! Health, metrics and the console over HTTP.
//!
//! Every answer about the worker comes from its main loop: a worker that does not answer is not healthy. Health and
//! metrics change nothing; the console does, for whoever has logged in with `admin.token`.

mod console;
mod health;

use std::io;
use std::net::SocketAddr;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SERVER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use crate::config::Settings;
use crate::rabbitmq::Options;
use crate::shell::Inquirer;

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

    /// Serves for as long as it is polled. The console reads dead letters with connections of its own, by `broker`.
    pub async fn serve(self, inquirer: Inquirer, settings: &Settings, broker: Options) {
        if let Ok(address) = self.address() {
            tracing::info!(%address, "serving /livez, /readyz, /metrics and the console at /");
        }
        let health = health::routes(inquirer.clone());
        let routes = health.merge(console::routes(inquirer, settings, broker));
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        // It goes on after errors of connections, and has no other end.
        let _ = axum::serve(self.0, service).await;
    }
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
