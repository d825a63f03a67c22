//! The spans of a worker: one for each window, with links to the spans that its events came from, and
//! below it one for its call. Names follow OpenTelemetry's semantic conventions.

use std::borrow::Cow;
use std::collections::HashSet;

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span};
use url::Url;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Maximum size of a `tracestate` in bytes: what W3C requires to be passed on. It is kept with its event.
const LONGEST_TRACESTATE: usize = 512;

/// The span that an event, or a window, came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin(SpanContext);

impl Origin {
    /// Reads W3C Trace Context from the headers of a message, else the attributes of a CloudEvent in them.
    /// None where there is none, or none that is valid.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Origin> {
        let prefix = ["", "cloudEvents:", "cloudEvents_"]
            .into_iter()
            .find(|prefix| header(&format!("{prefix}{TRACEPARENT}")).is_some())?;
        let carrier = Carrier {
            traceparent: header(&format!("{prefix}{TRACEPARENT}"))?,
            tracestate: header(&format!("{prefix}{TRACESTATE}"))
                .filter(|state| state.len() <= LONGEST_TRACESTATE),
        };
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        let origin = context.span().span_context().clone();
        origin.is_valid().then_some(Origin(origin))
    }
}

struct Carrier<'a> {
    traceparent: &'a str,
    tracestate: Option<&'a str>,
}

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(self.traceparent),
            TRACESTATE => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

/// Where calls go to.
#[derive(Clone, Copy, Debug)]
pub struct Api<'a> {
    pub base_url: &'a Url,
    pub path: &'a str,
}

/// Creates spans.
#[derive(Clone, Debug)]
pub struct Spans {
    tracer: SdkTracer,
    window: SpanBuilder,
    call: SpanBuilder,
}

/// The running spans of a window and of its call. Dropping it ends both.
#[derive(Debug)]
pub struct OpenWindow {
    // Fields are dropped in this order: the child ends first.
    call: Span,
    window: Span,
}

/// How a call ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub http_status: Option<u16>,
    /// The API's error code; 0 for success.
    pub api_code: Option<i64>,
    /// Why the call failed as a whole, if it did: one of a small set of words.
    pub error: Option<Cow<'static, str>>,
    /// Users that failed in a call that succeeded as a whole.
    pub failed_ids: usize,
}

impl Spans {
    pub(super) fn new(tracer: SdkTracer, queue: &str, api: Api<'_>) -> Spans {
        let window = SpanBuilder::from_name(format!("process {queue}"))
            .with_kind(SpanKind::Consumer)
            .with_attributes([
                KeyValue::new("messaging.system", "rabbitmq"),
                KeyValue::new("messaging.operation.name", "process"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.destination.name", queue.to_owned()),
            ]);
        let host = api.base_url.host_str().unwrap_or_default().to_owned();
        let port = api.base_url.port_or_known_default().unwrap_or_default();
        // No url.full: the UserSig is in its query.
        let call = SpanBuilder::from_name(format!("POST {}", api.path))
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("server.address", host),
                KeyValue::new("server.port", i64::from(port)),
                KeyValue::new("url.scheme", api.base_url.scheme().to_owned()),
                KeyValue::new("url.template", api.path.to_owned()),
            ]);
        Spans {
            tracer,
            window,
            call,
        }
    }

    /// Starts the spans of a window with this many IDs. It starts a trace, or continues that of the window in which
    /// its users were first called.
    pub fn window(&self, trigger: &'static str, ids: usize, first: Option<Origin>) -> OpenWindow {
        let parent = match first {
            Some(Origin(first)) => Context::new().with_remote_span_context(first),
            None => Context::new(),
        };
        let window = self.window.clone();
        let mut window = self.tracer.build_with_context(window, &parent);
        window.set_attributes([
            KeyValue::new("tagsweep.window.trigger", trigger),
            KeyValue::new("tagsweep.window.ids", ids as i64),
        ]);
        let parent = Context::new().with_remote_span_context(window.span_context().clone());
        let call = self.call.clone();
        let call = self.tracer.build_with_context(call, &parent);
        OpenWindow { call, window }
    }
}

