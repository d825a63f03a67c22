//! The private nodes, on the real rabbitmq-server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use testkit::eventually;
use testkit::rabbitmq::{self, ClientCertificate, Node};
use testkit::tls::{Certificates, Identity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(url: &str) -> Connection {
    let connection = Connection::connect(url, ConnectionProperties::default());
    timeout(PATIENCE, connection).await.unwrap().unwrap()
}

/// A channel with confirms, and a durable queue that is gone with its virtual host.
async fn channel_with_queue(connection: &Connection, queue: &str) -> Channel {
    channel_with_queue_of(connection, queue, "classic").await
}

async fn channel_with_queue_of(connection: &Connection, queue: &str, kind: &str) -> Channel {
    let channel = connection.create_channel().await.unwrap();
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    channel
        .queue_declare(queue.into(), durable, arguments)
        .await
        .unwrap();
    channel
}

/// Publishes a persistent message and waits for the confirm.
async fn publish(channel: &Channel, queue: &str, body: &[u8]) {
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let confirm = async {
        channel
            .basic_publish("".into(), queue.into(), options, body, persistent)
            .await?
            .await
    };
    let confirmation = timeout(PATIENCE, confirm).await.unwrap().unwrap();
    assert_eq!(confirmation, Confirmation::Ack(None));
}

async fn fetch(channel: &Channel, queue: &str) -> Option<BasicGetMessage> {
    let get = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true });
    timeout(PATIENCE, get).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_published_to_the_shared_node_can_be_fetched() {
    let vhost = rabbitmq::shared().await.vhost().await.unwrap();
    let connection = connect(&vhost.url()).await;
    let channel = channel_with_queue(&connection, "q").await;
    publish(&channel, "q", b"hello").await;
    assert_eq!(vhost.ready("q").await.unwrap(), 1);
    assert_eq!(fetch(&channel, "q").await.unwrap().data, b"hello");
    assert_eq!(vhost.ready("q").await.unwrap(), 0);
}

#[tokio::test]
async fn rabbitmqctl_sees_what_the_node_has() {
    let node = rabbitmq::shared().await;
    let vhost = node.vhost().await.unwrap();
    let listed = node.ctl(&["list_vhosts", "name"]).await.unwrap();
    assert!(listed.lines().any(|line| line == vhost.name()), "{listed}");
    let error = node
        .ctl(&["no_such_command"])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no_such_command"), "{error}");
}

#[tokio::test]
async fn an_expression_that_fails_is_an_error_and_the_next_one_works() {
    let node = rabbitmq::shared().await;
    let error = node.eval("no_such_module:f()").await.unwrap_err();
    assert!(format!("{error:#}").contains("undef"), "{error:#}");
    assert_eq!(node.eval("A = 20, A + 22").await.unwrap(), "42");
}

#[tokio::test]
async fn vhosts_of_one_node_do_not_see_each_others_queues_or_losses() {
    let node = rabbitmq::shared().await;
    let (one, other) = (node.vhost().await.unwrap(), node.vhost().await.unwrap());
    let (lost, kept) = (connect(&one.url()).await, connect(&other.url()).await);
    let _queue = channel_with_queue(&lost, "only here").await;
    assert!(other.ready("only here").await.is_err());

    assert_eq!(one.close_connections("a test says so").await.unwrap(), 1);
    eventually(PATIENCE, "the connection is lost", async || {
        (!lost.status().connected()).then_some(())
    })
    .await;
    assert!(kept.status().connected());
}

#[tokio::test]
async fn a_confirmed_message_survives_kill_and_stop_on_the_same_port() {
    let mut node = Node::start().await.unwrap();
    let url = node.url();
    let connection = connect(&url).await;
    publish(&channel_with_queue(&connection, "q").await, "q", b"durable").await;
    // Up to RabbitMQ 4.2 the queue itself is written later than a confirmed message.
    node.eval("catch mnesia:sync_log()").await.unwrap();

    node.kill().unwrap();
    assert!(node.eval("ok").await.is_err());
    node.start_again().await.unwrap();
    assert_eq!(node.url(), url);
    assert_eq!(node.default_vhost().ready("q").await.unwrap(), 1);

    node.stop().await.unwrap();
    node.start_again().await.unwrap();
    let connection = connect(&url).await;
    let channel = connection.create_channel().await.unwrap();
    assert_eq!(fetch(&channel, "q").await.unwrap().data, b"durable");
}

#[tokio::test]
async fn a_node_that_cannot_start_says_why() {
    let broken = Node::builder().setting("channel_max", "{no term");
    let error = broken.start().await.unwrap_err();
    // RabbitMQ 3 names the file, RabbitMQ 4 what it is.
    assert!(format!("{error:#}").contains("advanced"), "{error:#}");
}

