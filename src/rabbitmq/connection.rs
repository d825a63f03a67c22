//! One AMQP connection: from a URL to a login, or to the reason why not, and to an end that is certain.
//!
//! lapin's I/O thread lives as long as its socket: a broker that accepts and stays mute, or that
//! stops answering while the connection closes, would keep the thread for ever. So the socket is
//! made here, a second handle on it is kept, and it is cut when this value goes.

mod backlog;
mod cause;
mod dial;
pub(crate) mod frames;
pub(crate) mod loss;
pub(crate) mod sanitize;
mod stream;
mod tls;
mod url;

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use futures_util::Stream;
use lapin::{
    Channel, ConnectionProperties, ErrorKind,
    uri::{AMQPScheme, AMQPUri},
};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use self::{
    backlog::Backlog,
    frames::Farewell,
    loss::{CallError, within},
    stream::{Heard, Socket, Spoken},
};
use super::{Options, Timing};

pub use cause::Cause;
pub use loss::{Loss, Part};
pub(crate) use url::{CHANNELS, heartbeat};
pub use url::{UrlProblem, check_url};

pub(crate) type LinkEvents = Pin<Box<dyn Stream<Item = lapin::Event> + Send>>;

pub(crate) struct Link {
    connection: Arc<lapin::Connection>,
    timing: Timing,
    /// Of what comes in on it.
    pub(crate) backlog: Backlog,
    farewell: Farewell,
    // Last, so that it is cut after lapin had its chance to say goodbye.
    _socket: Socket,
}

impl Link {
    /// Connects to the URL at `position` and logs in.
    pub(crate) async fn open(
        options: &Options,
        position: usize,
        name: &str,
    ) -> Result<(Self, LinkEvents), Loss> {
        let backlog = Backlog::default();
        let connected = match options.urls.get(position) {
            None => Err(Cause::Url(UrlProblem::NoHost)),
            Some(url) => match url::uri(url, options.timing.heartbeat) {
                Err(problem) => Err(Cause::Url(problem)),
                Ok(uri) => connect(&uri, options, name, &backlog).await,
            },
        };
        let (connection, farewell, socket) = connected.map_err(|cause| Loss::NotConnected {
            broker: broker(options, position),
            cause,
        })?;
        let events = Box::pin(connection.events_listener());
        let link = Self {
            connection: Arc::new(connection),
            timing: options.timing,
            backlog,
            farewell,
            _socket: socket,
        };
        Ok((link, events))
    }

    /// Connects to the first URL that answers.
    pub(crate) async fn open_any(
        options: &Options,
        name: &str,
    ) -> Result<(Self, LinkEvents), Loss> {
        let mut losses = Losses::default();
        for position in 0..options.urls.len() {
            match Self::open(options, position, name).await {
                Ok(opened) => return Ok(opened),
                Err(loss) => losses.push(options, position, loss),
            }
        }
        Err(losses.into())
    }

    /// How the broker takes leave of this connection.
    pub(crate) fn farewell(&self) -> Farewell {
        self.farewell.clone()
    }

    pub(crate) fn connected(&self) -> bool {
        self.connection.status().connected()
    }

    pub(crate) async fn channel(&self) -> Result<Channel, CallError> {
        within(
            self.timing.call,
            "channel.open",
            self.connection.create_channel(),
        )
        .await
    }

    /// The largest frame that both ends take, in bytes; 0 is any.
    pub(crate) fn frame_max(&self) -> u32 {
        self.connection.configuration().frame_max()
    }

    /// How many channels both ends allow.
    pub(crate) fn channel_max(&self) -> u16 {
        self.connection.configuration().channel_max()
    }

    /// For work that outlives a borrow of the link.
    pub(crate) fn connection(&self) -> Arc<lapin::Connection> {
        Arc::clone(&self.connection)
    }

    /// Closes in order, as far as the broker answers in time; the socket is gone either way.
    pub(crate) async fn close(self) -> Result<(), Loss> {
        let goodbye = self.connection.close(200, "bye".into());
        within(self.timing.close, "connection.close", goodbye).await?;
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A reader that waits for room would not see the end of its socket.
        self.backlog.lift();
    }
}

/// Why each of the URLs is of no use.
#[derive(Default)]
pub(crate) struct Losses(Vec<(String, Loss)>);

impl Losses {
    pub(crate) fn push(&mut self, options: &Options, position: usize, loss: Loss) {
        self.0.push((broker(options, position), loss));
    }
}

impl From<Losses> for Loss {
    fn from(Losses(mut losses): Losses) -> Self {
        match losses.len() {
            1 => losses.remove(0).1,
            _ => Self::Several(losses),
        }
    }
}

/// The broker of a URL as texts name it: host and port, or which of the URLs it is.
fn broker(options: &Options, position: usize) -> String {
    let uri = options.urls.get(position);
    let uri = uri.and_then(|url| url::uri(url, options.timing.heartbeat).ok());
    match uri.map(|uri| uri.authority) {
        Some(at) if at.host.contains(':') => format!("[{}]:{}", at.host, at.port),
        Some(at) => format!("{}:{}", at.host, at.port),
        None => format!("rabbitmq.url number {}", position + 1),
    }
}

