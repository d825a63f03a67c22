//! Each fault of the proxy, seen from a plain TCP client in front of a plain
//! TCP server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use testkit::eventually;
use testkit::proxy::{Counts, Direction, FaultProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// How long nothing must happen to be believed.
const SILENCE: Duration = Duration::from_millis(200);

/// A server whose side of each connection is handed to the test.
struct Server(TcpListener);

impl Server {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    async fn accept(&self) -> TcpStream {
        timeout(PATIENCE, self.0.accept()).await.unwrap().unwrap().0
    }
}

/// A proxy with one connection through it: the client's end and the server's.
async fn connected() -> (Server, FaultProxy, TcpStream, TcpStream) {
    let server = Server::start().await;
    let proxy = FaultProxy::start(server.address()).unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let mut served = server.accept().await;
    pass(&mut client, &mut served, b"hello").await;
    pass(&mut served, &mut client, b"welcome").await;
    (server, proxy, client, served)
}

async fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    expect(to, bytes).await;
}

async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut arrived = vec![0; bytes.len()];
    timeout(PATIENCE, stream.read_exact(&mut arrived))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(arrived, bytes);
}

/// How the stream ends: 0 bytes, or an error.
async fn end(stream: &mut TcpStream) -> io::Result<usize> {
    timeout(PATIENCE, stream.read(&mut [0]))
        .await
        .expect("the stream ends")
}

async fn assert_mute(stream: &mut TcpStream) {
    let read = timeout(SILENCE, stream.read(&mut [0])).await;
    assert!(read.is_err(), "{read:?} where nothing should arrive");
}

