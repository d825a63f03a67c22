use std::path::Path;

use tagsweep::rabbitmq::{Broker, Cause, Identity, Loss, Options};
use testkit::rabbitmq::{ClientCertificate, Node};
use testkit::tls::{self, Certificates, TlsFront};

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
        let refused = |cause: &Cause| {
            matches!(
                cause,
                Cause::ClientCertificate(_) | Cause::ClosedAfterHandshake
            )
        };
        let cause = cause(reason);
        assert!(refused(&cause), "{cause:?}");
    }

    let reason = refused(Options {
        ca_pem: Some(read(&others.server_authority)),
        ..options.clone()
    })
    .await;
    assert_eq!(cause(reason), Cause::UnknownAuthority);

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
        let cause = cause(reason);
        assert!(matches!(cause, Cause::TlsSettings { .. }), "{cause:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told_and_what_to_do() {
    let (ours, _, _folder) = certificates();
    let node = testkit::rabbitmq::shared().await;
    let front = TlsFront::start(node.address(), &ours.server).await;
    let front = front.expect("a TLS front");
    let port = front.address().port();
    let vhost = shared_vhost().await;
    let url = vhost.url_through(port).replace("amqp://", "amqps://");
    let mut options = options(url);
    options.ca_pem = Some(read(&ours.server_authority));
    opened(&mut Broker::new(options.clone())).await;
    for (server, expected) in [
        (&ours.expired_server, Cause::Expired),
        (&ours.future_server, Cause::NotValidYet),
        (&ours.other_server, Cause::OtherName),
    ] {
        front.show(server).expect("shown");
        assert_eq!(cause(refused(options.clone()).await), expected);
    }
}

#[tokio::test]
async fn tls_where_plain_is_spoken_and_the_other_way_round_are_told() {
    let (ours, _, _folder) = certificates();
    let node = Node::builder()
        .tls(&ours, ClientCertificate::NotAsked)
        .start()
        .await
        .expect("a node");
    let tls = node.tls_port().expect("a TLS port");
    let plain = node.port();
    let plainly = options(format!("amqp://guest:guest@127.0.0.1:{tls}/%2f"));
    assert_eq!(cause(refused(plainly).await), Cause::TlsSpoken);
    let mut by_tls = options(format!("amqps://guest:guest@127.0.0.1:{plain}/%2f"));
    by_tls.ca_pem = Some(read(&ours.server_authority));
    assert_eq!(cause(refused(by_tls).await), Cause::TlsNotSpoken);
}
