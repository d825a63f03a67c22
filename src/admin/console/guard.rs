//! What keeps other sites out: the names under which the console answers, where a form may come from, and what a
//! page may load.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, SERVER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use super::Shared;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// For every answer of the console. Forms send their origin only under a policy like this one, and where a browser
/// trusts the connection too little for `Sec-Fetch-Site`, that is how we know our own.
const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (CACHE_CONTROL, "no-store"),
    (SERVER, concat!("tagsweep/", env!("CARGO_PKG_VERSION"))),
];

pub(super) async fn headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page of another site may make a name of its own point here, and would then be same-origin with the console. So
/// the console answers only under names that nobody else has.
pub(super) async fn known_host(State(console): Shared, request: Request, next: Next) -> Response {
    let in_target = request.uri().host();
    let in_header = request.headers().get(HOST);
    let host = in_target.or(in_header.and_then(|host| host.to_str().ok()));
    if host.is_some_and(|host| is_known(host, &console.facts.hosts)) {
        return next.run(request).await;
    }
    let why = "The console does not answer under this host name. Use an IP address or localhost, or add the name to \
               admin.hosts.\n";
    (StatusCode::FORBIDDEN, why).into_response()
}

fn is_known(host: &str, names: &[String]) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = without_port.trim_start_matches('[').trim_end_matches(']');
    let name = without_port.trim_end_matches('.');
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Refuses what is posted from pages of other sites.
pub(super) fn same_origin() -> CsrfLayer<fn(ProtectionError) -> Response<Body>> {
    CsrfLayer::new().with_rejection_response(cross_site as fn(_) -> _)
}

fn cross_site(_: ProtectionError) -> Response<Body> {
    let why = "This form was sent from a page of another site. Open the console itself and do it there.\n";
    let content_type = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::FORBIDDEN, content_type, why).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_the_names_of_the_configuration_are_known_and_no_others() {
        let names = ["tagsweep.example.com".to_owned()];
        for host in [
            "127.0.0.1:9464",
            "10.1.2.3",
            "[::1]:9464",
            "[fd00::7]",
            "localhost",
            "LOCALHOST:80",
            "tagsweep.example.com",
            "Tagsweep.Example.com:443",
            "tagsweep.example.com.",
        ] {
            assert!(is_known(host, &names), "{host}");
        }
        for host in [
            "",
            ":9464",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xtagsweep.example.com",
            "tagsweep.example.com.evil.example:9464",
            "tagsweep.example.com@evil.example",
        ] {
            assert!(!is_known(host, &names), "{host}");
        }
    }
}