/// Tries the addresses of the host until one of them lets us in, or the broker itself says no.
async fn connect(
    uri: &AMQPUri,
    options: &Options,
    name: &str,
    backlog: &Backlog,
) -> Result<(lapin::Connection, Farewell, Socket), Cause> {
    let tls = match uri.scheme {
        AMQPScheme::AMQP => None,
        AMQPScheme::AMQPS => Some(tls::connector(
            options.ca_pem.as_deref(),
            options.identity.as_ref(),
        )?),
    };
    let limit = options.timing.connect;
    let at = &uri.authority;
    let addresses = dial::resolve(&at.host, at.port, limit).await?;
    connect_to(addresses, uri, tls.as_ref(), limit, (name, backlog)).await
}

async fn connect_to(
    mut addresses: Vec<SocketAddr>,
    uri: &AMQPUri,
    tls: Option<&TlsConnector>,
    limit: Duration,
    (name, backlog): (&str, &Backlog),
) -> Result<(lapin::Connection, Farewell, Socket), Cause> {
    let mut failures = Vec::new();
    while !addresses.is_empty() {
        let (address, tcp) = match dial::race(&mut addresses, limit).await {
            Ok(connected) => connected,
            // Addresses that accepted a connection have told more.
            Err(cause) if failures.is_empty() => return Err(cause),
            Err(_) => break,
        };
        let socket = Socket::of(&tcp).map_err(|error| Cause::of_io(&error))?;
        let stream = match tls {
            None => Ok(Box::new(tcp) as Box<dyn stream::Transport>),
            Some(tls) => tls::handshake(tls, &uri.authority.host, tcp, limit).await,
        };
        let farewell = Farewell::default();
        let logged_in = match stream {
            Ok(stream) => {
                let parts = (backlog.clone(), farewell.clone());
                log_in(uri, stream, parts, name, limit).await
            }
            Err(cause) => Err(cause),
        };
        match logged_in {
            Ok(connection) => return Ok((connection, farewell, socket)),
            Err(cause) if cause.is_of_the_address() => failures.push((address, cause)),
            Err(cause) => return Err(cause),
        }
    }
    Err(Cause::of_addresses(failures))
}

async fn log_in(
    uri: &AMQPUri,
    stream: Box<dyn stream::Transport>,
    parts: (Backlog, Farewell),
    name: &str,
    limit: Duration,
) -> Result<lapin::Connection, Cause> {
    let heard = Heard::default();
    let stream = Box::new(heard.through(stream));
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let logging_in = stream::log_in(uri.clone(), stream, parts, properties);
    let Ok(logged_in) = timeout(limit, logging_in).await else {
        let step = "AMQP login";
        return Err(match heard.spoken() {
            Spoken::Nothing => Cause::Mute { limit },
            _ => unoffered_mechanism(uri, &heard).unwrap_or(Cause::Timeout { step, limit }),
        });
    };
    logged_in.map_err(|error| match error.kind() {
        ErrorKind::ProtocolError(reply) => {
            Cause::of_login_reply(reply.get_id(), reply.get_message().as_str())
        }
        ErrorKind::InvalidProtocolVersion(_) => Cause::OtherVersion,
        kind => {
            let io = match kind {
                ErrorKind::IOError(error) => Some(error.as_ref()),
                _ => None,
            };
            let is_tls = uri.scheme == AMQPScheme::AMQPS;
            unoffered_mechanism(uri, &heard)
                .unwrap_or_else(|| Cause::of_silent_end(io, heard.spoken(), is_tls))
        }
    })
}

/// A broker says nothing to a mechanism that it does not have, waits, and hangs up.
fn unoffered_mechanism(uri: &AMQPUri, heard: &Heard) -> Option<Cause> {
    let asked = uri.query.auth_mechanism.unwrap_or_default().name();
    let offered = heard.mechanisms()?;
    (!offered.iter().any(|name| name == asked)).then(|| Cause::Mechanism {
        asked: asked.to_owned(),
        offered: offered.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn an_address_that_accepts_and_stays_mute_does_not_keep_us_from_the_next_one() {
        let mute = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let web = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addresses = [&mute, &web].map(|listener| listener.local_addr().expect("an address"));
        let uri = "amqp://two-addresses".parse().expect("a URL");
        let limit = Duration::from_millis(500);
        let backlog = Backlog::default();
        let connecting = connect_to(addresses.into(), &uri, None, limit, ("test", &backlog));
        let answering = async {
            let (mut stream, _) = web.accept().await.expect("a connection");
            let answered = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            answered.expect("an answer");
            stream.shutdown().await.expect("an end");
            stream
        };
        let (connected, _stream) = tokio::join!(connecting, answering);
        assert_eq!(connected.err(), Some(Cause::Http));
    }
}
