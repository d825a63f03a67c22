//! Exports spans with the worker's own HTTP library, one request after the other.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity};
use secrecy::ExposeSecret;
use tokio::runtime::Handle;

use super::StartError;
use crate::config;

#[derive(Debug)]
pub(super) struct Receiver {
    http: reqwest::Client,
    /// The SDK calls from its own thread, which has no runtime.
    runtime: Handle,
    /// Whether the last request failed, so that this is logged once.
    failing: AtomicBool,
}

/// Why an export failed. The texts are fixed: a library's may contain the URL, and with it a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Trouble {
    #[error("HTTP status {0}")]
    Status(u16),
    #[error("cannot connect")]
    Connect,
    #[error("timed out")]
    Timeout,
    #[error("the connection broke, or the answer could not be read")]
    Interrupted,
}

impl Receiver {
    /// As strict as the API's client: follows no redirect, and ignores proxy variables.
    pub(super) fn new(settings: &config::Traces) -> Result<Receiver, StartError> {
        let mut http = reqwest::Client::builder()
            .timeout(settings.timeout)
            .redirect(Policy::none())
            .no_proxy();
        if settings.receiver.starts_with("http:") {
            // Nothing to trust, and a bare container may have no roots to load.
            http = http.tls_certs_only([]);
        } else if let Some(pem) = &settings.ca_pem {
            let roots = Certificate::from_pem_bundle(pem.as_bytes())
                .ok()
                .filter(|roots| !roots.is_empty())
                .ok_or(StartError::TrustRoot)?;
            http = http.tls_certs_only(roots);
        }
        if let Some(pem) = &settings.identity_pem {
            let identity = Identity::from_pem(pem.expose_secret().as_bytes());
            http = http.identity(identity.map_err(|_| StartError::Identity)?);
        }
        Ok(Receiver {
            http: http.build().map_err(|_| StartError::Tls)?,
            runtime: Handle::current(),
            failing: AtomicBool::new(false),
        })
    }

    fn note(&self, trouble: Option<Trouble>) {
        let failed = self.failing.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(trouble) if !failed => {
                tracing::warn!(reason = %trouble, "cannot export spans; those that the queue cannot hold are lost");
            }
            None if failed => tracing::info!("span export recovered"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Receiver {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let exchange = async move { http.send_bytes(request).await };
        // It only fails when the runtime ends, and the process with it.
        let answer = self.runtime.spawn(exchange).await?;
        self.note(trouble(&answer));
        answer
    }
}

fn trouble(answer: &Result<Response<Bytes>, HttpError>) -> Option<Trouble> {
    match answer {
        Ok(answer) if answer.status().is_success() => None,
        Ok(answer) => Some(Trouble::Status(answer.status().as_u16())),
        Err(error) => Some(match error.downcast_ref::<reqwest::Error>() {
            Some(error) if error.is_connect() => Trouble::Connect,
            Some(error) if error.is_timeout() => Trouble::Timeout,
            _ => Trouble::Interrupted,
        }),
    }
}
