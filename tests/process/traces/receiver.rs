//! A receiver of OTLP over HTTP, as far as traces go: it takes everything, and shows what it took.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::program::PATIENCE;
use crate::secrets;

pub struct Receiver {
    address: SocketAddr,
    requests: Requests,
    serving: JoinHandle<()>,
}

type Requests = Arc<Mutex<Vec<Request>>>;

#[derive(Clone)]
pub struct Request {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// What it holds, unpacked.
    body: Vec<u8>,
}

impl Receiver {
    pub async fn start() -> Receiver {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Requests::default();
        // Whatever path is asked for: that a wrong one is used must not look like silence.
        let routes = Router::new()
            .fallback(take)
            .with_state(Arc::clone(&requests));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Receiver {
            address,
            requests,
            serving,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until so many spans are there, and gives them in the order of their starts.
    pub async fn spans(&self, count: usize) -> Vec<Span> {
        let mut spans = testkit::eventually(PATIENCE, "spans arrive", async || {
            let requests = self.requests();
            let resources = requests
                .iter()
                .flat_map(|request| request.message().resource_spans);
            let scopes = resources.flat_map(|resource| resource.scope_spans);
            let spans: Vec<Span> = scopes.flat_map(|scope| scope.spans).collect();
            (spans.len() >= count).then_some(spans)
        })
        .await;
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }

    /// Panics where something was sent that must stay in the worker.
    pub fn assert_clean(&self) {
        for Request { headers, body, .. } in self.requests() {
            secrets::assert_clean_text("a body", &String::from_utf8_lossy(&body));
            secrets::assert_clean_text("headers", &format!("{headers:?}"));
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Request {
    fn message(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(self.body.as_slice()).expect("OTLP")
    }

    /// The attributes of who sent it.
    pub fn resource(&self) -> BTreeMap<String, String> {
        let resources = self.message().resource_spans;
        let [resource] = resources.as_slice() else {
            panic!("not one resource: {resources:#?}");
        };
        texts(&resource.resource.as_ref().unwrap().attributes)
    }
}

async fn take(State(requests): State<Requests>, uri: Uri, headers: HeaderMap, body: Bytes) {
    let headers: BTreeMap<String, String> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let body = match headers.get("content-encoding").map(String::as_str) {
        Some("gzip") => {
            let mut unpacked = Vec::new();
            GzDecoder::new(&*body).read_to_end(&mut unpacked).unwrap();
            unpacked
        }
        _ => body.to_vec(),
    };
    requests.lock().unwrap().push(Request {
        path: uri.path().to_owned(),
        headers,
        body,
    });
}

/// Attributes with their values as text, and numbers marked as such.
pub fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text =
        |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::IntValue(number)) => format!("#{number}"),
            other => format!("{other:?}"),
        };
    let attributes = attributes.iter();
    attributes
        .map(|attribute| (attribute.key.clone(), text(&attribute.value)))
        .collect()
}
