use std::path::Path;

use tagsweep::rabbitmq::{Broker, Identity, Loss, Options};
use testkit::rabbitmq::{ClientCertificate, Node};
use testkit::tls::Certificates;

use crate::harness::*;

async fn refused(options: Options) -> String {
    match not_opened(&mut Broker::new(options)).await {
        Loss::Unreachable { cause, .. } => cause,
        other => panic!("{other}"),
    }
}

async fn make(folder: &Path) -> Certificates {
    Certificates::make(folder).await.expect("certificates")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a PEM file")
}

#[tokio::test]
async fn own_trust_root_and_client_certificate_are_needed_and_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificates = make(folder.path()).await;
    let other_folder = tempfile::tempdir().expect("a folder");
    let others = make(other_folder.path()).await;
    let node = Node::builder()
        .tls(&certificates, ClientCertificate::Required)
        .start()
        .await
        .expect("a node");
    let port = node.tls_port().expect("a TLS port");
    let mut options = options(format!("amqps://guest:guest@127.0.0.1:{port}/%2f"));
    options.ca_pem = Some(read(&certificates.server_authority));
    options.identity = Some(Identity {
        cert_pem: read(&certificates.client),
        key_pem: read(&certificates.client_key).into(),
    });
    opened(&mut Broker::new(options.clone())).await;

    let without_identity = Options {
        identity: None,
        ..options.clone()
    };
    refused(without_identity).await;

    let other_root = Options {
        ca_pem: Some(read(&others.server_authority)),
        ..options.clone()
    };
    let cause = refused(other_root).await;
    assert!(cause.contains("certificate"), "{cause}");

    let unreadable = Options {
        ca_pem: Some("no PEM".to_owned()),
        ..options
    };
    let reason = not_opened(&mut Broker::new(unreadable)).await;
    assert!(matches!(reason, Loss::BadTls { .. }), "{reason}");
}
