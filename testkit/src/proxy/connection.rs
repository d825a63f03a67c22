//! One connection through the proxy, from its acceptance to its end.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Settings;

/// How much one direction holds back at most, in chunks: past that the sender
/// feels it, as it would on a real line.
const CHUNKS: usize = 256;
const CHUNK_SIZE: usize = 16 * 1024;

/// The faults that can befall the connections of one time.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    pub(super) cut: CancellationToken,
    pub(super) half_open: CancellationToken,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// By its own ends.
    Ended,
    Cut,
    /// The server's side is closed, this is the client's.
    HalfOpen(TcpStream),
}

pub(super) async fn relay(
    mut client: TcpStream,
    settings: watch::Receiver<Settings>,
    faults: Faults,
) -> Outcome {
    let target = settings.borrow().target;
    let mut server = tokio::select! {
        server = TcpStream::connect(target) => match server {
            Ok(server) => server,
            Err(_) => {
                reset(client);
                return Outcome::Ended;
            }
        },
        () = faults.cut.cancelled() => {
            reset(client);
            return Outcome::Cut;
        }
        () = faults.half_open.cancelled() => return Outcome::HalfOpen(client),
    };
    // Without this, small frames would wait for acknowledgements of others.
    let _ = client.set_nodelay(true).and(server.set_nodelay(true));

    let passed = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let to_server = pass(client_read, server_write, settings.clone(), |settings| {
            settings.delay_to_server
        });
        let to_client = pass(server_read, client_write, settings, |settings| {
            settings.delay_to_client
        });
        tokio::select! {
            passed = async { tokio::try_join!(to_server, to_client) } => Some(passed),
            () = faults.cut.cancelled() => None,
            () = faults.half_open.cancelled() => {
                drop(server);
                return Outcome::HalfOpen(client);
            }
        }
    };
    match passed {
        Some(Ok(_)) => Outcome::Ended,
        // One side was reset, so the other one is, too.
        Some(Err(_)) => {
            reset(client);
            reset(server);
            Outcome::Ended
        }
        None => {
            reset(client);
            reset(server);
            Outcome::Cut
        }
    }
}

/// Closes a connection with a reset instead of an orderly end.
pub(super) fn reset(stream: TcpStream) {
    // Fails only where the connection is gone already.
    let _ = stream.set_zero_linger();
}

/// Passes bytes on in one direction until their end, and the end as well, be
/// it an orderly one or a reset.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut settings: watch::Receiver<Settings>,
    delay: impl Fn(&Settings) -> Duration,
) -> io::Result<()> {
    let (line, mut end_of_line) = mpsc::channel::<(Instant, io::Result<Vec<u8>>)>(CHUNKS);
    let current = settings.clone();
    let read = async move {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_SIZE);
            let chunk = from.read_buf(&mut chunk).await.map(|_| chunk);
            let last = !matches!(&chunk, Ok(bytes) if !bytes.is_empty());
            let due = Instant::now() + delay(&current.borrow());
            if line.send((due, chunk)).await.is_err() || last {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = end_of_line.recv().await {
            sleep_until(due).await;
            // The sender of settings lives as long as the proxy.
            let _ = settings.wait_for(|settings| settings.flowing).await;
            let bytes = chunk?;
            if bytes.is_empty() {
                return to.shutdown().await;
            }
            to.write_all(&bytes).await?;
        }
        Ok(())
    };
    tokio::try_join!(read, write).map(drop)
}