async fn assert_reset(stream: &mut TcpStream) {
    let error = end(stream).await.expect_err("a reset, not an orderly end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn more_than_all_buffers_hold_arrives_complete_and_in_order() {
    let (_server, _proxy, mut client, mut served) = connected().await;
    let sent: Vec<u8> = (0..20_000_000_u32)
        .map(|n| n.to_le_bytes()[n as usize % 4])
        .collect();
    let (wrote, arrived) = tokio::join!(
        async {
            client.write_all(&sent).await?;
            client.shutdown().await
        },
        async {
            let mut arrived = Vec::new();
            served.read_to_end(&mut arrived).await.map(|_| arrived)
        }
    );
    wrote.unwrap();
    assert!(
        arrived.unwrap() == sent,
        "other bytes arrived than were sent"
    );
}

#[tokio::test]
async fn the_end_of_one_direction_leaves_the_other_open() {
    let (_server, _proxy, mut client, mut served) = connected().await;
    client.shutdown().await.unwrap();
    assert_eq!(end(&mut served).await.unwrap(), 0);
    pass(&mut served, &mut client, b"still here").await;
}

#[tokio::test]
async fn a_reset_by_the_server_resets_the_client() {
    let (_server, _proxy, mut client, served) = connected().await;
    served.set_zero_linger().unwrap();
    drop(served);
    assert_reset(&mut client).await;
}

#[tokio::test]
async fn a_target_that_is_down_resets_the_client() {
    let (server, proxy, _client, _served) = connected().await;
    drop(server);
    // The reset may be quicker than the client's look at its new connection.
    let error = match TcpStream::connect(proxy.address()).await {
        Ok(mut client) => end(&mut client).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn cut_resets_both_sides_and_lets_the_next_connection_through() {
    let (server, proxy, mut client, mut served) = connected().await;
    assert_eq!(proxy.cut().await, 1);
    assert_reset(&mut client).await;
    assert_reset(&mut served).await;

    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let mut served = server.accept().await;
    pass(&mut client, &mut served, b"again").await;
}

#[tokio::test]
async fn refuse_turns_away_new_connections_only_until_accept() {
    let (server, proxy, mut client, mut served) = connected().await;
    proxy.refuse().await.unwrap();
    let error = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    pass(&mut client, &mut served, b"the old one goes on").await;

    proxy.accept().await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let mut served = server.accept().await;
    pass(&mut client, &mut served, b"welcome back").await;
}

#[tokio::test]
async fn stall_holds_bytes_back_until_flow() {
    let (_server, proxy, mut client, mut served) = connected().await;
    proxy.stall();
    client.write_all(b"to server").await.unwrap();
    served.write_all(b"to client").await.unwrap();
    assert_mute(&mut served).await;
    assert_mute(&mut client).await;

    proxy.flow();
    expect(&mut served, b"to server").await;
    expect(&mut client, b"to client").await;
}

#[tokio::test]
async fn stall_hides_the_death_of_the_server() {
    let (_server, proxy, mut client, served) = connected().await;
    proxy.stall();
    served.set_zero_linger().unwrap();
    drop(served);
    assert_mute(&mut client).await;

    proxy.flow();
    assert_reset(&mut client).await;
}

#[tokio::test]
async fn a_stalled_connection_can_be_cut() {
    let (_server, proxy, mut client, mut served) = connected().await;
    proxy.stall();
    client.write_all(b"lost").await.unwrap();
    assert_mute(&mut served).await;
    assert_eq!(proxy.cut().await, 1);
    assert_reset(&mut client).await;
    assert_reset(&mut served).await;
}

#[tokio::test]
async fn delay_holds_up_one_direction_only() {
    const DELAY: Duration = Duration::from_millis(300);
    let (_server, proxy, mut client, mut served) = connected().await;
    proxy.delay(Direction::ToServer, DELAY);

    let started = Instant::now();
    pass(&mut client, &mut served, b"slow").await;
    assert!(started.elapsed() >= DELAY, "{:?}", started.elapsed());

    // Were it held up as well, it would arrive after what was sent before it.
    client.write_all(b"slow again").await.unwrap();
    pass(&mut served, &mut client, b"fast").await;
    assert_mute(&mut served).await;
    expect(&mut served, b"slow again").await;

    proxy.delay(Direction::ToServer, Duration::ZERO);
    let started = Instant::now();
    pass(&mut client, &mut served, b"fast").await;
    assert!(started.elapsed() < DELAY, "{:?}", started.elapsed());
}

#[tokio::test]
async fn half_open_drops_the_server_and_leaves_the_client_mute() {
    let (server, proxy, mut client, mut served) = connected().await;
    assert_eq!(proxy.half_open().await, 1);
    assert_eq!(end(&mut served).await.unwrap(), 0);
    client.write_all(b"is anybody there?").await.unwrap();
    assert_mute(&mut client).await;
    assert_eq!(
        proxy.counts().await,
        Counts {
            open: 1,
            accepted: 1
        }
    );

    let mut next = TcpStream::connect(proxy.address()).await.unwrap();
    let mut served = server.accept().await;
    pass(&mut next, &mut served, b"the next one works").await;

    assert_eq!(proxy.cut().await, 2);
    assert_reset(&mut client).await;
    assert_reset(&mut next).await;
}

#[tokio::test]
async fn connections_are_counted_while_open_and_in_total() {
    let (server, proxy, client, served) = connected().await;
    let mut second = TcpStream::connect(proxy.address()).await.unwrap();
    let mut second_served = server.accept().await;
    pass(&mut second, &mut second_served, b"hello").await;
    assert_eq!(
        proxy.counts().await,
        Counts {
            open: 2,
            accepted: 2
        }
    );

    drop((client, served));
    eventually(PATIENCE, "one connection is left", async || {
        (proxy.counts().await
            == Counts {
                open: 1,
                accepted: 2,
            })
        .then_some(())
    })
    .await;
}

#[tokio::test]
async fn retarget_sends_the_next_connection_elsewhere() {
    let (_server, proxy, mut client, mut served) = connected().await;
    let other = Server::start().await;
    proxy.retarget(other.address());
    let mut next = TcpStream::connect(proxy.address()).await.unwrap();
    let mut next_served = other.accept().await;
    pass(&mut next, &mut next_served, b"elsewhere").await;
    pass(&mut client, &mut served, b"where it was").await;
}

#[tokio::test]
async fn a_dropped_proxy_is_gone() {
    let (_server, proxy, mut client, mut served) = connected().await;
    let address = proxy.address();
    drop(proxy);
    assert!(matches!(end(&mut client).await, Ok(0) | Err(_)));
    assert!(matches!(end(&mut served).await, Ok(0) | Err(_)));
    let error = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_proxy_outlives_the_runtime_that_started_it() {
    let new_runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let proxy = {
        let first = new_runtime();
        first.block_on(async { FaultProxy::start(Server::start().await.address()).unwrap() })
    };
    new_runtime().block_on(async {
        let server = Server::start().await;
        proxy.retarget(server.address());
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let mut served = server.accept().await;
        pass(&mut client, &mut served, b"hello").await;
    });
}
