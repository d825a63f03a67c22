//! Why a call got no answer, derived from the errors of the libraries.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use super::SecretError;

/// Why a call got no answer. The texts are fixed: a library's error text may contain the URL, and with it the
/// UserSig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing was sent.
    #[error("cannot create a UserSig: {0}")]
    Secret(SecretError),
    #[error("cannot resolve the API's host name")]
    Dns,
    #[error("cannot connect to the API")]
    Connect,
    #[error("TLS handshake with the API failed: {0}")]
    Tls(TlsFault),
    #[error("the API did not answer in time")]
    Timeout,
    #[error("the connection broke before the answer was complete")]
    Interrupted,
    #[error("the proxy of im.proxy_url cannot connect to the API")]
    Proxy,
    #[error("the answer is larger than 256 KiB")]
    TooLarge,
    #[error("the answer is not JSON")]
    NotJson,
}

/// Why the TLS handshake failed. Nothing was sent then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    #[error("certificate signed by an unknown authority")]
    UnknownIssuer,
    #[error("certificate expired")]
    Expired,
    #[error("certificate not valid yet")]
    NotYetValid,
    #[error("certificate is for another host name")]
    OtherName,
    #[error("certificate not valid")]
    BadCertificate,
    #[error("protocol error")]
    Handshake,
}

impl Fault {
    pub(super) fn of(error: &reqwest::Error) -> Fault {
        if tunnel(error).is_some() {
            Fault::Proxy
        } else if error.is_dns() {
            Fault::Dns
        } else if let Some(error) = tls_error(error) {
            Fault::Tls(TlsFault::of(error))
        } else if error.is_connect() {
            Fault::Connect
        } else if error.is_timeout() {
            Fault::Timeout
        } else {
            Fault::Interrupted
        }
    }
}

/// Why a proxy opened no tunnel, from the text of a type that is not public, since it has no other form.
fn tunnel(error: &(dyn Error + 'static)) -> Option<String> {
    let text = error.to_string();
    match text.starts_with("tunnel error: ") {
        true => Some(text),
        false => error.source().and_then(tunnel),
    }
}

/// Whether the proxy requires a login (status 407) before it opens a tunnel.
pub(super) fn wants_proxy_login(error: &reqwest::Error) -> bool {
    tunnel(error).is_some_and(|text| text.ends_with("proxy authorization required"))
}

impl TlsFault {
    fn of(error: &rustls::Error) -> TlsFault {
        use CertificateError as E;
        match error {
            rustls::Error::InvalidCertificate(error) => match error {
                E::UnknownIssuer => TlsFault::UnknownIssuer,
                E::Expired | E::ExpiredContext { .. } => TlsFault::Expired,
                E::NotValidYet | E::NotValidYetContext { .. } => TlsFault::NotYetValid,
                E::NotValidForName | E::NotValidForNameContext { .. } => TlsFault::OtherName,
                _ => TlsFault::BadCertificate,
            },
            _ => TlsFault::Handshake,
        }
    }
}

fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(error) = error.downcast_ref() {
        return Some(error);
    }
    // The source of an I/O error is the source of what it wraps: the wrapped one would be missed.
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => tls_error(wrapped),
        None => error.source().and_then(tls_error),
    }
}
