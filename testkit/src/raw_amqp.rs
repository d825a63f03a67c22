//! A publisher that says on the wire what no client library would.

use std::net::SocketAddr;

use anyhow::{bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const FRAME_END: u8 = 0xce;
/// RabbitMQ's own, in bytes.
const FRAME_MAX: u32 = 128 * 1024;
/// AMQP calls this property bit 13 of a message's header.
const HAS_HEADERS: u16 = 1 << 13;

/// Publishes one message as `guest`, and returns when the broker has confirmed it.
///
/// `headers` is the content of the header table as it stands on the wire, without its length.
///
/// # Errors
/// When the broker answers anything else than it should.
pub async fn publish(
    broker: SocketAddr,
    vhost: &str,
    [exchange, routing_key]: [&str; 2],
    headers: &[u8],
    body: &[u8],
) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(broker).await?;
    stream.write_all(b"AMQP\0\0\x09\x01").await?;
    let login = [
        &[0; 4],
        &*short("PLAIN"),
        &*long(b"\0guest\0guest"),
        &*short("en_US"),
    ];
    let limits = [&[0, 1], &FRAME_MAX.to_be_bytes()[..], &[0, 0]];
    for (answered, channel, [class, method], arguments) in [
        ([10, 10], 0, [10, 11], login.concat()),
        ([10, 30], 0, [10, 31], limits.concat()),
        ([0, 0], 0, [10, 40], [&*short(vhost), &[0, 0]].concat()),
        ([10, 41], 1, [20, 10], vec![0]),
        ([20, 11], 1, [85, 10], vec![0]),
        (
            [85, 11],
            1,
            [60, 40],
            [&[0, 0], &*short(exchange), &*short(routing_key), &[0]].concat(),
        ),
    ] {
        if answered != [0, 0] {
            expect(&mut stream, answered).await?;
        }
        let method = [&[0, class, 0, method], &*arguments].concat();
        send(&mut stream, METHOD, channel, &method).await?;
    }
    let content = [
        &[0, 60, 0, 0],
        &(body.len() as u64).to_be_bytes()[..],
        &HAS_HEADERS.to_be_bytes(),
        &long(headers),
    ];
    send(&mut stream, HEADER, 1, &content.concat()).await?;
    send(&mut stream, BODY, 1, body).await?;
    expect(&mut stream, [60, 80]).await
}

/// The header `a`: a list in a list in a list, `depth` times.
pub fn nested_lists(depth: usize) -> Vec<u8> {
    // From the inside out, and so written from the end.
    let mut reversed = Vec::new();
    for _ in 0..depth {
        let length = u32::try_from(reversed.len()).expect("far less than 4 GiB");
        reversed.extend(length.to_le_bytes());
        reversed.push(b'A');
    }
    reversed.extend(b"a\x01");
    reversed.reverse();
    reversed
}

async fn send(stream: &mut TcpStream, kind: u8, channel: u8, payload: &[u8]) -> anyhow::Result<()> {
    let length = u32::try_from(payload.len())?;
    ensure!(length + 8 <= FRAME_MAX, "{length} bytes fit into no frame");
    let head = [&[kind, 0, channel], &length.to_be_bytes()[..]].concat();
    stream
        .write_all(&[&head, payload, &[FRAME_END]].concat())
        .await?;
    Ok(())
}

/// Reads one frame, which must be this method.
async fn expect(stream: &mut TcpStream, [class, method]: [u8; 2]) -> anyhow::Result<()> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let [kind, _, _, length @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes(length) as usize + 1];
    stream.read_exact(&mut payload).await?;
    if kind != METHOD || !payload.starts_with(&[0, class, 0, method]) {
        bail!("no method {class}.{method} but a frame of kind {kind}: {payload:?}");
    }
    Ok(())
}

fn short(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short text");
    [&[length], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("less than 4 GiB");
    [&length.to_be_bytes(), bytes].concat()
}
