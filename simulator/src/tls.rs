//! TLS with its own CA, which is created at each start. Only the CA's certificate leaves the
//! process, as a file for clients to trust; no key does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{self, ServerConfig};

/// The file that a client has to trust.
const ROOT: &str = "ca.pem";

/// How to serve HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// An existing folder, in which `ca.pem` is written or replaced.
    pub folder: PathBuf,
    /// Host names and addresses that the certificate is for.
    pub names: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("no certificate could be made for these names")]
    Certificate(#[from] rcgen::Error),
    #[error("the certificate could not be used")]
    Configuration(#[from] rustls::Error),
    #[error("{} could not be written", path.display())]
    Root { path: PathBuf, source: io::Error },
}

/// Makes authority and certificate, and writes the former's file.
pub(crate) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsError> {
    let mut authority = CertificateParams::new([])?;
    // Clients find an issuer by its name: two of one name would be one with two keys.
    let name = format!("im-simulator {:032x}", fastrand::u128(..));
    authority
        .distinguished_name
        .push(DnType::CommonName, name.as_str());
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut server = CertificateParams::new(tls.names.clone())?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &authority)?;

    let mut configuration = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(server_key.serialize_der().into()),
        )?;
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    publish(&tls.folder, &authority.pem())?;
    Ok(TlsAcceptor::from(Arc::new(configuration)))
}

/// Whoever reads the file meanwhile sees the old one or the new one, whole.
fn publish(folder: &Path, root: &str) -> Result<(), TlsError> {
    let path = folder.join(ROOT);
    let unfinished = folder.join(format!(".{ROOT}.new"));
    let written = fs::write(&unfinished, root).and_then(|()| fs::rename(&unfinished, &path));
    written.map_err(|source| TlsError::Root { path, source })
}
