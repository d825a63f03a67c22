//! HTTPS: whom it is for, what leaves the process, and that faults are the same on it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use im_simulator::{Fault, Options, Rule, Simulator, Tls};
use reqwest::Certificate;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::client::{DEADLINE, exchange, good_query, send, start};

const CLEAR_ALICE: &str = r#"{"To_Account":["alice"]}"#;

fn target(simulator: &Simulator) -> String {
    let query = good_query(simulator);
    format!("/v4/all_member_push/im_remove_all_tags?{query}")
}

fn a_folder() -> TempDir {
    tempfile::tempdir().expect("there is room for a folder")
}

/// The folder holds `ca.pem`.
async fn with_tls(names: &[&str]) -> (Simulator, TempDir) {
    let folder = a_folder();
    let tls = Tls {
        folder: folder.path().to_owned(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
    };
    let simulator = start(Options {
        tls: Some(tls),
        ..Options::default()
    })
    .await;
    (simulator, folder)
}

/// The HTTP client of the worker, which trusts this authority only and takes this name for this address.
fn client(folder: &Path, name: &str, address: SocketAddr) -> reqwest::Client {
    // Another test may have been first.
    let _ = ring::default_provider().install_default();
    let pem = fs::read(folder.join("ca.pem")).expect("it was written at the start");
    let root = Certificate::from_pem(&pem).expect("it is a certificate");
    reqwest::Client::builder()
        .tls_certs_only([root])
        .resolve(name, address)
        .no_proxy()
        .timeout(DEADLINE)
        .build()
        .expect("a client needs nothing else")
}

/// One call to `https://NAME:PORT`, by a client that trusts the authority in the folder.
async fn call(simulator: &Simulator, folder: &Path, name: &str) -> reqwest::Result<String> {
    let address = simulator.address();
    let url = format!("https://{name}:{}{}", address.port(), target(simulator));
    let request = client(folder, name, address).post(url).body(CLEAR_ALICE);
    request.send().await?.text().await
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_is_answered_under_each_name() {
    let (simulator, folder) = with_tls(&["im-simulator", "127.0.0.1"]).await;
    simulator.set_tags("alice", &["vip"]);
    for name in ["im-simulator", "127.0.0.1"] {
        let answer = call(&simulator, folder.path(), name).await.unwrap();
        assert!(answer.contains(r#""ActionStatus":"OK""#), "{answer}");
    }
    assert_eq!(simulator.clears("alice").count, 2);
    let url = format!("https://{}", simulator.address());
    assert_eq!(simulator.url(), url);
}

#[tokio::test]
async fn a_client_that_trusts_another_authority_or_knows_another_name_sends_no_call() {
    let (simulator, folder) = with_tls(&["im-simulator"]).await;
    let (_other, other_folder) = with_tls(&["im-simulator"]).await;
    for (trusted, name) in [(&other_folder, "im-simulator"), (&folder, "elsewhere")] {
        let error = call(&simulator, trusted.path(), name).await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
    }
    assert_eq!(simulator.stats().calls, 0);
    let plain = send(&simulator, "POST", "/", "").await;
    let answered = plain.is_ok_and(|reply| reply.head.starts_with("http"));
    assert!(!answered, "without TLS");
    let answered = call(&simulator, folder.path(), "im-simulator").await;
    assert!(answered.is_ok(), "it goes on serving others");
}

#[tokio::test]
async fn only_the_certificate_of_a_new_authority_leaves_the_process() {
    let (simulator, folder) = with_tls(&["localhost"]).await;
    let first = fs::read_to_string(folder.path().join("ca.pem")).unwrap();
    drop(simulator);
    let tls = Tls {
        folder: folder.path().to_owned(),
        names: vec!["localhost".to_owned()],
    };
    let _simulator = start(Options {
        tls: Some(tls),
        ..Options::default()
    })
    .await;
    let second = fs::read_to_string(folder.path().join("ca.pem")).unwrap();
    assert_ne!(first, second);
    for pem in [first, second] {
        let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
        assert!(pem.starts_with(begin) && pem.trim_end().ends_with(end));
        assert_eq!(pem.matches("-----BEGIN").count(), 1);
    }
    let files = fs::read_dir(folder.path()).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["ca.pem"]);
}

#[tokio::test]
async fn a_folder_that_is_not_there_ends_the_start_with_its_name() {
    let folder = tempfile::tempdir().unwrap().path().join("nowhere");
    let tls = Tls {
        folder: folder.clone(),
        names: vec![],
    };
    let started = Simulator::start(Options {
        tls: Some(tls),
        ..Options::default()
    });
    let error = started.await.err().unwrap();
    let path = folder.join("ca.pem").display().to_string();
    assert!(error.to_string().contains(&path), "{error}");
}

#[tokio::test]
async fn a_client_that_shakes_no_hands_holds_up_no_other() {
    let (simulator, folder) = with_tls(&["localhost"]).await;
    let _silent = TcpStream::connect(simulator.address()).await.unwrap();
    call(&simulator, folder.path(), "localhost").await.unwrap();
}

async fn connect(simulator: &Simulator, folder: &Path) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(folder.join("ca.pem")).map_err(io::Error::other)?;
    roots.add(root).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let stream = TcpStream::connect(simulator.address()).await?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// What a client sees of a call that the fault strikes (status, length that was announced, and body, or
/// how the connection ended), and whether the call was done.
async fn struck_by(fault: Fault, tls: bool) -> (Result<(String, String), io::ErrorKind>, bool) {
    let (simulator, folder) = if tls {
        with_tls(&["localhost"]).await
    } else {
        (start(Options::default()).await, a_folder())
    };
    simulator.set_tags("alice", &["vip"]);
    simulator.add_fault(Rule::new(fault).next_calls(1));
    let target = target(&simulator);
    let reply = if tls {
        let stream = connect(&simulator, folder.path()).await;
        let stream = stream.expect("the authority is trusted");
        exchange(stream, "POST", &target, CLEAR_ALICE).await
    } else {
        send(&simulator, "POST", &target, CLEAR_ALICE).await
    };
    assert_eq!(simulator.stats().faults.values().sum::<u64>(), 1);
    let seen = reply.map_err(|error| error.kind()).map(|reply| {
        let status = reply.head.lines().next().unwrap_or_default();
        let length = reply.header("content-length");
        (format!("{status}, {length:?}"), reply.body)
    });
    (seen, simulator.clears("alice").count == 1)
}

#[tokio::test]
async fn every_fault_strikes_over_tls_as_it_does_without() {
    let faults = [
        Fault::ErrorStatus(502),
        Fault::Reset,
        Fault::Answer(91000),
        Fault::Body("<html>".to_owned()),
        Fault::LostAnswer,
        Fault::Truncated,
        Fault::SlowDrip(Duration::from_millis(1)),
        Fault::Delay(Duration::from_millis(10)),
        Fault::BrokenJson,
    ];
    for fault in faults {
        let plain = struck_by(fault.clone(), false).await;
        let over_tls = struck_by(fault.clone(), true).await;
        assert_eq!(over_tls, plain, "{fault:?}");
    }
}

#[tokio::test]
async fn a_call_hangs_over_tls_until_the_client_gives_up() {
    let (simulator, folder) = with_tls(&["localhost"]).await;
    simulator.add_fault(Fault::Hang);
    let mut stream = connect(&simulator, folder.path()).await.unwrap();
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: simulator\r\nContent-Length: 2\r\n\r\n{{}}",
        target(&simulator)
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let arrived = simulator.wait_for(DEADLINE, |stats| stats.in_flight == 1);
    arrived.await.unwrap();
    drop(stream);
    let ended = simulator.wait_for(DEADLINE, |stats| stats.in_flight == 0);
    assert_eq!(ended.await.unwrap().accepted, 0);
}
