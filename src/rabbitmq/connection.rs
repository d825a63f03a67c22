//! One AMQP connection: opened from a URL, or failed with a cause, and reliably closed.
//!
//! lapin's I/O thread lives as long as its socket: a broker that accepts and stays silent, or stops answering while
//! the connection closes, would keep the thread forever. So the socket is opened here, a second handle on it is
//! kept, and it is shut down when this value is dropped.

mod backlog;
mod cause;
mod dial;
pub(crate) mod frames;
pub(crate) mod loss;
pub(crate) mod sanitize;
mod stream;
mod tls;
mod url;

use std::{net::SocketAddr, sync::Arc};

use futures_util::{StreamExt, stream::BoxStream};
use lapin::{
    Channel, ConnectionProperties, ErrorKind,
    uri::{AMQPScheme, AMQPUri, SASLMechanism},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use self::{
    backlog::Backlog,
    frames::Farewell,
    loss::{CallError, within},
    stream::{Heard, Socket, Spoken},
};
use super::{Options, Timing};

pub use cause::Cause;
pub(crate) use cause::{ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, RESOURCE_LOCKED};
pub use loss::{Loss, Part};
pub(crate) use url::{CHANNELS, heartbeat};
pub use url::{UrlProblem, check_url};

pub(crate) struct Link {
    connection: Arc<lapin::Connection>,
    pub(crate) timing: Timing,
    /// Of what comes in on it.
    pub(crate) backlog: Backlog,
    /// How the broker closes it.
    pub(crate) farewell: Farewell,
    /// Broker and user, for people.
    pub(crate) login: String,
    /// The broker's, major and minor, if it names it.
    pub(crate) version: Option<(u32, u32)>,
    // Last, so that it is cut after lapin had its chance to say goodbye.
    _socket: Socket,
}

impl Link {
    /// Connects to the URL at `position` and logs in.
    pub(crate) async fn open(options: &Options, position: usize, name: &str) -> Result<Self, Loss> {
        let connected = match uri(options, position) {
            Ok(uri) => connect(&uri, options, name).await,
            Err(problem) => Err(Cause::Url(problem)),
        };
        connected.map_err(|cause| Loss::NotConnected {
            broker: broker(options, position),
            cause,
        })
    }

    /// Connects to the first URL that answers.
    pub(crate) async fn open_any(options: &Options, name: &str) -> Result<Self, Loss> {
        let open = |position| Self::open(options, position, name);
        first_of(options, 0, open).await.map(|(_, link)| link)
    }

    /// Events of the connection. Each one goes to only one listener.
    pub(crate) fn events(&self) -> BoxStream<'static, lapin::Event> {
        self.connection.events_listener().boxed()
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

    /// The largest frame that both ends accept, in bytes; 0 is no limit.
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

    /// Closes gracefully if the broker answers in time; the socket is closed in any case.
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

/// Opens the first usable URL, from `first` on, and returns its position.
pub(crate) async fn first_of<T, F: Future<Output = Result<T, Loss>>>(
    options: &Options,
    first: usize,
    open: impl Fn(usize) -> F,
) -> Result<(usize, T), Loss> {
    let mut losses = Vec::new();
    for position in (first..options.urls.len()).chain(0..first) {
        match open(position).await {
            Ok(opened) => return Ok((position, opened)),
            Err(loss) => losses.push((broker(options, position), loss)),
        }
    }
    Err(match losses.len() {
        1 => losses.remove(0).1,
        _ => Loss::Several(losses),
    })
}

fn uri(options: &Options, position: usize) -> Result<AMQPUri, UrlProblem> {
    let url = options.urls.get(position).ok_or(UrlProblem::NoHost)?;
    url::uri(url, options.timing.heartbeat)
}

/// The name of a URL's broker in texts: host and port, or the position of the URL.
fn broker(options: &Options, position: usize) -> String {
    match uri(options, position) {
        Ok(uri) => address(&uri),
        Err(_) => format!("rabbitmq.url number {}", position + 1),
    }
}

fn address(uri: &AMQPUri) -> String {
    let at = &uri.authority;
    match at.host.contains(':') {
        true => format!("[{}]:{}", at.host, at.port),
        false => format!("{}:{}", at.host, at.port),
    }
}

fn login(uri: &AMQPUri) -> String {
    let user = match uri.query.auth_mechanism {
        Some(SASLMechanism::External) => "by client certificate".to_owned(),
        _ => format!("as {}", uri.authority.userinfo.username),
    };
    let tls = match uri.scheme {
        AMQPScheme::AMQP => "",
        AMQPScheme::AMQPS => ", TLS",
    };
    let (address, vhost) = (address(uri), &uri.vhost);
    format!("logged in to {address} {user}, vhost {vhost}{tls}")
}

/// Tries the addresses of the host until a login succeeds, or the broker itself refuses.
async fn connect(uri: &AMQPUri, options: &Options, name: &str) -> Result<Link, Cause> {
    let tls = match uri.scheme {
        AMQPScheme::AMQP => None,
        AMQPScheme::AMQPS => Some(tls::connector(
            options.ca_pem.as_deref(),
            options.identity.as_ref(),
        )?),
    };
    let (at, timing) = (&uri.authority, options.timing);
    let addresses = dial::resolve(&at.host, at.port, timing.connect).await?;
    connect_to(addresses, uri, tls.as_ref(), timing, name).await
}

async fn connect_to(
    mut addresses: Vec<SocketAddr>,
    uri: &AMQPUri,
    tls: Option<&TlsConnector>,
    timing: Timing,
    name: &str,
) -> Result<Link, Cause> {
    let mut failures = Vec::new();
    while !addresses.is_empty() {
        let (address, tcp) = match dial::race(&mut addresses, timing.connect).await {
            Ok(connected) => connected,
            // Addresses that accepted a connection have told more.
            Err(cause) if failures.is_empty() => return Err(cause),
            Err(_) => break,
        };
        match log_in(uri, tls, tcp, timing, name).await {
            Ok(link) => return Ok(link),
            Err(cause) if cause.is_of_the_address() => failures.push((address, cause)),
            Err(cause) => return Err(cause),
        }
    }
    Err(Cause::of_addresses(failures))
}

async fn log_in(
    uri: &AMQPUri,
    tls: Option<&TlsConnector>,
    tcp: TcpStream,
    timing: Timing,
    name: &str,
) -> Result<Link, Cause> {
    let limit = timing.connect;
    let socket = Socket::of(&tcp).map_err(|error| Cause::of_io(&error))?;
    let stream: Box<dyn stream::Transport> = match tls {
        None => Box::new(tcp),
        Some(tls) => tls::handshake(tls, &uri.authority.host, tcp, limit).await?,
    };
    let heard = Heard::default();
    let stream = Box::new(heard.through(stream));
    let (backlog, farewell) = (Backlog::default(), Farewell::default());
    let parts = (backlog.clone(), farewell.clone());
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let logging_in = stream::log_in(uri.clone(), stream, parts, properties);
    let Ok(logged_in) = timeout(limit, logging_in).await else {
        let step = "AMQP login";
        return Err(match heard.spoken() {
            Spoken::Nothing => Cause::Mute { limit },
            _ => unoffered_mechanism(uri, &heard).unwrap_or(Cause::Timeout { step, limit }),
        });
    };
    let connection = logged_in.map_err(|error| no_login(uri, &heard, &error))?;
    Ok(Link {
        connection: Arc::new(connection),
        timing,
        backlog,
        farewell,
        login: login(uri),
        version: heard.version(),
        _socket: socket,
    })
}

fn no_login(uri: &AMQPUri, heard: &Heard, error: &lapin::Error) -> Cause {
    let io = match error.kind() {
        ErrorKind::ProtocolError(reply) => {
            return Cause::of_login_reply(reply.get_id(), reply.get_message().as_str());
        }
        ErrorKind::InvalidProtocolVersion(_) => return Cause::OtherVersion,
        ErrorKind::IOError(error) => Some(error.as_ref()),
        _ => None,
    };
    let is_tls = uri.scheme == AMQPScheme::AMQPS;
    unoffered_mechanism(uri, heard)
        .unwrap_or_else(|| Cause::of_silent_end(io, heard.spoken(), is_tls))
}

/// A broker that lacks the SASL mechanism does not answer: it waits, and closes the connection.
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
    use std::time::Duration;

    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn an_address_that_accepts_and_stays_mute_does_not_keep_us_from_the_next_one() {
        let mute = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let web = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addresses = [&mute, &web].map(|listener| listener.local_addr().expect("an address"));
        let uri = "amqp://two-addresses".parse().expect("a URL");
        let timing = Timing {
            connect: Duration::from_millis(500),
            ..Timing::default()
        };
        let connecting = connect_to(addresses.into(), &uri, None, timing, "test");
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
