//! Ports that stay reserved between choosing them and the server's binding them.

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

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_reserved_port_refuses_connections_until_its_server_binds_it() {
        let port = ReservedPort::choose().unwrap();
        let address = ("127.0.0.1", port.number());
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let _server = TcpListener::bind(address).unwrap();
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn nobody_else_is_given_a_reserved_port() {
        // Of 28,000 ports, 500 drawn blindly are all different once in a hundred times.
        let mut held: Vec<_> = (0..500).map(|_| ReservedPort::choose().unwrap()).collect();
        held.sort_by_key(ReservedPort::number);
        assert!(
            held.windows(2)
                .all(|pair| pair[0].number() != pair[1].number())
        );
    }
}
