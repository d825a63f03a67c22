//! What an HTTP status means where the API's own answer should be.
//!
//! The API answers each call with status 200 and JSON, its refusals too. Any other status, and a page that is
//! no JSON, comes from something in between: a proxy, a gateway, a captive portal, or a host that is not the
//! API.

use super::codes::Class;

/// What is known of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpStatus {
    pub class: Class,
    pub meaning: &'static str,
}

/// What `status` means. `told_when` says that the answer names the time of the next try (`Retry-After`).
pub fn http_status(status: u16, told_when: bool) -> HttpStatus {
    let (class, meaning) = match status {
        200..=299 => (
            Class::Transient,
            "a page without the API's JSON: a proxy, gateway or captive portal answers instead of the API; check im.base_url and im.path",
        ),
        300..=399 => (
            Class::Config,
            "a redirect, which is never followed: is im.base_url right?",
        ),
        401 | 407 => (
            Class::Config,
            "a proxy or gateway asks for a login; check im.proxy_url and im.base_url",
        ),
        403 => (
            Class::Config,
            "a proxy, gateway or firewall forbids the call; check im.base_url, im.proxy_url and the address it comes from",
        ),
        404 | 405 | 410 => (
            Class::Config,
            "nothing takes such a call there; check im.base_url and im.path",
        ),
        408 | 425 => (Class::Transient, "the server wants the call again, later"),
        413 => (
            Class::Oversize,
            "a proxy or gateway takes no body this large",
        ),
        421 => (
            Class::Config,
            "the server does not answer for this host name; check im.base_url and DNS",
        ),
        429 => (Class::Throttle, "too many calls"),
        451 => (
            Class::Config,
            "access is blocked for legal reasons; ask whoever runs the network",
        ),
        400..=499 => (
            Class::Config,
            "a proxy or gateway takes the call for a wrong one; check im.base_url and im.path",
        ),
        501 | 505 => (
            Class::Config,
            "the server cannot do such a call: is im.base_url right?",
        ),
        511 => (
            Class::Config,
            "the network asks for a login (captive portal)",
        ),
        503 if told_when => (Class::Throttle, "no calls are taken for now"),
        502 | 504 => (
            Class::Transient,
            "a proxy or gateway gets no answer from the API",
        ),
        503 => (Class::Transient, "the API, or a gateway, is unavailable"),
        _ => (Class::Transient, "the API, or a gateway, has failed"),
    };
    HttpStatus { class, meaning }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_the_class_of_what_can_be_done_about_it() {
        for (statuses, expected) in [
            (&[429][..], Class::Throttle),
            (&[301, 302, 303, 307, 308, 399], Class::Config),
            (
                &[400, 401, 403, 404, 405, 407, 421, 431, 451],
                Class::Config,
            ),
            (&[501, 505, 511], Class::Config),
            (&[413], Class::Oversize),
            (
                &[200, 204, 408, 425, 500, 502, 503, 504, 520, 599, 999],
                Class::Transient,
            ),
        ] {
            for status in statuses {
                assert_eq!(http_status(*status, false).class, expected, "{status}");
            }
        }
        assert_eq!(http_status(503, true).class, Class::Throttle);
        assert_eq!(http_status(502, true).class, Class::Transient);
    }
}
