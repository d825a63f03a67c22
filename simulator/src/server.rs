//! The HTTP server: reads calls, applies faults to their answers, serves the control paths.

use std::convert::Infallible;
use std::future;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::call::Call;
use crate::control;
use crate::faults::{Fault, Page};
use crate::service::Outcome;
use crate::simulator::Shared;
use crate::wire::{Cut, CuttableListener};

/// As the usual gateway in front of such a service.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Serves until dropped.
pub(crate) async fn serve(listener: CuttableListener, shared: Shared) -> io::Result<()> {
    let app = Router::new()
        .nest("/_sim", control::router())
        .fallback(call)
        .with_state(shared)
        .into_make_service_with_connect_info::<Cut>();
    axum::serve(listener, app).await
}

async fn call(
    State(shared): State<Shared>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return error_page(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let (outcome, clock_ahead) = {
        let mut service = shared.service();
        let clock_ahead = service.options.clock_ahead;
        let wall_clock = unix_seconds(SystemTime::now() + clock_ahead);
        let call = Call::new(parts.method, parts.uri, &body, Instant::now(), wall_clock);
        (service.receive(&call), clock_ahead)
    };
    let _in_flight = outcome.in_flight.then(|| InFlight(shared.clone()));
    shared.announce();
    let mut response = perform(outcome, &cut, &parts.headers).await;
    let date = http_date(SystemTime::now() + clock_ahead);
    response.headers_mut().insert(header::DATE, date);
    response
}

/// Gives the place of a call back when its answer begins, or when the client has gone away.
struct InFlight(Shared);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.service().stats.in_flight -= 1;
        self.0.announce();
    }
}

/// Waits, then answers as the outcome says, or spoils the answer as its fault says.
async fn perform(outcome: Outcome, cut: &Cut, request: &HeaderMap) -> Response {
    if !outcome.latency.is_zero() {
        tokio::time::sleep(outcome.latency).await;
    }
    let body = outcome.answer.map(|answer| answer.body).unwrap_or_default();
    match outcome.fault {
        Some(Fault::Hang) => future::pending().await,
        Some(Fault::Reset | Fault::LostAnswer) => {
            cut.now();
            error_page(StatusCode::BAD_GATEWAY)
        }
        Some(Fault::ErrorStatus(status)) => {
            error_page(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY))
        }
        Some(Fault::Page(dictated)) => page(dictated),
        Some(Fault::Truncated) => {
            let length = body.len();
            answer(truncated(body), length, request)
        }
        Some(Fault::SlowDrip(gap)) => {
            let length = body.len();
            answer(dripping(body, gap), length, request)
        }
        Some(Fault::BrokenJson) => {
            let broken = body.slice(..body.len().saturating_sub(1));
            whole(broken, request)
        }
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            whole(body, request)
        }
        Some(Fault::Answer(_) | Fault::Body(_)) | None => whole(body, request),
    }
}

fn whole(body: Bytes, request: &HeaderMap) -> Response {
    let length = body.len();
    answer(Body::from(body), length, request)
}

/// The headers of the official sample. There is no `Content-Type` among them, on purpose.
fn answer(body: Body, length: usize, request: &HeaderMap) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("nginx/1.7.10"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let closes = request
        .get(header::CONNECTION)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    if !closes {
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
    }
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "X-Requested-With"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn page(
    Page {
        status,
        headers,
        body,
    }: Page,
) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value).expect("a header's value");
        response.headers_mut().insert(name, value);
    }
    response
}

fn error_page(status: StatusCode) -> Response {
    let page = format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1>\
         </center>\r\n<hr><center>nginx/1.7.10</center>\r\n</body>\r\n</html>\r\n"
    );
    let headers = [
        (header::SERVER, "nginx/1.7.10"),
        (header::CONTENT_TYPE, "text/html"),
    ];
    (status, headers, page).into_response()
}

/// Half of the body, then an error, on which the server closes the connection. In between it yields
/// once, so that the first half is really sent.
fn truncated(body: Bytes) -> Body {
    let half = body.slice(..body.len() / 2);
    let end = stream::once(async {
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::UnexpectedEof))
    });
    Body::from_stream(stream::once(future::ready(Ok(half))).chain(end))
}

fn dripping(body: Bytes, gap: Duration) -> Body {
    let bytes = (0..body.len()).map(move |index| body.slice(index..=index));
    Body::from_stream(stream::iter(bytes).then(move |byte| async move {
        tokio::time::sleep(gap).await;
        Ok::<_, Infallible>(byte)
    }))
}

/// The time as the header `Date` has it.
fn http_date(time: SystemTime) -> HeaderValue {
    let date = jiff::Timestamp::try_from(time).ok().and_then(|time| {
        DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&time)
            .ok()
    });
    let date = date.expect("a clock between the years -9999 and 9999");
    HeaderValue::from_str(&date).expect("a date is ASCII")
}

/// The time in the unit of UserSigs.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
