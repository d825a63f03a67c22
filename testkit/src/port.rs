//! Ports that stay ours between choosing them and the server's binding them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A free port on 127.0.0.1, chosen by the operating system and held by a
/// socket that is bound but never listens.
///
/// On Linux such a socket keeps everybody else from being given the port, yet a
/// server that asks for this very port with `SO_REUSEADDR`, as RabbitMQ and
/// `epmd` do, may still bind it. So there is no moment in which the port can be
/// lost, neither before the first start nor while the server is down: a client
/// that reconnects all the time cannot be given it as its own end either.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    number: u16,
    _holder: TcpSocket,
}

impl ReservedPort {
    pub(crate) fn choose() -> io::Result<Self> {
        let holder = TcpSocket::new_v4()?;
        holder.set_reuseaddr(true)?;
        holder.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self {
            number: holder.local_addr()?.port(),
            _holder: holder,
        })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}
