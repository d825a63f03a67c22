//! Connections that can be cut on purpose, with and without TLS.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// A cut is below TLS: what is cut sends no record any more.
type Connection = Either<CuttableStream, TlsStream<CuttableStream>>;

pub(crate) struct CuttableListener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    /// A client that takes its time, or does not like the certificate, holds up no other.
    handshakes: JoinSet<Option<(Connection, SocketAddr)>>,
}

impl CuttableListener {
    /// Plain HTTP without an acceptor.
    pub(crate) fn new(tcp: TcpListener, tls: Option<TlsAcceptor>) -> CuttableListener {
        CuttableListener {
            tcp,
            tls,
            handshakes: JoinSet::new(),
        }
    }
}

impl Listener for CuttableListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let (stream, address) = tokio::select! {
                accepted = Listener::accept(&mut self.tcp) => accepted,
                Some(ended) = self.handshakes.join_next() => match ended {
                    Ok(Some(connection)) => return connection,
                    _ => continue,
                },
            };
            // Only a delay of small answers is lost if this fails.
            let _ = stream.set_nodelay(true);
            let stream = CuttableStream {
                stream,
                cut: Cut::default(),
            };
            let Some(tls) = &self.tls else {
                return (Either::Left(stream), address);
            };
            let handshake = tls.accept(stream);
            self.handshakes.spawn(async move {
                let stream = handshake.await.ok()?;
                Some((Either::Right(stream), address))
            });
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// The switch of one connection: once cut, nothing more is written, and the peer sees a reset.
#[derive(Clone, Default)]
pub(crate) struct Cut(Arc<AtomicBool>);

impl Cut {
    pub(crate) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Cut {
        match stream.io() {
            Either::Left(plain) => plain.cut.clone(),
            Either::Right(tls) => tls.get_ref().0.cut.clone(),
        }
    }
}

pub(crate) struct CuttableStream {
    stream: TcpStream,
    cut: Cut,
}

impl CuttableStream {
    fn fail_if_cut(&self) -> io::Result<()> {
        if !self.cut.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Without lingering the kernel sends a reset instead of an orderly end.
        self.stream.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.fail_if_cut()?;
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.fail_if_cut()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
