//! Signals: the first SIGTERM or SIGINT drains the worker, a second one stops it at once; SIGHUP reloads secrets.
//!
//! The only module that knows signals. A test, or another shell, uses the tokens instead.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The requests that signals make. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Take no new events, finish those that are held.
    pub drain: CancellationToken,
    /// Stop at once; the broker redelivers the rest.
    pub stop: CancellationToken,
    /// Reload the secrets.
    pub reread: Arc<Notify>,
}

impl Shutdown {
    /// Follows SIGTERM and SIGINT: the first drains; the second, or the end of `grace_period`, stops. SIGHUP
    /// reloads the secrets; on a terminal it means that the terminal was closed, and drains too.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn on_signals(grace_period: Duration) -> io::Result<Shutdown> {
        let shutdown = Shutdown::default();
        let steps = shutdown.clone();
        let mut signals = Signals::listen()?;
        let mut hangup = signal(SignalKind::hangup())?;
        if io::stdin().is_terminal() || io::stderr().is_terminal() {
            signals.hangup = Some(hangup);
        } else {
            let reread = Arc::clone(&shutdown.reread);
            tokio::spawn(async move {
                while hangup.recv().await.is_some() {
                    reread.notify_one();
                }
            });
        }
        tokio::spawn(async move {
            let signal = signals.next().await;
            tracing::info!(signal, grace_period = ?grace_period, "shutdown requested, draining");
            steps.drain.cancel();
            tokio::select! {
                signal = signals.next() => tracing::warn!(signal, "second signal, stopping now"),
                () = tokio::time::sleep(grace_period) => {
                    tracing::warn!(grace_period = ?grace_period, "grace period expired, stopping now");
                }
            }
            steps.stop.cancel();
        });
        Ok(shutdown)
    }
}

/// The signals that ask this process to end.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Installs the handlers: SIGTERM and SIGINT no longer end the process by themselves.
    ///
    /// # Errors
    /// When they cannot be listened to.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: None,
        })
    }

    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = hung_up(&mut self.hangup) => "SIGHUP",
        }
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => drop(hangup.recv().await),
        None => std::future::pending().await,
    }
}
