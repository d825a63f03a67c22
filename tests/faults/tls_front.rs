//! HTTPS in front of the simulator, with a certificate that can be changed for another one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub struct TlsFront {
    pub address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    // Aborted when it is dropped.
    _task: JoinSet<()>,
}

impl TlsFront {
    pub async fn start(target: SocketAddr, certificate: &Path, key: &Path) -> TlsFront {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(Mutex::new(server(certificate, key)));
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::clone(&config), target));
        TlsFront {
            address,
            config,
            _task: task,
        }
    }

    /// For connections that are made from now on.
    pub fn show(&self, certificate: &Path, key: &Path) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = server(certificate, key);
    }
}

async fn accept(listener: TcpListener, config: Arc<Mutex<Arc<ServerConfig>>>, target: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let config = Arc::clone(&config.lock().unwrap_or_else(PoisonError::into_inner));
        connections.spawn(async move {
            // A client that does not trust the certificate goes away: that is the fault, not an error.
            let mut client = TlsAcceptor::from(config).accept(client).await?;
            let mut server = TcpStream::connect(target).await?;
            copy_bidirectional(&mut client, &mut server).await
        });
        while connections.try_join_next().is_some() {}
    }
}

fn server(certificate: &Path, key: &Path) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_file_iter(certificate).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.unwrap())
}