impl OpenWindow {
    /// The window's own span.
    pub fn origin(&self) -> Origin {
        Origin(self.window.span_context().clone())
    }

    /// Links the window to the spans of its events. Each is linked once, up to the SDK's limit: 128, unless
    /// `OTEL_SPAN_LINK_COUNT_LIMIT` changes it.
    pub fn link<'a>(&mut self, events: usize, origins: impl Iterator<Item = &'a Origin>) {
        let events = KeyValue::new("messaging.batch.message_count", events as i64);
        self.window.set_attribute(events);
        let mut linked = HashSet::new();
        for Origin(origin) in origins {
            if linked.insert((origin.trace_id(), origin.span_id())) {
                self.window.add_link(origin.clone(), Vec::new());
            }
        }
    }

    /// Ends the spans.
    pub fn end(mut self, outcome: Outcome) {
        let status = outcome.http_status.map(i64::from);
        self.call.set_attributes(
            [
                ("http.response.status_code", status),
                ("tagsweep.api.error_code", outcome.api_code),
            ]
            .into_iter()
            .filter_map(|(name, value)| Some(KeyValue::new(name, value?))),
        );
        if outcome.failed_ids > 0 {
            let failed = KeyValue::new("tagsweep.window.failed_ids", outcome.failed_ids as i64);
            self.window.set_attribute(failed);
        }
        if let Some(error) = outcome.error {
            for span in [&mut self.call, &mut self.window] {
                span.set_attribute(KeyValue::new("error.type", error.clone()));
                span.set_status(Status::error(""));
            }
        }
        self.call.end();
        self.window.end();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &str = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-00";

    fn read(headers: &[(&str, &'static str)]) -> Option<Origin> {
        Origin::read(|name| {
            let found = headers.iter().find(|(header, _)| *header == name);
            found.map(|(_, value)| *value)
        })
    }

    #[test]
    fn the_context_of_a_message_is_read_as_w3c_writes_it() {
        let Origin(origin) = read(&[(TRACEPARENT, PARENT), (TRACESTATE, "a=1,b=2")]).unwrap();
        assert_eq!(
            origin.trace_id().to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(origin.span_id().to_string(), "b7ad6b7169203331");
        assert!(origin.is_sampled() && origin.is_remote());
        assert_eq!(origin.trace_state().header(), "a=1,b=2");
    }

    #[test]
    fn a_cloud_events_attribute_counts_where_the_plain_header_is_absent() {
        let plain = read(&[(TRACEPARENT, PARENT)]);
        for name in ["cloudEvents:traceparent", "cloudEvents_traceparent"] {
            assert_eq!(read(&[(name, PARENT)]), plain);
            assert_eq!(read(&[(name, OTHER), (TRACEPARENT, PARENT)]), plain);
            // A sender who writes the plain one wrongly has no context to give.
            assert_eq!(read(&[(name, OTHER), (TRACEPARENT, "wrong")]), None);
        }
    }

    #[test]
    fn what_is_no_context_is_none() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[(TRACESTATE, "a=1")]), None);
        for wrong in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(read(&[(TRACEPARENT, wrong)]), None, "{wrong}");
        }
    }

    #[test]
    fn a_long_tracestate_is_left_out() {
        let long = format!("a={}", "1".repeat(LONGEST_TRACESTATE)).leak();
        let Origin(origin) = read(&[(TRACEPARENT, PARENT), (TRACESTATE, long)]).unwrap();
        assert_eq!(origin.trace_state().header(), "");
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange_to_be_read(
            parent in "(00-)?[0-9a-f-]{0,60}|\\PC{0,60}",
            state in "\\PC{0,60}",
        ) {
            let _ = Origin::read(|name| match name {
                TRACEPARENT => Some(parent.as_str()),
                TRACESTATE => Some(state.as_str()),
                _ => None,
            });
        }
    }
}
