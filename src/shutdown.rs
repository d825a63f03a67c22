//! How the worker is asked to stop: once to finish what it has, twice to stop where it is.
//!
//! The only module that knows signals. A test, or another shell, cancels the tokens instead.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
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
    pub fn on_signals(grace_period: Duration) -> std::io::Result<Shutdown> {
        let shutdown = Shutdown::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let steps = shutdown.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let signal = next().await;
            tracing::info!(signal, grace_period = ?grace_period, "asked to stop, draining");
            steps.drain.cancel();
            tokio::select! {
                signal = next() => tracing::warn!(signal, "asked again, stopping now"),
                () = tokio::time::sleep(grace_period) => {
                    tracing::warn!(grace_period = ?grace_period, "the grace period is over, stopping now");
                }
            }
            steps.stop.cancel();
        });
        Ok(shutdown)
    }
}
