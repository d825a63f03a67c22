use std::{path::Path, process::Command};

use tagsweep::rabbitmq::{Broker, Identity, Loss, Options};
use testkit::rabbitmq::{Node, Tls};

use crate::harness::*;

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
}

/// A CA (`ca.pem`) and what it signed for a server on 127.0.0.1 and for a client.
fn certificates(folder: &Path) {
    openssl(
        folder,
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem",
    );
    for name in ["server", "client"] {
        openssl(
            folder,
            &format!(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -CA ca.pem -CAkey ca.key \
                 -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
                 -keyout {name}.key -out {name}.pem"
            ),
        );
    }
}

async fn refused(options: Options) -> String {
    match not_opened(&mut Broker::new(options)).await {
        Loss::Unreachable { cause, .. } => cause,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn own_trust_root_and_client_certificate_are_needed_and_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let node = Node::builder()
        .tls(Tls {
            ca: folder.path().join("ca.pem"),
            certificate: folder.path().join("server.pem"),
            key: folder.path().join("server.key"),
            client_certificate: true,
        })
        .start()
        .await
        .expect("a node");
    let port = node.tls_port().expect("a TLS port");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    let mut options = options(format!("amqps://guest:guest@127.0.0.1:{port}/%2f"));
    options.ca_pem = Some(read("ca.pem"));
    options.identity = Some(Identity {
        cert_pem: read("client.pem"),
        key_pem: read("client.key").into(),
    });
    opened(&mut Broker::new(options.clone())).await;

    let without_identity = Options {
        identity: None,
        ..options.clone()
    };
    refused(without_identity).await;

    let other_root = Options {
        ca_pem: Some(read("client.pem")),
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
