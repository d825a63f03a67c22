//! Logs: text on a terminal, JSON lines elsewhere, on standard error. Writing them never holds up the worker.

mod lines;

use std::io::IsTerminal;

use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};
use lines::Lines;
pub use lines::dropped_lines;

/// The log. When it is dropped, the last lines are written, if that takes no longer than a moment.
#[must_use]
pub struct Logging(Option<Lines>);

impl Drop for Logging {
    fn drop(&mut self) {
        if let Some(lines) = &self.0 {
            lines.flush();
        }
    }
}

/// Sends all logs to standard error from now on; text has colours if `colour` says so.
///
/// Standard output stays free for what a command prints. A panic is a line of the log, too.
pub fn start(log: &Log, colour: bool) -> Logging {
    // Where there is nothing to write to, nothing is logged.
    let Ok(lines) = Lines::to_stderr() else {
        return Logging(None);
    };
    let logging = Logging(Some(lines.clone()));
    let filter = EnvFilter::new(&log.level).and(filter_fn(is_ours));
    let lines = tracing_subscriber::fmt::layer().with_writer(lines);
    let text = match log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let lines = if text {
        lines.with_ansi(colour).with_target(false).boxed()
    } else {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed()
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, reason = panic.payload_as_str(), "panicked");
    }));
    logging
}

/// Whatever `log.level` says, libraries are not heard: in their lines, even in warnings and errors, are
/// frames, messages, URLs and the broker's own words, with user IDs and passwords in them.
fn is_ours(line: &Metadata<'_>) -> bool {
    line.target() == "tagsweep" || line.target().starts_with("tagsweep::")
}
