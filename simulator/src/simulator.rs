//! A simulator that runs in the caller's process, and the settings of its service.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio_rustls::TlsAcceptor;

use crate::faults::{Rule, RuleId};
use crate::journal::{Entry, Journal, Second, Stats};
use crate::options::Options;
use crate::server;
use crate::service::{Rejection, Service};
use crate::tls;
use crate::users::{Clears, UnknownAccounts};
use crate::usersig;
use crate::wire::CuttableListener;

/// The service and the news that something happened to it, shared by server and handle.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    service: Mutex<Service>,
    changed: Notify,
}

impl Shared {
    /// The lock is never held across an await point.
    pub(crate) fn service(&self) -> MutexGuard<'_, Service> {
        self.0
            .service
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn announce(&self) {
        self.0.changed.notify_waiters();
    }
}

/// [`Simulator::wait_for`] waited in vain.
#[derive(Debug, thiserror::Error)]
#[error("not so within {waited:?}: {stats:?}")]
pub struct NotSeen {
    pub waited: Duration,
    /// The latest state.
    pub stats: Box<Stats>,
}

/// A running simulator. It lives on a thread and runtime of its own, so it serves tests of any
/// runtime, and several at once. Dropping it closes all connections and frees the port.
pub struct Simulator {
    shared: Shared,
    scheme: &'static str,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Returns when the port is open, and the file of the authority written if there is one.
    ///
    /// # Errors
    /// When the address cannot be bound, the file cannot be written, or a name of the certificate is none.
    pub async fn start(options: Options) -> io::Result<Simulator> {
        let listen = options.listen;
        let tls = options.tls.as_ref().map(tls::acceptor).transpose();
        let tls = tls.map_err(io::Error::other)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Shared(Arc::new(Inner {
            service: Mutex::new(Service::new(options, Instant::now())),
            changed: Notify::new(),
        }));
        let (stop, stopped) = oneshot::channel();
        let (ready, bound) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("im-simulator".to_owned())
            .spawn({
                let shared = shared.clone();
                move || run(listen, tls, shared, ready, stopped)
            })?;
        let address = bound
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the simulator's thread has ended")))?;
        Ok(Simulator {
            shared,
            scheme,
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`, or `https` with TLS, without a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A UserSig that the current key signs, as if at `signed_at`.
    pub fn user_sig(&self, identifier: &str, signed_at: SystemTime, lifetime: Duration) -> String {
        let options = &self.shared.service().options;
        usersig::sign(
            &options.secret_key,
            options.sdk_app_id,
            identifier,
            server::unix_seconds(signed_at),
            lifetime.as_secs(),
        )
    }

    pub fn set_secret_key(&self, secret_key: impl Into<String>) {
        self.shared.service().options.secret_key = secret_key.into();
    }

    /// How far the API's clock is ahead of this machine's from now on.
    pub fn set_clock_ahead(&self, ahead: Duration) {
        self.shared.service().options.clock_ahead = ahead;
    }

    pub fn set_feature_enabled(&self, enabled: bool) {
        self.shared.service().options.feature_enabled = enabled;
    }

    pub fn set_calls_per_second(&self, quota: Option<u32>) {
        self.shared.service().options.calls_per_second = quota;
    }

    pub fn set_latency(&self, latency: Duration, jitter: Duration) {
        let mut service = self.shared.service();
        service.options.latency = latency;
        service.options.latency_jitter = jitter;
    }

    pub fn set_unknown_accounts(&self, unknown_accounts: UnknownAccounts) {
        self.shared.service().options.unknown_accounts = unknown_accounts;
    }

    /// Makes users known to the app, without tags unless they have some already.
    pub fn import_users<I: Into<String>>(&self, ids: impl IntoIterator<Item = I>) {
        let mut service = self.shared.service();
        for id in ids {
            service.users.import(id.into());
        }
    }

    /// Imports the user and replaces their tags.
    pub fn set_tags(&self, id: impl Into<String>, tags: &[&str]) {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        self.shared.service().users.set_tags(id.into(), tags);
    }

    /// `None` if the app does not know the user.
    pub fn tags(&self, id: &str) -> Option<Vec<String>> {
        self.shared.service().users.tags(id).map(<[String]>::to_vec)
    }

    /// How often this user was cleared, known to the app or not.
    pub fn clears(&self, id: &str) -> Clears {
        self.shared.service().users.clears(id)
    }

    /// How many imported users were cleared how often: `{1: 5000}` says that all 5,000 were cleared
    /// exactly once.
    pub fn clear_counts(&self) -> BTreeMap<u32, usize> {
        self.shared.service().users.clear_counts()
    }

    /// From now on a clearing call that contains this user fails as a whole with this code, and
    /// clears nobody.
    pub fn reject_user(&self, id: impl Into<String>, code: i32) {
        let rejections = &mut self.shared.service().rejections;
        rejections.insert(id.into(), Rejection::WholeCall(code));
    }

    /// From now on this user is not cleared, but named with this code in `ErrorList`; the others of
    /// the call are done.
    pub fn reject_user_in_error_list(&self, id: impl Into<String>, code: i32) {
        let rejections = &mut self.shared.service().rejections;
        rejections.insert(id.into(), Rejection::InErrorList(code));
    }

    pub fn accept_user(&self, id: &str) {
        self.shared.service().rejections.remove(id);
    }

    /// Adds a fault: a [`Rule`], or a bare [`Fault`](crate::Fault) for all clearing calls until
    /// it is removed. Where several match a call, the oldest strikes.
    pub fn add_fault(&self, rule: impl Into<Rule>) -> RuleId {
        self.shared
            .service()
            .faults
            .add(rule.into(), Instant::now())
    }

    /// False if it had ended before.
    pub fn remove_fault(&self, id: RuleId) -> bool {
        self.shared.service().faults.remove(id)
    }

    pub fn clear_faults(&self) {
        self.shared.service().faults.clear();
    }

    pub fn stats(&self) -> Stats {
        self.shared.service().stats.clone()
    }

    pub fn per_second(&self) -> Vec<Second> {
        self.shared.service().histogram.to_vec()
    }

    /// The time by which the journal is kept: since the simulator's start.
    pub fn now(&self) -> Duration {
        self.shared.service().started.elapsed()
    }

    /// The calls of the journal that arrived after `moment`, oldest first.
    pub fn journal_since(&self, moment: Duration) -> Vec<Entry> {
        let service = self.shared.service();
        let entries = &service.journal.entries;
        let first = entries.partition_point(|entry| entry.at <= moment);
        entries.range(first..).cloned().collect()
    }

    pub fn journal(&self) -> Journal {
        self.shared.service().journal.clone()
    }

    /// Waits until the condition holds, looking again after each call and each answer. The timeout
    /// is one of real time: under a paused tokio clock it ends at once.
    ///
    /// # Errors
    /// [`NotSeen`] with the latest state when it does not hold within `timeout`.
    pub async fn wait_for(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(&Stats) -> bool,
    ) -> Result<Stats, NotSeen> {
        let seen = async {
            loop {
                // Created before the look: a change between look and wait is not missed.
                let changed = self.shared.0.changed.notified();
                let stats = self.stats();
                if condition(&stats) {
                    return stats;
                }
                changed.await;
            }
        };
        tokio::time::timeout(timeout, seen)
            .await
            .map_err(|_| NotSeen {
                waited: timeout,
                stats: Box::new(self.stats()),
            })
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only ends with a panic if the server had one, which the tests have then seen.
            let _ = thread.join();
        }
    }
}

/// The simulator's thread. Returning drops the runtime, and with it every connection.
fn run(
    listen: SocketAddr,
    tls: Option<TlsAcceptor>,
    shared: Shared,
    ready: oneshot::Sender<io::Result<SocketAddr>>,
    stopped: oneshot::Receiver<()>,
) {
    let opened = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| {
            let listener = runtime.block_on(TcpListener::bind(listen))?;
            let address = listener.local_addr()?;
            Ok((runtime, listener, address))
        });
    let (runtime, listener) = match opened {
        Ok((runtime, listener, address)) => {
            // Nobody waits any more if the start was cancelled; then `stopped` is closed as well.
            let _ = ready.send(Ok(address));
            (runtime, listener)
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            _ = server::serve(CuttableListener::new(listener, tls), shared) => {}
            _ = stopped => {}
        }
    });
}
