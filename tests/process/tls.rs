//! A worker before servers whose certificates are not in order: it tells nobody a secret, loses
//! nothing, and resumes when they are fixed.

use tempfile::TempDir;
use testkit::tls::{Certificates, Identity, TlsFront};

use crate::program::{Program, Running};
use crate::stage::*;

/// A server that must not be believed, and what the log says of it.
struct Flawed<'a> {
    server: &'a Identity,
    at_the_api: &'static str,
    at_the_broker: &'static str,
}

/// The certificates of one test, and those of somebody whom nobody trusts.
struct Vault {
    ours: Certificates,
    strangers: Certificates,
    _folders: [TempDir; 2],
}

impl Vault {
    fn new() -> Vault {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [ours, strangers] = folders
            .each_ref()
            .map(|folder| Certificates::make(folder.path()).unwrap());
        Vault {
            ours,
            strangers,
            _folders: folders,
        }
    }

    fn flawed(&self) -> [Flawed<'_>; 4] {
        let flawed = |server, at_the_api, at_the_broker| Flawed {
            server,
            at_the_api,
            at_the_broker,
        };
        [
            flawed(
                &self.strangers.server,
                "certificate signed by an unknown authority",
                "signed by an unknown authority",
            ),
            flawed(
                &self.ours.expired_server,
                "certificate expired",
                "certificate is expired",
            ),
            flawed(&self.ours.future_server, "not valid yet", "not valid yet"),
            flawed(
                &self.ours.other_server,
                "another host name",
                "is for another name",
            ),
        ]
    }

    fn root(&self) -> String {
        self.ours.server_authority.display().to_string()
    }
}

async fn ends_in_order(worker: Running) {
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn an_api_with_a_flawed_certificate_gets_no_request_and_costs_no_event() {
    let vault = Vault::new();
    for flawed in vault.flawed() {
        let stage = Stage::new().await;
        let address = stage.simulator.address();
        let front = TlsFront::start(address, flawed.server).await.unwrap();
        let url = format!("https://127.0.0.1:{}", front.address().port());
        let program: Program = stage
            .program("run")
            .set("im.base_url", url)
            .set("im.ca_file", vault.root())
            // Failures without a success between them pause it, after some tries.
            .set("retry.backoff_min", "50ms")
            .set("retry.backoff_max", "50ms");
        let worker = program.start();
        worker.says("broker session open").await;
        stage.import(0..3);
        stage.delete(0..3).await;
        worker.says("TLS handshake with the API failed: ").await;
        worker.says(flawed.at_the_api).await;
        worker.says("paused").await;
        let stats = stage.simulator.stats();
        assert_eq!((stats.calls, stats.other_calls), (0, 0));
        assert_eq!(stage.letters().await.len(), 0);

        front.show(&vault.ours.server).unwrap();
        stage.cleared(3).await;
        ends_in_order(worker).await;
        stage.waits_in_the_queue(0).await;
    }
}

#[tokio::test]
async fn a_broker_with_a_flawed_certificate_gets_no_login_and_is_tried_again() {
    let vault = Vault::new();
    let stage = Stage::new().await;
    stage.declare().await;
    stage.import(0..3);
    stage.delete(0..3).await;
    let front = TlsFront::start(stage.broker(), &vault.ours.server)
        .await
        .unwrap();
    let url = stage
        .vhost
        .url_through(front.address().port())
        .replace("amqp://", "amqps://");
    let program = stage
        .program("run")
        .set("rabbitmq.url", url)
        .set("rabbitmq.ca_file", vault.root());
    for flawed in vault.flawed() {
        front.show(flawed.server).unwrap();
        let worker = program.start();
        worker.says("no broker session, retrying").await;
        worker.says(flawed.at_the_broker).await;
        ends_in_order(worker).await;
        stage.waits_in_the_queue(3).await;
        assert_eq!(stage.simulator.stats().calls, 0);
    }

    let worker = program.start();
    worker.says("no broker session, retrying").await;
    front.show(&vault.ours.server).unwrap();
    stage.cleared(3).await;
    ends_in_order(worker).await;
    stage.waits_in_the_queue(0).await;
}

#[tokio::test]
async fn an_image_without_ca_certificates_is_told_so_and_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let bare = |program: Program| {
        let program = program.variable("SSL_CERT_DIR", empty.path().display());
        program.variable("SSL_CERT_FILE", empty.path().join("none.pem").display())
    };
    let broker = sound("check").set("rabbitmq.url", "amqps://127.0.0.1:1");
    let ended = bare(broker).run().await;
    assert_eq!(ended.code, Some(1));
    for part in [
        "no trusted CA certificates found",
        "SSL_CERT_FILE",
        "none.pem",
        "set rabbitmq.ca_file, or install the package ca-certificates",
    ] {
        assert!(ended.stdout.contains(part), "{part} in {ended:?}");
    }
    let api = sound("run").set("im.base_url", "https://127.0.0.1:1");
    let ended = bare(api).run().await;
    assert_eq!(ended.code, Some(1));
    for part in ["no trusted CA certificates found", "set im.ca_file"] {
        assert!(ended.stderr.contains(part), "{part} in {ended:?}");
    }
}
