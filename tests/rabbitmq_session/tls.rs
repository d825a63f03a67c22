use std::path::Path;

use tagsweep::rabbitmq::{Broker, Identity, Loss, Options};
use testkit::rabbitmq::{ClientCertificate, Node};
use testkit::tls::{self, Certificates};

use crate::harness::*;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a PEM file")
}

fn identity(client: &tls::Identity) -> Option<Identity> {
    Some(Identity {
        cert_pem: read(&client.certificate),
        key_pem: read(&client.key).into(),
    })
}

/// Two sets, of which neither trusts the other.
fn certificates() -> (Certificates, Certificates, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |name: &str| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        Certificates::make(&folder).expect("certificates")
    };
    (make("ours"), make("others"), folder)
}

async fn refused(options: Options) -> Loss {
    not_opened(&mut Broker::new(options)).await
}

#[tokio::test]
async fn own_trust_root_and_client_certificate_are_needed_and_enough() {
    let (ours, others, _folder) = certificates();
    let node = Node::builder()
        .tls(&ours, ClientCertificate::Required)
        .start()
        .await
        .expect("a node");
    let port = node.tls_port().expect("a TLS port");
    let mut options = options(format!("amqps://guest:guest@127.0.0.1:{port}/%2f"));
    options.ca_pem = Some(read(&ours.server_authority));
    options.identity = identity(&ours.client);
    opened(&mut Broker::new(options.clone())).await;

    // How the broker's refusal shows is a matter of timing: in TLS 1.3 it comes after the handshake.
    for client in [None, identity(&others.client)] {
        let reason = refused(Options {
            identity: client,
            ..options.clone()
        })
        .await;
        assert!(matches!(reason, Loss::Unreachable { .. }), "{reason}");
    }

    let reason = refused(Options {
        ca_pem: Some(read(&others.server_authority)),
        ..options.clone()
    })
    .await;
    let Loss::Unreachable { cause, .. } = reason else {
        panic!("{reason}")
    };
    assert!(cause.contains("UnknownIssuer"), "{cause}");

    let mixed = Identity {
        key_pem: read(&others.client.key).into(),
        ..identity(&ours.client).expect("just made")
    };
    for unusable in [
        Options {
            ca_pem: Some("no PEM".to_owned()),
            ..options.clone()
        },
        Options {
            identity: Some(mixed),
            ..options.clone()
        },
    ] {
        let reason = refused(unusable).await;
        assert!(matches!(reason, Loss::BadTls { .. }), "{reason}");
    }
}
