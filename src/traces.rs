//! Traces: spans in OpenTelemetry's form, sent by OTLP over HTTP.
//!
//! The only part that knows OpenTelemetry. It is told of windows and calls in the words of messaging and
//! HTTP, and no user ID ever comes here. Nobody waits for it: what the receiver does not take is lost.

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

/// How long the last spans may take on their way when the worker has ended.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why no traces are sent. The libraries' own words may repeat a URL with a key in it.
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

/// Sends spans until [`end`](Traces::end).
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tally: Arc<Tally>,
}

impl Traces {
    /// Spans are gathered and encoded on a thread of their own, and sent by the tokio runtime that this is
    /// called in.
    ///
    /// # Errors
    /// When the receiver's URL or a certificate cannot be used. Nothing is connected to yet.
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

    /// What makes the spans of a worker that takes events from `queue` and calls `api`.
    pub fn spans(&self, queue: &str, api: Api<'_>) -> Spans {
        Spans::new(self.provider.tracer("tagsweep"), queue, api)
    }

    /// Sends what is left, for a second at most.
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

/// Who sends. What `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say wins.
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
