//! How the worker is asked to stop: once to finish what it has, twice to stop where it is. And how it is
//! told to read its secrets again.
//!
//! The only module that knows signals. A test, or another shell, uses the tokens instead.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The two steps of an end, and what is no end. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Take nothing new, finish what is in hand.
    pub drain: CancellationToken,
    /// Stop where you are; the broker delivers the rest again.
    pub stop: CancellationToken,
    /// No end at all: read the secrets again.
    pub reread: Arc<Notify>,
}

impl Shutdown {
    /// Follows SIGTERM and SIGINT: the first drains; the second, or the end of `grace_period`, stops.
    /// SIGHUP has the secrets read again; on a terminal it means that the terminal was closed, and drains too.
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

/// The names of the signals that ask this process to end.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// From now on SIGTERM and SIGINT do not end the process by themselves.
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