#[tokio::test]
async fn two_nodes_start_and_run_beside_each_other() {
    let (one, other) = tokio::join!(Node::start(), Node::start());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_ne!(one.port(), other.port());
    let (here, there) = (connect(&one.url()).await, connect(&other.url()).await);
    publish(&channel_with_queue(&here, "q").await, "q", b"here").await;
    let there = channel_with_queue(&there, "q").await;
    assert!(fetch(&there, "q").await.is_none());
    drop(one);
    publish(&there, "q", b"the other one goes on").await;
}

#[tokio::test]
async fn a_paused_node_is_mute_until_it_is_resumed() {
    let mut node = Node::start().await.unwrap();
    let connection = connect(&node.url()).await;
    node.pause().await.unwrap();
    let create = connection.create_channel();
    tokio::pin!(create);
    let answer = timeout(Duration::from_millis(300), &mut create).await;
    assert!(answer.is_err(), "a paused node answered");

    node.resume().await.unwrap();
    timeout(PATIENCE, create).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_memory_alarm_blocks_publishers_until_it_is_cleared() {
    let mut node = Node::start().await.unwrap();
    let connection = connect(&node.url()).await;
    let channel = channel_with_queue(&connection, "q").await;
    node.raise_memory_alarm().await.unwrap();
    // The broker blocks whoever publishes, when it does; a publish may still overtake the alarm.
    let publish = || {
        let options = BasicPublishOptions::default();
        channel.basic_publish(
            "".into(),
            "q".into(),
            options,
            b"late",
            BasicProperties::default(),
        )
    };
    let mut confirms = Vec::new();
    eventually(PATIENCE, "the connection is blocked", async || {
        if let Ok(confirm) = timeout(Duration::from_millis(200), publish()).await {
            confirms.push(confirm.unwrap());
        }
        connection.status().blocked().then_some(())
    })
    .await;

    node.clear_memory_alarm().await.unwrap();
    for confirm in confirms {
        let confirmation = timeout(PATIENCE, confirm).await.unwrap().unwrap();
        assert_eq!(confirmation, Confirmation::Ack(None));
    }
    assert!(!connection.status().blocked());
}

/// Since 4.3 RabbitMQ does so with quorum queues only, and cancels the consumer instead of closing
/// its channel.
#[tokio::test]
async fn a_delivery_held_beyond_the_consumer_timeout_ends_the_consumer() {
    let node = Node::builder()
        .consumer_timeout(Duration::from_secs(1))
        .start()
        .await
        .unwrap();
    let connection = connect(&node.url()).await;
    let channel = channel_with_queue_of(&connection, "q", "quorum").await;
    publish(&channel, "q", b"held").await;
    let options = BasicConsumeOptions::default();
    let mut consumer = channel
        .basic_consume("q".into(), "c".into(), options, FieldTable::default())
        .await
        .unwrap();
    let held = timeout(PATIENCE, consumer.next()).await.unwrap();
    assert_eq!(held.unwrap().unwrap().data, b"held");
    let end = timeout(PATIENCE, consumer.next()).await.unwrap();
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    assert!(connection.status().connected());
}

#[tokio::test]
async fn a_node_with_tls_takes_clients_with_the_right_certificate_only() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path()).unwrap();
    let node = Node::builder()
        .tls(&certificates, ClientCertificate::Required)
        .start()
        .await
        .unwrap();
    let port = node.tls_port().unwrap();
    let answer = async |identity: Option<&Identity>| {
        let greeting = greeting_over_tls(port, &certificates, identity);
        timeout(PATIENCE, greeting).await.unwrap()
    };
    let first = answer(Some(&certificates.client)).await.unwrap();
    assert_eq!(first, METHOD_FRAME);
    assert!(answer(None).await.is_err());
}

/// What a broker's answer to the protocol header begins with: `connection.start`.
const METHOD_FRAME: u8 = 1;

/// The first byte of the broker's answer to the header of AMQP 0.9.1.
async fn greeting_over_tls(
    port: u16,
    certificates: &Certificates,
    identity: Option<&Identity>,
) -> anyhow::Result<u8> {
    let chain = |path| CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(chain(&certificates.server_authority)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_file(&identity.key)?;
            config.with_client_auth_cert(chain(&identity.certificate)?, key)?
        }
    };
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into()?, stream)
        .await?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    // With TLS 1.3 a server that wants a certificate says so only to the first reader.
    Ok(stream.read_u8().await?)
}
