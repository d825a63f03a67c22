//! Counts lost spans. The SDK drops them silently: when its queue is full, when the receiver refuses them, when
//! there is no time left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};

#[derive(Debug, Default)]
pub(super) struct Tally {
    ended: AtomicU64,
    arrived: AtomicU64,
}

impl Tally {
    pub(super) fn lost(&self) -> u64 {
        let arrived = self.arrived.load(Ordering::Relaxed);
        self.ended.load(Ordering::Relaxed).saturating_sub(arrived)
    }
}

/// One of the two ends of the SDK's queue, with a count of the spans that pass it.
#[derive(Debug)]
pub(super) struct Counted<E> {
    end: E,
    tally: Arc<Tally>,
}

impl<E> Counted<E> {
    pub(super) fn new(end: E, tally: &Arc<Tally>) -> Counted<E> {
        let tally = Arc::clone(tally);
        Counted { end, tally }
    }
}

impl SpanProcessor for Counted<BatchSpanProcessor> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.end.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.tally.ended.fetch_add(1, Ordering::Relaxed);
        self.end.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.end.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.end.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.end.set_resource(resource);
    }
}

impl SpanExporter for Counted<OtlpExporter> {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        let count = spans.len() as u64;
        let sent = self.end.export(spans).await;
        if sent.is_ok() {
            self.tally.arrived.fetch_add(count, Ordering::Relaxed);
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.end.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.end.shutdown()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.end.set_resource(resource);
    }
}
