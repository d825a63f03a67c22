//! What befalls the connections between worker and broker.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::SESSION_LOST;
use crate::stage::Stage;
use crate::worker::has_namespaces;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both ends see a reset.
    Cut,
    /// No byte passes, and nobody is told.
    Stalled,
    /// The broker's end is closed, and the worker is not told.
    HalfOpen,
    /// As [`Fault::Cut`], where the first address of the broker's name swallows packets.
    CutBesideBlackHole,
}

const NAME: &str = "broker.test";

impl Fault {
    pub async fn prepare(self, stage: &mut Stage) {
        if self != Fault::CutBesideBlackHole {
            return;
        }
        let proxy = stage.broker_link.address();
        // IPv6 comes first in whatever a name is resolved to.
        let hole: SocketAddr = ([0, 0, 0, 0, 0, 0, 0, 1], proxy.port()).into();
        let url = stage.broker_url();
        stage.own_names = has_namespaces().await;
        if stage.own_names {
            stage.write("nsswitch.conf", "hosts: files\n");
            let hosts = format!("{} {NAME}\n{} {NAME}\n", hole.ip(), proxy.ip());
            stage.write("hosts", &hosts);
            stage.set("RABBITMQ__URL", url.replace("127.0.0.1", NAME));
        } else {
            let first = url.replace("127.0.0.1", "[::1]");
            stage.set("RABBITMQ__URL", format!("{first},{url}"));
        }
        stage.black_hole = Some(BlackHole::dig(hole).await);
    }

    pub async fn strike(self, stage: &mut Stage) {
        let mark = stage.worker().mark();
        match self {
            Fault::Cut | Fault::CutBesideBlackHole => assert!(stage.broker_link.cut().await > 0),
            Fault::Stalled => stage.broker_link.stall(),
            Fault::HalfOpen => assert!(stage.broker_link.half_open().await > 0),
        }
        stage.worker().says_since(mark, SESSION_LOST).await;
    }

    pub fn lift(self, stage: &Stage) {
        match self {
            Fault::Stalled => stage.broker_link.flow(),
            Fault::Cut | Fault::HalfOpen | Fault::CutBesideBlackHole => {}
        }
    }
}

/// A listener that accepts nobody, with a full backlog: the system drops what else arrives.
pub struct BlackHole {
    _listener: tokio::net::TcpListener,
    _inside: Vec<TcpStream>,
}

impl BlackHole {
    async fn dig(address: SocketAddr) -> BlackHole {
        let socket = TcpSocket::new_v6().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(0).unwrap();
        let mut inside = Vec::new();
        let full = Duration::from_millis(500);
        while let Ok(stream) = timeout(full, TcpStream::connect(address)).await {
            inside.push(stream.unwrap());
        }
        BlackHole {
            _listener: listener,
            _inside: inside,
        }
    }
}
