//! A TLS front for a server without TLS.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Identity;

/// Takes TLS connections on 127.0.0.1 and passes what is in them on. Dropping
/// it, or the runtime it was started in, cuts them.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    shown: watch::Sender<Arc<ServerConfig>>,
    _serving: JoinSet<()>,
}

impl TlsFront {
    /// Starts one before `target` that shows the certificate of `identity`.
    pub async fn start(target: SocketAddr, identity: &Identity) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (shown, current) = watch::channel(configuration(identity)?);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::clone(&current.borrow()));
                connections.spawn(pass_on(acceptor, stream, target));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            shown,
            _serving: serving,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows another certificate to whoever connects from now on.
    pub fn show(&self, identity: &Identity) -> anyhow::Result<()> {
        self.shown.send_replace(configuration(identity)?);
        Ok(())
    }
}

/// A client that does not like the certificate goes away; that is its affair.
async fn pass_on(acceptor: TlsAcceptor, stream: TcpStream, target: SocketAddr) {
    if let Ok(mut client) = acceptor.accept(stream).await
        && let Ok(mut server) = TcpStream::connect(target).await
    {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

fn configuration(identity: &Identity) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_slice_iter(&fs::read(&identity.certificate)?)
        .collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(&fs::read(&identity.key)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(configuration))
}
