//! Traces: OpenTelemetry spans, exported with OTLP over HTTP.
//!
//! The only module that uses OpenTelemetry. It gets windows and calls in terms of messaging and HTTP, and never a
//! user ID. Nothing waits for it: spans that the receiver does not accept are lost.

mod receiver;
mod spans;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};

use crate::config;
use receiver::Receiver;
pub use spans::{Api, OpenWindow, Origin, Outcome, Spans};
use tally::{Counted, Tally};

/// How long exporting the last spans may take when the worker has ended.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why traces are disabled. The texts are fixed: a library's may contain a URL with a key.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("OTEL_EXPORTER_OTLP_CERTIFICATE holds no readable PEM certificate")]
    TrustRoot,
    #[error("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE or _CLIENT_KEY cannot be used")]
    Identity,
    #[error("TLS could not be set up with the given or the system's trust roots")]
    Tls,
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used")]
    Exporter,
}

/// Exports spans until [`end`](Traces::end).
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tally: Arc<Tally>,
}

impl Traces {
    /// Spans are collected and encoded on a separate thread, and sent by the calling tokio runtime.
    ///
    /// # Errors
    /// When the receiver's URL or a certificate cannot be used. No connection is made yet.
    pub fn start(settings: &config::Traces) -> Result<Traces, StartError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(settings.timeout)
            .with_http_client(Receiver::new(settings)?)
            .build()
            .map_err(|_| StartError::Exporter)?;
        let tally = Arc::new(Tally::default());
        let exporter = Counted::new(exporter, &tally);
        let queue = BatchSpanProcessor::builder(exporter).build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(settings.service_name.clone()))
            .with_span_processor(Counted::new(queue, &tally))
            .build();
        tracing::info!(receiver = settings.receiver, "sending traces");
        Ok(Traces { provider, tally })
    }

    /// Creates the spans of a worker that consumes `queue` and calls `api`.
    pub fn spans(&self, queue: &str, api: Api<'_>) -> Spans {
        Spans::new(self.provider.tracer("tagsweep"), queue, api)
    }

    /// Exports the remaining spans, for at most a second.
    pub async fn end(self) {
        let Traces { provider, tally } = self;
        // It blocks, and this runtime has the last requests to make meanwhile.
        let end = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(GOODBYE));
        // What it could not send is in the tally.
        let _ = end.await;
        let lost = tally.lost();
        if lost > 0 {
            tracing::warn!(spans = lost, "spans lost at shutdown");
        }
    }
}

/// The resource of the spans. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` take precedence.
fn resource(service_name: Option<String>) -> Resource {
    let ours = [
        KeyValue::new("service.name", "tagsweep"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new(
            "service.instance.id",
            format!("{:032x}", fastrand::u128(..)),
        ),
    ];
    let resource = Resource::builder_empty()
        .with_attributes(ours)
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match service_name {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}
