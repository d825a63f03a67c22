//! Certificates for one test, and a TLS server that can present any of them ([`TlsFront`]).
//!
//! They are created each time, so that no private key is in the repository.

mod front;

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

pub use self::front::TlsFront;

/// PEM files in the folder they were made in.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// What a client must trust to believe the servers.
    pub server_authority: PathBuf,
    /// For `localhost` and 127.0.0.1.
    pub server: Identity,
    /// Like `server`, but its time was over in 2001.
    pub expired_server: Identity,
    /// Like `server`, but its time begins in 3000.
    pub future_server: Identity,
    /// For `elsewhere.example` only.
    pub other_server: Identity,
    /// What a server must trust to believe the client.
    pub client_authority: PathBuf,
    pub client: Identity,
}

/// A certificate and its key, which is PKCS #8.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificates {
    /// Makes new ones, which nobody else trusts, in an existing folder.
    pub fn make(folder: &Path) -> anyhow::Result<Self> {
        let servers = Authority::make(folder, "server-authority")?;
        let clients = Authority::make(folder, "client-authority")?;
        let here = || server(&["localhost", "127.0.0.1"]);
        let mut expired = here()?;
        expired.not_after = date_time_ymd(2001, 1, 1);
        let mut future = here()?;
        future.not_before = date_time_ymd(3000, 1, 1);
        let mut client = CertificateParams::new([])?;
        client.distinguished_name.push(DnType::CommonName, "client");
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(Self {
            server: servers.sign(folder, "server", here()?)?,
            expired_server: servers.sign(folder, "expired-server", expired)?,
            future_server: servers.sign(folder, "future-server", future)?,
            other_server: servers.sign(folder, "other-server", server(&["elsewhere.example"])?)?,
            server_authority: servers.root,
            client: clients.sign(folder, "client", client)?,
            client_authority: clients.root,
        })
    }
}

fn server(names: &[&str]) -> anyhow::Result<CertificateParams> {
    let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
    let mut server = CertificateParams::new(names)?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(server)
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: PathBuf,
}

impl Authority {
    fn make(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new([])?;
        // Two authorities of one name would be one with two keys.
        let own_name = format!("{name} {:08x}", fastrand::u32(..));
        params.distinguished_name.push(DnType::CommonName, own_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let root = folder.join(format!("{name}.pem"));
        fs::write(&root, params.self_signed(&key)?.pem())?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            root,
        })
    }

    fn sign(
        &self,
        folder: &Path,
        name: &str,
        params: CertificateParams,
    ) -> anyhow::Result<Identity> {
        let own_key = KeyPair::generate()?;
        let certificate = folder.join(format!("{name}.pem"));
        fs::write(
            &certificate,
            params.signed_by(&own_key, &self.issuer)?.pem(),
        )?;
        let key = folder.join(format!("{name}-key.pem"));
        fs::write(&key, own_key.serialize_pem())?;
        Ok(Identity { certificate, key })
    }
}
