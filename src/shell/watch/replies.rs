//! Names of the API's replies in metrics and traces: a small, fixed set.

use std::borrow::Cow;

use crate::engine::error_code;
use crate::im::{Fault, Reply};

/// The API's error code or, without an answer, the cause.
pub(super) fn reply_name(reply: &Reply) -> Cow<'static, str> {
    match reply {
        Reply::Done { .. } => "0".into(),
        Reply::Refused(code) if error_code(*code).is_some() => code.to_string().into(),
        Reply::Refused(_) => "unknown".into(),
        Reply::Unclear => "unclear".into(),
        Reply::Http(answer) => http_name(answer.status).into(),
        Reply::Fault(fault) => fault_name(*fault).into(),
    }
}

/// Statuses that somebody can do something about by themselves; the rest by their hundreds.
fn http_name(status: u16) -> &'static str {
    match status {
        401 => "http-401",
        403 => "http-403",
        404 => "http-404",
        405 => "http-405",
        407 => "http-407",
        413 => "http-413",
        421 => "http-421",
        429 => "http-429",
        451 => "http-451",
        500 => "http-500",
        502 => "http-502",
        503 => "http-503",
        504 => "http-504",
        511 => "http-511",
        _ => match status / 100 {
            2 => "http-2xx",
            3 => "http-3xx",
            4 => "http-4xx",
            5 => "http-5xx",
            _ => "http-other",
        },
    }
}

fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::Secret(_) => "no-credential",
        Fault::Dns => "dns",
        Fault::Connect => "connect",
        Fault::Tls(_) => "tls",
        Fault::Timeout => "timeout",
        Fault::Interrupted => "interrupted",
        Fault::Proxy => "proxy",
        Fault::TooLarge => "too-large",
        Fault::NotJson => "not-json",
    }
}
