//! Traces, as a receiver of OTLP gets them from the program.

mod receiver;

use std::collections::BTreeMap;
use std::time::Duration;

use im_simulator::{Fault, Rule};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::json;
use testkit::amqp::Outgoing;
use testkit::tls::{Certificates, TlsFront};
use tokio::net::TcpListener;

use crate::program::{Program, Running};
use crate::stage::*;
use receiver::{Receiver, texts};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const CALL: &str = "POST /v4/all_member_push/im_remove_all_tags";

/// The span in which somebody published an event.
struct Published {
    trace: [u8; 16],
    span: [u8; 8],
}

impl Published {
    fn new() -> Published {
        let mut published = Published {
            trace: [1; 16],
            span: [1; 8],
        };
        fastrand::fill(&mut published.trace[1..]);
        fastrand::fill(&mut published.span[1..]);
        published
    }

    fn header(&self) -> String {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        format!("00-{}-{}-01", hex(&self.trace), hex(&self.span))
    }
}

/// What a span links to, as pairs of trace and span.
fn links(span: &Span) -> Vec<(Vec<u8>, Vec<u8>)> {
    let links = span.links.iter();
    links
        .map(|link| (link.trace_id.clone(), link.span_id.clone()))
        .collect()
}

fn pairs(published: &[&Published]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let published = published.iter();
    published
        .map(|span| (span.trace.to_vec(), span.span.to_vec()))
        .collect()
}

fn expected(attributes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let attributes = attributes.iter();
    attributes
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A worker whose spans do not wait for others.
fn sending(stage: &Stage, endpoint: &str) -> Program {
    stage
        .program("run")
        .variable(ENDPOINT, endpoint)
        .variable("OTEL_BSP_SCHEDULE_DELAY", 20)
}

async fn consuming(program: Program) -> Running {
    let worker = program.start();
    worker.says("broker session open").await;
    worker
}

/// Ends a worker in good order, soon, and gives its log.
async fn end(stage: &Stage, worker: Running) -> String {
    worker.signal("TERM").await;
    // Below the 10 s after which a request to a receiver is given up.
    let (code, log) = within(Duration::from_secs(8), worker.ended()).await;
    assert_eq!(code, Some(0), "{log}");
    stage.waits_in_the_queue(0).await;
    log
}

#[tokio::test]
async fn a_window_links_to_the_spans_that_its_events_came_from_and_has_its_call_below_it() {
    let receiver = Receiver::start().await;
    let stage = Stage::new().await;
    stage.import(0..5);
    let program = sending(&stage, &receiver.url())
        .set("window.max_ids", 5)
        .set("window.max_wait", "5m");
    let worker = consuming(program).await;
    let [plain, cloud] = [Published::new(), Published::new()];
    let two = json!({ "type": "user.deleted", "user_ids": [user(0), user(1)] });
    let plain_headers = [
        ("traceparent", plain.header()),
        ("tracestate", "vendor=1".to_owned()),
    ];
    let plain_headers = plain_headers
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    stage
        .publish([
            Outgoing::json("user.deleted", two).with_headers(&plain_headers),
            deleted(2).with_headers(&[("cloudEvents:traceparent", &cloud.header())]),
            deleted(3),
            deleted(4).with_headers(&plain_headers),
        ])
        .await;
    let spans = receiver.spans(2).await;
    end(&stage, worker).await;

    let [window, call] = spans.as_slice() else {
        unreachable!("two spans were waited for");
    };
    assert_eq!(window.name, "process tagsweep.events");
    assert_eq!(window.kind(), SpanKind::Consumer);
    assert!(window.parent_span_id.is_empty());
    let attributes = [
        ("messaging.system", "rabbitmq"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", QUEUE),
        ("messaging.batch.message_count", "#4"),
        ("tagsweep.window.trigger", "full"),
        ("tagsweep.window.ids", "#5"),
    ];
    assert_eq!(texts(&window.attributes), expected(&attributes));
    // Two events came from one span: it is linked once.
    assert_eq!(links(window), pairs(&[&plain, &cloud]));
    assert_eq!(window.links[0].trace_state, "vendor=1");

    assert_eq!(call.name, CALL);
    assert_eq!(call.kind(), SpanKind::Client);
    assert_eq!(call.trace_id, window.trace_id);
    assert_eq!(call.parent_span_id, window.span_id);
    assert_eq!(links(call), []);
    let port = format!("#{}", stage.simulator.address().port());
    let attributes = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "#200"),
        ("server.address", "127.0.0.1"),
        ("server.port", port.as_str()),
        ("tagsweep.api.error_code", "#0"),
        ("url.scheme", "http"),
        ("url.template", "/v4/all_member_push/im_remove_all_tags"),
    ];
    assert_eq!(texts(&call.attributes), expected(&attributes));
    for span in [window, call] {
        assert_eq!(
            span.status.clone().unwrap_or_default().code(),
            StatusCode::Unset
        );
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }

    let request = &receiver.requests()[0];
    assert_eq!(request.path, "/v1/traces");
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
    let resource = request.resource();
    assert_eq!(resource["service.name"], "tagsweep");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(resource["service.instance.id"].len(), 32);
    receiver.assert_clean();
}

