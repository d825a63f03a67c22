//! From a URL to a broker: addresses, and peers that are none.

use std::time::Duration;

use tagsweep::rabbitmq::{Broker, Cause, Loss, UrlProblem, inspect};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use crate::harness::*;

/// Answers whatever comes with `answer`, and hangs up.
async fn answering(answer: &'static [u8]) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let mut said = [0; 8];
                // Of those who go away no answer is missed.
                if stream.read_exact(&mut said).await.is_ok() {
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    (port, serving)
}

async fn refusal(url: String) -> Cause {
    cause(not_opened(&mut Broker::new(options(url))).await)
}

#[tokio::test]
async fn a_peer_that_is_no_broker_is_known_by_what_it_says() {
    for (answer, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Cause::Http),
        (b"\x15\x03\x03\x00\x02\x02\x28", Cause::TlsSpoken),
        (b"AMQP\x00\x01\x00\x00", Cause::OtherVersion),
        (b"220 mail ESMTP\r\n", Cause::NotAmqp),
        (b"", Cause::ClosedBeforeAnswer),
    ] {
        let (port, _serving) = answering(answer).await;
        assert_eq!(refusal(format!("amqp://127.0.0.1:{port}")).await, expected);
    }
    for (answer, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Cause::Http),
        (b"AMQP\x00\x00\x09\x01", Cause::TlsNotSpoken),
        (b"", Cause::ClosedInHandshake),
    ] {
        let (port, _serving) = answering(answer).await;
        let mut options = options(format!("amqps://127.0.0.1:{port}"));
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = testkit::tls::Certificates::make(folder.path()).expect("certificates");
        let pem = std::fs::read_to_string(certificates.server_authority).expect("a PEM file");
        options.ca_pem = Some(pem);
        let reason = not_opened(&mut Broker::new(options)).await;
        assert_eq!(cause(reason), expected);
    }
}

#[tokio::test]
async fn a_host_that_is_not_found_and_a_port_without_a_listener_are_told() {
    let unknown = refusal("amqp://no-such-host.invalid/%2f".to_owned()).await;
    assert_eq!(unknown, Cause::UnknownHost);
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = unused.local_addr().expect("an address").port();
    drop(unused);
    let refused = refusal(format!("amqp://127.0.0.1:{port}")).await;
    assert_eq!(refused, Cause::Refused);
}

#[tokio::test]
async fn an_ipv6_literal_is_connected_to() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        panic!("this machine has no IPv6 loopback");
    };
    let port = listener.local_addr().expect("an address").port();
    let vhost = shared_vhost().await;
    let node = vhost.node().address();
    let passing = tokio::spawn(async move {
        loop {
            let (mut here, _) = listener.accept().await.expect("a connection");
            let mut there = tokio::net::TcpStream::connect(node).await.expect("a node");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut here, &mut there).await });
        }
    });
    let url = vhost.url_through(port).replace("127.0.0.1", "[::1]");
    opened(&mut Broker::new(options(url))).await;
    passing.abort();
}

#[tokio::test]
async fn a_broker_that_accepts_and_stays_mute_is_given_up_and_its_sockets_are_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut options = options(format!("amqp://guest:guest@127.0.0.1:{port}/%2f"));
    options.timing.connect = Duration::from_millis(200);
    let mut broker = Broker::new(options);
    let mute = async {
        let (mut first, _) = listener.accept().await.expect("a connection");
        let (mut second, _) = listener.accept().await.expect("a connection");
        let mut heard = Vec::new();
        first.read_to_end(&mut heard).await.expect("an end");
        second.read_to_end(&mut heard).await.expect("an end");
    };
    let (reason, ()) = tokio::join!(not_opened(&mut broker), mute);
    let limit = Duration::from_millis(200);
    assert_eq!(cause(reason), Cause::Mute { limit });
}

#[tokio::test]
async fn urls_are_tried_in_turn() {
    let vhost = shared_vhost().await;
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dead = unused.local_addr().expect("an address").port();
    drop(unused);
    let mut options = options(vhost.url_through(dead));
    options.urls.push(vhost.url().into());
    opened(&mut Broker::new(options)).await;
}

#[tokio::test]
async fn of_several_urls_that_fail_each_is_told_with_its_host_and_no_password() {
    let vhost = shared_vhost().await;
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dead = unused.local_addr().expect("an address").port();
    drop(unused);
    let mut options = options(vhost.url().replace("guest:guest", "guest:s3cret"));
    options.urls.push(vhost.url_through(dead).into());
    options.urls.push("http://guest:s3cret@127.0.0.1/".into());
    let reason = not_opened(&mut Broker::new(options.clone())).await;
    let Loss::Several(losses) = &reason else {
        panic!("{reason:?}");
    };
    let live = format!("127.0.0.1:{}", vhost.node().port());
    let dead = format!("127.0.0.1:{dead}");
    let [first, second, third] = &losses[..] else {
        panic!("{losses:?}");
    };
    assert_eq!((&first.0, &second.0), (&live, &dead));
    assert_eq!(third.0, "rabbitmq.url number 3");
    assert_eq!(cause(first.1.clone()), Cause::Credentials);
    assert_eq!(cause(second.1.clone()), Cause::Refused);
    let scheme = Cause::Url(UrlProblem::Scheme);
    assert_eq!(cause(third.1.clone()), scheme);
    let findings = inspect(&options, false).await;
    let shown = format!("{reason} {reason:?} {options:?} {findings:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    for part in [
        &live,
        &dead,
        "refused user or password",
        "connection refused",
    ] {
        let found = |text: &str| text.contains(part);
        assert!(found(&reason.to_string()), "{part} in {reason}");
        assert!(found(&findings[0].detail), "{part} in {findings:?}");
    }
}
