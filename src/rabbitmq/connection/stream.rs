//! The byte streams of a connection, and how an open one is passed to lapin.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, AsRawFd},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_rs::{Tokio, traits::Reactor, util::RuntimeParts};
use lapin::{
    AsyncTcpStream,
    protocol::connection::{Start, parse_start},
    types::AMQPValue,
};
use tokio::io::{AsyncRead, AsyncWrite, Join, ReadHalf, WriteHalf, join, split};
use tokio_util::{
    compat::{Compat, TokioAsyncReadCompatExt},
    io::InspectReader,
};

use super::backlog::Backlog;
use super::frames::{Farewell, Sanitized};

/// A socket, or TLS over one.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

type Stream = Box<dyn Transport>;

/// A stream with sanitized incoming frames and unchanged outgoing ones.
type Frames = Compat<Join<Sanitized<ReadHalf<Stream>>, WriteHalf<Stream>>>;

/// More bytes than a broker sends before it has checked the login.
const KEPT: usize = 4096;

/// The first bytes that a peer sends, kept to identify it if it is not a broker.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<u8>>>);

/// What a peer speaks, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Nothing,
    Amqp,
    /// A broker that does not accept our version of the protocol.
    AmqpHeader,
    Http,
    Tls,
    Unknown,
}

impl Heard {
    /// `stream`, with its first bytes kept here.
    pub(super) fn through<S: Transport>(&self, stream: S) -> impl Transport + use<S> {
        let heard = self.clone();
        InspectReader::new(stream, move |bytes| heard.keep(bytes))
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.lock();
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(bytes.iter().take(room));
    }

    pub(super) fn spoken(&self) -> Spoken {
        match self.lock().as_slice() {
            [] => Spoken::Nothing,
            [b'A', b'M', b'Q', b'P', ..] => Spoken::AmqpHeader,
            [b'H', b'T', b'T', b'P', ..] => Spoken::Http,
            // An alert or a handshake of any version since SSL 3.
            [0x15 | 0x16, 3, ..] => Spoken::Tls,
            // A method on channel 0.
            [1, 0, 0, ..] => Spoken::Amqp,
            _ => Spoken::Unknown,
        }
    }

    /// The names of the SASL mechanisms that the broker offers in its first frame.
    pub(super) fn mechanisms(&self) -> Option<Vec<String>> {
        let names = self.start()?.mechanisms.to_string();
        Some(names.split_whitespace().map(str::to_owned).collect())
    }

    /// The broker's version, major and minor, as its first frame names it.
    pub(super) fn version(&self) -> Option<(u32, u32)> {
        let start = self.start()?;
        let Some(AMQPValue::LongString(version)) = start.server_properties.inner().get("version")
        else {
            return None;
        };
        let version = version.to_string();
        let mut numbers = version.split('.').map_while(|part| part.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    }

    fn start(&self) -> Option<Start> {
        let kept = self.lock();
        // Type, channel and size of the frame, class and method.
        let arguments = kept.get(7..)?.strip_prefix(&[0, 10, 0, 10])?;
        Some(parse_start(arguments).ok()?.1)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A second handle on a socket. The socket is shut down when this is dropped: lapin's thread lives as long as its
/// socket.
pub(super) struct Socket(std::net::TcpStream);

impl Socket {
    pub(super) fn of(stream: &impl AsFd) -> io::Result<Self> {
        Ok(Self(stream.as_fd().try_clone_to_owned()?.into()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It fails only where the peer has closed it already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Opens an AMQP connection over `stream`: handshake, login and vhost.
pub(super) async fn log_in(
    uri: lapin::uri::AMQPUri,
    stream: Stream,
    parts: (Backlog, Farewell),
    properties: lapin::ConnectionProperties,
) -> lapin::Result<lapin::Connection> {
    let (incoming, outgoing) = split(stream);
    let incoming = Sanitized::new(incoming, uri.query.frame_max.unwrap_or(0), parts);
    let once = Mutex::new(Some(join(incoming, outgoing).compat()));
    let tokio = Tokio::current();
    let runtime: Runtime = RuntimeParts::new(tokio.clone(), Opened(tokio)).into();
    lapin::Connection::connector(
        uri,
        runtime,
        async move |_, _| {
            let frames = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            // lapin asks again where a broker closes before its first frame. What that broker said is worth more.
            let frames = frames.ok_or(io::Error::from(io::ErrorKind::ConnectionAborted))?;
            Ok(AsyncTcpStream::Plain(frames))
        },
        properties,
    )
    .await
}

type Runtime = async_rs::Runtime<RuntimeParts<Tokio, Opened>>;

/// lapin takes the type of its streams from a reactor, so this is tokio's with ours.
#[derive(Clone, Debug)]
struct Opened(Tokio);

impl Reactor for Opened {
    type TcpStream = Frames;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl futures_util::AsyncRead + futures_util::AsyncWrite + Send + Unpin + 'static>
    {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(
        &self,
        period: Duration,
    ) -> impl futures_util::Stream<Item = Instant> + Send + 'static {
        self.0.interval(period)
    }

    /// Not for us: lapin is only given streams that are open.
    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