#[tokio::test]
async fn a_window_that_is_called_again_goes_on_in_the_trace_of_the_first() {
    const SERVICE_TIMEOUT: i32 = 60008;
    let receiver = Receiver::start().await;
    let stage = Stage::new().await;
    stage.import(0..1);
    let fault = Rule::new(Fault::Answer(SERVICE_TIMEOUT)).next_calls(1);
    stage.simulator.add_fault(fault);
    let worker = consuming(sending(&stage, &receiver.url())).await;
    let published = Published::new();
    let traceparent = published.header();
    stage
        .publish([deleted(0).with_headers(&[("traceparent", &traceparent)])])
        .await;
    stage.cleared(1).await;
    // The control call, which tells that the API works, has a trace of its own.
    let mut spans = receiver.spans(6).await;
    end(&stage, worker).await;

    let trace = spans[0].trace_id.clone();
    spans.retain(|span| span.trace_id == trace);
    let [first, failed, second, succeeded] = spans.as_slice() else {
        unreachable!("four spans were waited for");
    };
    assert_eq!(second.parent_span_id, first.span_id);
    assert_eq!(failed.parent_span_id, first.span_id);
    assert_eq!(succeeded.parent_span_id, second.span_id);
    for span in &spans {
        assert_eq!(span.trace_id, first.trace_id);
    }
    for window in [first, second] {
        assert_eq!(links(window), pairs(&[&published]));
    }
    assert_eq!(
        texts(&second.attributes)["tagsweep.window.trigger"],
        "retry"
    );
    for span in [first, failed] {
        assert_eq!(span.status.clone().unwrap().code(), StatusCode::Error);
        assert_eq!(texts(&span.attributes)["error.type"], "60008");
    }
    let failed = texts(&failed.attributes);
    assert_eq!(failed["tagsweep.api.error_code"], "#60008");
    assert_eq!(failed["http.response.status_code"], "#200");
    for span in [second, succeeded] {
        assert!(!texts(&span.attributes).contains_key("error.type"));
    }
    receiver.assert_clean();
}

#[tokio::test]
async fn the_standard_variables_are_obeyed() {
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path()).unwrap();
    let front = TlsFront::start(receiver.address(), &certificates.server);
    let front = front.await.unwrap();
    let stage = Stage::new().await;
    stage.import(0..1);
    let endpoint = format!(
        "https://127.0.0.1:{}/gateway/traces",
        front.address().port()
    );
    let program = stage
        .program("run")
        .variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint)
        .variable(
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            certificates.server_authority.display(),
        )
        .variable(
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            certificates.client.certificate.display(),
        )
        .variable(
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            certificates.client.key.display(),
        )
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=erasure")
        .variable("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .variable("OTEL_SERVICE_NAME", "erasure")
        .variable(
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.instance.id=pod-1,cloud.region=x",
        );
    let worker = consuming(program).await;
    stage.delete(0..1).await;
    stage.cleared(1).await;
    // What waits for a full queue or for five seconds is sent at the end.
    end(&stage, worker).await;
    receiver.spans(2).await;
    let request = &receiver.requests()[0];
    assert_eq!(request.path, "/gateway/traces");
    assert_eq!(request.headers["x-tenant"], "erasure");
    assert_eq!(request.headers["content-encoding"], "gzip");
    let resource = request.resource();
    assert_eq!(resource["service.name"], "erasure");
    assert_eq!(resource["service.instance.id"], "pod-1");
    assert_eq!(resource["cloud.region"], "x");
}

#[tokio::test]
async fn without_the_variables_or_with_one_that_says_off_nothing_is_sent() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let endpoint = (ENDPOINT, url.as_str());
    for (variables, warned) in [
        (&[][..], false),
        (&[endpoint, ("OTEL_SDK_DISABLED", "true")], false),
        (&[endpoint, ("OTEL_TRACES_EXPORTER", "none")], false),
        (&[endpoint, ("OTEL_TRACES_SAMPLER", "always_off")], false),
        (&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], true),
    ] {
        let stage = Stage::new().await;
        stage.import(0..1);
        let variables = variables.iter();
        let program = variables.fold(stage.program("run"), |program, (name, value)| {
            program.variable(name, value)
        });
        let worker = consuming(program).await;
        let traceparent = Published::new().header();
        stage
            .publish([deleted(0).with_headers(&[("traceparent", &traceparent)])])
            .await;
        stage.cleared(1).await;
        let log = end(&stage, worker).await;
        assert_eq!(log.contains("traces disabled"), warned, "{log}");
        assert!(receiver.requests().is_empty(), "{log}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_away_or_hangs_delays_neither_work_nor_end() {
    let away = "http://127.0.0.1:1".to_owned();
    // The system takes connections for it, and nobody ever answers.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute_url = format!("http://{}", mute.local_addr().unwrap());
    for (url, hangs) in [(away, false), (mute_url, true)] {
        let stage = Stage::new().await;
        stage.import(0..20);
        let worker = consuming(sending(&stage, &url)).await;
        stage.delete(0..10).await;
        stage.cleared(10).await;
        let _connection = match hangs {
            true => Some(mute.accept().await.unwrap()),
            false => {
                worker.says("cannot export spans").await;
                None
            }
        };
        stage.delete(10..20).await;
        stage.cleared(20).await;
        let log = end(&stage, worker).await;
        assert!(log.contains("spans lost at shutdown"), "{log}");
        let told = log.matches("cannot export spans").count();
        assert_eq!(told, usize::from(!hangs), "{log}");
    }
}
