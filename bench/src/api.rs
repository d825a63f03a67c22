//! The API that contestants call: as fast as one thread can be, and it counts calls.
//!
//! It checks no UserSig and has no quota; otherwise it expects requests of the real API's form.

mod connection;
mod record;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::runtime;
use tokio::sync::oneshot;

pub use self::record::Record;

/// How long the API takes for an answer: `least`, and evenly up to `jitter` more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    pub least: Duration,
    pub jitter: Duration,
}

impl Latency {
    pub fn millis(least: u64, jitter: u64) -> Latency {
        Latency {
            least: Duration::from_millis(least),
            jitter: Duration::from_millis(jitter),
        }
    }
}

/// A listening API, on a thread of its own that ends with it.
pub struct Api {
    address: SocketAddr,
    shared: Arc<Shared>,
    // Dropping the sender ends the thread.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    round: Mutex<Round>,
}

/// What belongs to one run of a contestant.
struct Round {
    began: Instant,
    latency: Latency,
    record: Record,
}

impl Api {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is no port or no thread to be had.
    pub fn start() -> anyhow::Result<Api> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new());
        let (end, ended) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let accepting = accept(listener, Arc::clone(&shared));
        let thread = thread::Builder::new().name("api".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    Err(error) = accepting => eprintln!("the API takes no more connections: {error}"),
                    // The sender is dropped with the API.
                    _ = ended => {}
                }
            });
        });
        Ok(Api {
            address,
            shared,
            end: Some(end),
            thread: Some(thread.context("no thread for the API")?),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Forgets what was, and answers after this latency from now on. Gives the moment that the times
    /// of the record count from.
    pub fn begin(&self, users: u32, latency: Latency) -> Instant {
        let mut round = self.shared.round();
        *round = Round::new(users, latency);
        round.began
    }

    /// A look at what was seen so far.
    pub fn record<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.shared.round().record)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.end.take());
        // It has nothing to say but that it panicked, and has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A client that is killed resets its connections; the record shows what came of it.
            let _ = connection::serve(stream, &shared).await;
        });
    }
}

impl Round {
    fn new(users: u32, latency: Latency) -> Round {
        Round {
            began: Instant::now(),
            latency,
            record: Record::new(users),
        }
    }
}

impl Shared {
    fn new() -> Shared {
        Shared {
            round: Mutex::new(Round::new(0, Latency::default())),
        }
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self, users: &[u32]) {
        let mut round = self.round();
        let at = round.began.elapsed();
        round.record.arrived(at, users);
    }

    fn cleared(&self, users: &[u32]) {
        let mut round = self.round();
        let at = round.began.elapsed();
        round.record.cleared(at, users);
    }

    fn refused(&self) {
        self.round().record.refused();
    }

    async fn wait(&self) {
        let Latency { least, jitter } = self.round().latency;
        let wait = least + jitter.mul_f64(fastrand::f64());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::runs::ceiling::request;

    async fn read_answers(stream: &mut TcpStream, count: usize) -> String {
        let mut text = String::new();
        while text.matches("ErrorList\":[]}").count() < count {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).await.unwrap();
            assert!(read > 0, "closed after {text}");
            text += std::str::from_utf8(&bytes[..read]).unwrap();
        }
        text
    }

    #[tokio::test]
    async fn users_are_counted_once_and_calls_each() {
        let api = Api::start().unwrap();
        api.begin(200, Latency::default());
        let mut stream = TcpStream::connect(api.address()).await.unwrap();
        // Two calls at once, with half of the users in both.
        let calls = [request(0..100), request(50..150)].concat();
        stream.write_all(&calls).await.unwrap();
        read_answers(&mut stream, 2).await;
        api.record(|record| {
            assert_eq!((record.calls(), record.ids()), (2, 200));
            assert_eq!(record.distinct(), 150);
            assert_eq!(record.cleared_at(150), None);
        });
    }

    #[tokio::test]
    async fn a_call_is_answered_and_its_users_cleared_after_the_latency() {
        let api = Api::start().unwrap();
        let latency = Latency::millis(60, 0);
        api.begin(1, latency);
        let mut stream = TcpStream::connect(api.address()).await.unwrap();
        let call = request(0..1);
        // In two packets, for a client may write its head first.
        let (head, rest) = call.split_at(30);
        stream.write_all(head).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(rest).await.unwrap();
        let answer = read_answers(&mut stream, 1).await;
        assert!(answer.contains("\"ErrorCode\":0"), "{answer}");
        api.record(|record| {
            let received = record.received_at(0).unwrap();
            let first = record.first_call().unwrap();
            assert_eq!(received.as_micros(), first.as_micros());
            let taken = record.cleared_at(0).unwrap() - received;
            assert!(taken >= latency.least, "{taken:?}");
        });
    }

    #[tokio::test]
    async fn what_is_no_call_of_the_interface_is_refused() {
        let api = Api::start().unwrap();
        api.begin(1, Latency::default());
        let mut stream = TcpStream::connect(api.address()).await.unwrap();
        let call = String::from_utf8(request(0..1)).unwrap();
        let other = call.replace("To_Account", "to_account");
        stream.write_all(other.as_bytes()).await.unwrap();
        let answer = read_answers(&mut stream, 1).await;
        assert!(answer.contains("90001"), "{answer}");
        assert_eq!(
            api.record(|record| (record.refusals(), record.distinct())),
            (1, 0)
        );
    }
}
