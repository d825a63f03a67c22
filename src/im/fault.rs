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
    #[error("no UserSig could be had: {0}")]
    Secret(SecretError),
    #[error("the API's host name could not be resolved")]
    Dns,
    #[error("the API could not be connected to")]
    Connect,
    #[error("no TLS session with the API came about: {0}")]
    Tls(TlsFault),
    #[error("the API did not answer in time")]
    Timeout,
    #[error("the connection broke before the answer was complete")]
    Interrupted,
    #[error("the answer has HTTP status {0}")]
    Status(u16),
    #[error("the answer is larger than 256 KiB")]
    TooLarge,
    #[error("the answer is not JSON")]
    NotJson,
}

/// Why there was no TLS session. Nothing was sent then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    #[error("nobody who is trusted vouches for its certificate")]
    UnknownIssuer,
    #[error("its certificate has expired")]
    Expired,
    #[error("its certificate is not valid yet")]
    NotYetValid,
    #[error("its certificate is for another host name")]
    OtherName,
    #[error("its certificate is not valid")]
    BadCertificate,
    #[error("the handshake failed")]
    Handshake,
}

impl Fault {
    pub(super) fn of(error: &reqwest::Error) -> Fault {
        if error.is_dns() {
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
