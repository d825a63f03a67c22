//! One AMQP connection whose end is certain.
//!
//! lapin's I/O thread lives as long as its socket: a broker that accepts and stays mute, or that
//! stops answering while the connection closes, would keep the thread for ever. So the socket is
//! made here, a second handle on it is kept, and it is cut when this value goes.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::Stream;
use lapin::{
    Channel, ConnectionProperties,
    tcp::{AsyncTcpStream, RustlsConnector},
    uri::{AMQPScheme, AMQPUri},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::{
    Loss, Options, Timing,
    backlog::Backlog,
    loss::{CallError, within},
    mended::{self, Mended},
    tls,
};

pub(super) type LinkEvents = Pin<Box<dyn Stream<Item = lapin::Event> + Send>>;

/// RabbitMQ's own default, in bytes. lapin makes buffers for 32 such frames in each direction: told beforehand,
/// it takes them untouched from the system; told by the broker, it writes to all 16 MB of two connections.
const FRAME_MAX: u32 = 131_072;

pub(super) struct Link {
    connection: Arc<lapin::Connection>,
    timing: Timing,
    /// Of what comes in on it.
    pub(super) backlog: Backlog,
    // Last, so that it is cut after lapin had its chance to say goodbye.
    _socket: Socket,
}

impl Link {
    /// Connects to the URL at `position` and logs in.
    pub(super) async fn open(
        options: &Options,
        position: usize,
        name: &str,
    ) -> Result<(Self, LinkEvents), Loss> {
        let uri = options
            .urls
            .get(position)
            .and_then(|url| parse(url, options.timing.heartbeat))
            .ok_or(Loss::BadUrl {
                position: position + 1,
            })?;
        let tls = match uri.scheme {
            AMQPScheme::AMQP => None,
            AMQPScheme::AMQPS => Some(tls::connector(
                options.ca_pem.as_deref(),
                options.identity.as_ref(),
            )?),
        };
        let timing = options.timing;
        let broker = format!("{}:{}", uri.authority.host, uri.authority.port);
        let socket = Socket::default();
        let backlog = Backlog::default();
        let connecting = connect(uri, tls, name, socket.clone(), backlog.clone(), timing);
        // Twice the limit: TCP with TLS, and the AMQP login, have it each.
        let connection = within(timing.connect * 2, "the login", connecting)
            .await
            .map_err(|error| error.while_connecting(&broker))?;
        let events = Box::pin(connection.events_listener());
        let link = Self {
            connection: Arc::new(connection),
            timing,
            backlog,
            _socket: socket,
        };
        Ok((link, events))
    }

    /// Connects to the first URL that answers; the error is the last one's.
    pub(super) async fn open_any(
        options: &Options,
        name: &str,
    ) -> Result<(Self, LinkEvents), Loss> {
        let mut position = 0;
        loop {
            match Self::open(options, position, name).await {
                Err(_) if position + 1 < options.urls.len() => position += 1,
                result => return result,
            }
        }
    }

    pub(super) fn connected(&self) -> bool {
        self.connection.status().connected()
    }

    pub(super) async fn channel(&self) -> Result<Channel, CallError> {
        within(
            self.timing.call,
            "channel.open",
            self.connection.create_channel(),
        )
        .await
    }

    /// The largest frame that both ends take, in bytes; 0 is any.
    pub(super) fn frame_max(&self) -> u32 {
        self.connection.configuration().frame_max()
    }

    /// For work that outlives a borrow of the link.
    pub(super) fn connection(&self) -> Arc<lapin::Connection> {
        Arc::clone(&self.connection)
    }

    /// Closes in order, as far as the broker answers in time; the socket is gone either way.
    pub(super) async fn close(self) -> Result<(), Loss> {
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

async fn connect(
    uri: AMQPUri,
    tls: Option<RustlsConnector>,
    name: &str,
    socket: Socket,
    backlog: Backlog,
    timing: Timing,
) -> lapin::Result<lapin::Connection> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let tokio = lapin::runtime::default_runtime()?;
    lapin::Connection::connector(
        uri,
        mended::runtime(),
        async move |uri, _| {
            let host = uri.authority.host.as_str();
            let frame_max = uri.query.frame_max.unwrap_or(0);
            let opening = async {
                let addresses = tokio::net::lookup_host((host, uri.authority.port)).await?;
                let addresses: Vec<_> = addresses.collect();
                let stream = AsyncTcpStream::connect(&tokio, addresses).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    socket.keep(plain.get_ref())?;
                }
                match &tls {
                    None => Ok(stream),
                    Some(tls) => stream.into_rustls(tls, host).await,
                }
            };
            timeout(timing.connect, opening)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                .map(|stream| {
                    AsyncTcpStream::Plain(Mended::new(stream, frame_max, backlog.clone()))
                })
                .map_err(lapin::Error::from)
        },
        properties,
    )
    .await
}

/// The URL with our heartbeat and frame size, unless it sets its own.
fn parse(url: &SecretString, heartbeat: u16) -> Option<AMQPUri> {
    let url = url::Url::parse(url.expose_secret()).ok()?;
    let mut uri: AMQPUri = url.as_str().parse().ok()?;
    // lapin takes an IPv6 address for no host at all, and would go to localhost.
    if let Some(url::Host::Ipv6(address)) = url.host() {
        uri.authority.host = address.to_string();
    }
    uri.query.heartbeat.get_or_insert(heartbeat);
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    Some(uri)
}

/// The heartbeat of connections to this URL, in seconds; none where it is not usable.
pub(super) fn heartbeat(url: &SecretString, default: u16) -> Option<u16> {
    parse(url, default)?.query.heartbeat
}

/// A second handle on a socket, to cut it by.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<SocketState>>);

#[derive(Default)]
enum SocketState {
    #[default]
    Awaited,
    Open(TcpStream),
    Cut,
}

impl Socket {
    /// Err when it was cut before it was there.
    fn keep(&self, socket: &impl AsFd) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, SocketState::Cut) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *state = SocketState::Open(socket.as_fd().try_clone_to_owned()?.into());
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The connector closure holds the other clone for as long as lapin's thread lives.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let SocketState::Open(socket) = std::mem::replace(&mut *state, SocketState::Cut) {
            // It fails only where the peer has closed it already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> AMQPUri {
        parse(&SecretString::from(url), 10).expect("a usable URL")
    }

    #[test]
    fn an_ipv6_address_is_not_taken_for_localhost() {
        let uri = parsed("amqp://u:p@[2001:db8::7]:5673/%2f");
        assert_eq!(uri.authority.host, "2001:db8::7");
        assert_eq!(uri.authority.port, 5673);
    }

    #[test]
    fn the_url_may_set_its_own_heartbeat_and_frame_size() {
        assert_eq!(parsed("amqp://h/%2f").query.heartbeat, Some(10));
        assert_eq!(parsed("amqp://h/%2f?heartbeat=3").query.heartbeat, Some(3));
        assert_eq!(parsed("amqp://h/%2f").query.frame_max, Some(FRAME_MAX));
        assert_eq!(
            parsed("amqp://h/%2f?frame_max=8192").query.frame_max,
            Some(8192)
        );
    }
}
