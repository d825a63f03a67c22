//! How the worker is asked to stop: once to finish what it has, twice to stop where it is.
//!
//! The only module that knows signals. A test, or another shell, cancels the tokens instead.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two steps of an end. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Take nothing new, finish what is in hand.
    pub drain: CancellationToken,
    /// Stop where you are; the broker delivers the rest again.
    pub stop: CancellationToken,
}

impl Shutdown {
    /// Follows SIGTERM and SIGINT: the first drains; the second, or the end of `grace_period`, stops.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn on_signals(grace_period: Duration) -> io::Result<Shutdown> {
        let shutdown = Shutdown::default();
        let steps = shutdown.clone();
        let mut signals = Signals::listen()?;
        tokio::spawn(async move {
            let signal = signals.next().await;
            tracing::info!(signal, grace_period = ?grace_period, "asked to stop, draining");
            steps.drain.cancel();
            tokio::select! {
                signal = signals.next() => tracing::warn!(signal, "asked again, stopping now"),
                () = tokio::time::sleep(grace_period) => {
                    tracing::warn!(grace_period = ?grace_period, "the grace period is over, stopping now");
                }
            }
            steps.stop.cancel();
        });
        Ok(shutdown)
    }
}

/// The names of the SIGTERMs and SIGINTs that this process gets.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on these signals do not end the process by themselves.
    ///
    /// # Errors
    /// When they cannot be listened to.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
