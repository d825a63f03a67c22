//! Why a call got no answer, found out from what the libraries say.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use super::SecretError;

/// Why a call got no answer. The texts are fixed: what a library says of an error may hold the URL,
/// and with it the UserSig.
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

/// Why there was no TLS session. Nothing was sent then.
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

/// Why a proxy made no tunnel, by the text of a type that is not public. It has no other form.
fn tunnel(error: &(dyn Error + 'static)) -> Option<String> {
    let text = error.to_string();
    match text.starts_with("tunnel error: ") {
        true => Some(text),
        false => error.source().and_then(tunnel),
    }
}

/// Whether the proxy asks for a login before it makes a tunnel, as its status 407 says.
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
