//! `amqps://`: trust roots and the client certificate.
//!
//! lapin's own TLS setting adds a given CA to the system's roots, and fails where a slim image
//! has none. Here a given CA replaces the system's roots, which is also the narrower trust.

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use secrecy::ExposeSecret;

use super::{Identity, Loss};

/// Builds the connector all connections share.
///
/// Errors name the setting, never its content.
pub(super) fn connector(
    ca_pem: Option<&str>,
    identity: Option<&Identity>,
) -> Result<RustlsConnector, Loss> {
    // Another part of the process may have installed the same provider before; either is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = match ca_pem {
        Some(pem) => RustlsConnectorConfig::default()
            .with_parsable_certificates(certificates(pem, "rabbitmq.ca_file")?),
        None => RustlsConnectorConfig::new_with_native_certs()
            .map_err(|_| unusable("the system has no trust roots: set rabbitmq.ca_file"))?,
    };
    let connector = match identity {
        None => roots.connector_with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.cert_pem, "rabbitmq.cert_file")?;
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose_secret().as_bytes())
                .map_err(|_| unusable("rabbitmq.key_file holds no PEM private key"))?;
            roots.connector_with_single_cert(chain, key)
        }
    };
    connector.map_err(|_| {
        unusable(
            "rabbitmq.ca_file holds no valid root, or rabbitmq.cert_file and rabbitmq.key_file do not match",
        )
    })
}

fn certificates(pem: &str, setting: &str) -> Result<Vec<CertificateDer<'static>>, Loss> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    if certificates.is_empty() {
        return Err(unusable(&format!("{setting} holds no PEM certificate")));
    }
    Ok(certificates)
}

fn unusable(cause: &str) -> Loss {
    Loss::BadTls {
        cause: cause.to_owned(),
    }
}
