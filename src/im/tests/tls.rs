use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use testkit::tls::Certificates;

use super::*;

/// Answers one call over TLS, with a certificate that no system trusts. The last is the root to trust.
fn answer_once() -> (Url, JoinHandle<io::Result<()>>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let Certificates {
        server,
        server_authority,
        ..
    } = Certificates::make(folder.path()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_file_iter(server.certificate)
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(server.key).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        let session = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
        let mut stream = BufReader::new(StreamOwned::new(session, stream));
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        stream.read_exact(&mut vec![0; length])?;
        let Answer::Keep(bytes) = ok(OK) else {
            panic!("that is what ok() gives")
        };
        stream.get_mut().write_all(bytes.as_bytes())
    });
    let root = std::fs::read(server_authority).unwrap();
    (Url::parse(&url).unwrap(), server, root)
}

#[tokio::test]
async fn a_given_trust_root_is_trusted() {
    let (base_url, server, root) = answer_once();
    let client = Client::new(Options {
        ca_pem: Some(root),
        ..options(base_url)
    })
    .unwrap();
    assert_eq!(client.remove_all_tags(&alice_and_bob()).await, DONE);
    server.join().unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_no_request() {
    let (base_url, server, _) = answer_once();
    let fault = fault_of(options(base_url)).await;
    assert_eq!(fault, Fault::Tls(TlsFault::UnknownIssuer));
    assert!(server.join().unwrap().is_err());
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told_apart_from_one_that_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        // A close with bytes unread would reset the connection, and the answer might get lost.
        io::copy(&mut stream, &mut io::sink())
    });
    let fault = fault_of(options(base_url)).await;
    assert_eq!(fault, Fault::Tls(TlsFault::Handshake));
    let _ = server.join().unwrap();
}

#[test]
fn a_trust_root_that_is_none_is_refused() {
    let build = |pem: &str| {
        let base_url = Url::parse("https://127.0.0.1:1").unwrap();
        Client::new(Options {
            ca_pem: Some(pem.into()),
            ..options(base_url)
        })
    };
    for pem in ["", "not PEM"] {
        assert!(matches!(build(pem), Err(BuildError::TrustRoot)), "{pem}");
    }
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(build(no_certificate), Err(BuildError::Tls(_))));
}
