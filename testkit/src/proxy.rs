//! A TCP proxy that breaks connections on request.
//!
//! It runs on its own thread, so it outlives the runtime of the test that started it, is not
//! affected when that runtime's clock is paused, and ends when it is dropped. It knows nothing of
//! the protocol that passes through.

mod connection;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use self::connection::{Faults, Outcome, relay, reset};
use crate::port::ReservedPort;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// A proxy on 127.0.0.1 in front of one address. Faults are in force when the
/// method that asks for them returns.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    settings: watch::Sender<Settings>,
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// What holds for all connections, present and future.
#[derive(Debug, Clone)]
struct Settings {
    target: SocketAddr,
    flowing: bool,
    delay_to_server: Duration,
    delay_to_client: Duration,
}

/// What the proxy's thread is asked to do; it answers when it is done.
#[derive(Debug)]
enum Order {
    Cut(oneshot::Sender<usize>),
    HalfOpen(oneshot::Sender<usize>),
    Refuse(oneshot::Sender<io::Result<()>>),
    Accept(oneshot::Sender<io::Result<()>>),
    Count(oneshot::Sender<Counts>),
}

/// How many connections there are and were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Open on the client's side, half-open ones included.
    pub open: usize,
    /// Accepted since the proxy was started.
    pub accepted: usize,
}

impl FaultProxy {
    /// Starts a proxy that passes everything on to `target`.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let port = ReservedPort::choose()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let (settings, seen) = watch::channel(Settings {
            target,
            flowing: true,
            delay_to_server: Duration::ZERO,
            delay_to_client: Duration::ZERO,
        });
        let (orders, received) = mpsc::unbounded_channel();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::Builder::new()
            .name("fault-proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let listener =
                        TcpListener::from_std(listener).expect("a fresh socket can be registered");
                    let mut proxy = Proxy {
                        port,
                        listener: Some(listener),
                        settings: seen,
                        faults: Faults::default(),
                        relays: JoinSet::new(),
                        mute: Vec::new(),
                        accepted: 0,
                    };
                    proxy.run(received).await;
                });
            })?;
        Ok(Self {
            address,
            settings,
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Where to connect to instead of the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends connections made from now on to another address.
    pub fn retarget(&self, target: SocketAddr) {
        self.settings
            .send_modify(|settings| settings.target = target);
    }

    /// Lets no bytes pass in either direction; connections stay open and new
    /// ones are accepted.
    pub fn stall(&self) {
        self.settings
            .send_modify(|settings| settings.flowing = false);
    }

    /// Undoes [`FaultProxy::stall`]: what was held back arrives now.
    pub fn flow(&self) {
        self.settings
            .send_modify(|settings| settings.flowing = true);
    }

    /// Holds each byte that arrives from now on back for so long; the rate at
    /// which bytes pass stays the same. Zero ends it.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.settings.send_modify(|settings| match direction {
            Direction::ToServer => settings.delay_to_server = delay,
            Direction::ToClient => settings.delay_to_client = delay,
        });
    }

    /// Resets all current connections on both sides and says how many they were.
    pub async fn cut(&self) -> usize {
        self.order(Order::Cut).await
    }

    /// Closes the server's side of all current connections; the client's side
    /// stays open and mute until it is cut. Says how many they were.
    pub async fn half_open(&self) -> usize {
        self.order(Order::HalfOpen).await
    }

    /// Stops listening: to connect is refused. Current connections go on.
    pub async fn refuse(&self) -> io::Result<()> {
        self.order(Order::Refuse).await
    }

    /// Undoes [`FaultProxy::refuse`], on the same port.
    pub async fn accept(&self) -> io::Result<()> {
        self.order(Order::Accept).await
    }

    pub async fn counts(&self) -> Counts {
        self.order(Order::Count).await
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> T {
        let (done, waiting) = oneshot::channel();
        self.orders
            .as_ref()
            .and_then(|orders| orders.send(order(done)).ok())
            .expect("the proxy's thread runs until the proxy is dropped");
        waiting
            .await
            .expect("the proxy's thread answers each order")
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed already.
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Proxy {
    port: ReservedPort,
    listener: Option<TcpListener>,
    settings: watch::Receiver<Settings>,
    faults: Faults,
    relays: JoinSet<Outcome>,
    mute: Vec<TcpStream>,
    accepted: usize,
}

impl Proxy {
    async fn run(&mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                client = accept(self.listener.as_ref()) => {
                    self.accepted += 1;
                    self.relays.spawn(relay(client, self.settings.clone(), self.faults.clone()));
                }
                Some(_) = self.relays.join_next() => {}
            }
        }
    }

    /// Nobody who gave an order and went away needs its answer.
    async fn obey(&mut self, order: Order) {
        match order {
            Order::Cut(done) => {
                self.faults.cut.cancel();
                let mut cut = self.end_relays().await;
                for client in self.mute.drain(..) {
                    cut += 1;
                    reset(client);
                }
                self.faults = Faults::default();
                let _ = done.send(cut);
            }
            Order::HalfOpen(done) => {
                self.faults.half_open.cancel();
                let halved = self.end_relays().await;
                self.faults = Faults::default();
                let _ = done.send(halved);
            }
            Order::Refuse(done) => {
                self.listener = None;
                let _ = done.send(Ok(()));
            }
            Order::Accept(done) => {
                let _ = done.send(self.listen().await);
            }
            Order::Count(done) => {
                while self.relays.try_join_next().is_some() {}
                let _ = done.send(Counts {
                    open: self.relays.len() + self.mute.len(),
                    accepted: self.accepted,
                });
            }
        }
    }

    /// Waits for the relays, which were told to end, and keeps the clients that
    /// are to stay open.
    async fn end_relays(&mut self) -> usize {
        let mut ended = 0;
        while let Some(relay) = self.relays.join_next().await {
            match relay {
                Ok(Outcome::Ended) => {}
                Ok(Outcome::Cut) => ended += 1,
                Ok(Outcome::HalfOpen(client)) => {
                    ended += 1;
                    self.mute.push(client);
                }
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        ended
    }

    async fn listen(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            self.listener = Some(TcpListener::bind(("127.0.0.1", self.port.number())).await?);
        }
        Ok(())
    }
}

/// The next client; never, while nobody listens.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        // An error here is that of a client which has gone again.
        if let Ok((client, _)) = listener.accept().await {
            return client;
        }
    }
}
