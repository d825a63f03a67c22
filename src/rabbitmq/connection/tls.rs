//! `amqps://`: trust roots, the client certificate and the handshake.
//!
//! A given CA replaces the system's roots: that trusts less, and works in images without roots.

use std::{sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use secrecy::ExposeSecret;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    cause::Cause,
    stream::{Heard, Transport},
};
use crate::rabbitmq::Identity;

/// What all connections share. Errors name the setting, never its content.
pub(super) fn connector(
    ca_pem: Option<&str>,
    identity: Option<&Identity>,
) -> Result<TlsConnector, Cause> {
    let roots = match ca_pem {
        Some(pem) => given_roots(pem)?,
        None => system_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| settings("no TLS version is possible"))?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.cert_pem, "rabbitmq.cert_file")?;
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose_secret().as_bytes())
                .map_err(|_| settings("rabbitmq.key_file holds no PEM private key"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| settings("rabbitmq.cert_file and rabbitmq.key_file do not match"))?
        }
    };
    Ok(Arc::new(config).into())
}

/// Opens TLS over `socket` and checks the broker's certificate for `host`.
pub(super) async fn handshake(
    connector: &TlsConnector,
    host: &str,
    socket: TcpStream,
    limit: Duration,
) -> Result<Box<dyn Transport>, Cause> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Cause::OtherName)?;
    let heard = Heard::default();
    let handshake = connector.connect(name, heard.through(socket));
    match timeout(limit, handshake).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(Cause::of_handshake(&error, heard.spoken())),
        Err(_) => Err(Cause::Timeout {
            step: "TLS handshake",
            limit,
        }),
    }
}

fn given_roots(pem: &str) -> Result<RootCertStore, Cause> {
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(certificates(pem, "rabbitmq.ca_file")?);
    match usable {
        0 => Err(settings("rabbitmq.ca_file holds no valid CA certificate")),
        _ => Ok(roots),
    }
}

fn system_roots() -> Result<RootCertStore, Cause> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(found.certs) {
        (0, _) => Err(Cause::NoTrustRoots {
            errors: found.errors.iter().map(ToString::to_string).collect(),
        }),
        _ => Ok(roots),
    }
}

fn certificates(pem: &str, setting: &str) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    match certificates.is_empty() {
        true => Err(settings(&format!("{setting} holds no PEM certificate"))),
        false => Ok(certificates),
    }
}

fn settings(cause: &str) -> Cause {
    Cause::TlsSettings {
        cause: cause.to_owned(),
    }
}
