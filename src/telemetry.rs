//! Logs on standard error: text on a terminal, JSON lines elsewhere. Writing them never blocks the worker.

mod json;
mod lines;

use std::io::IsTerminal;

use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};
use json::Json;
use lines::Lines;
pub use lines::dropped_lines;

/// The log. When it is dropped, the last lines are written, if that is possible within a moment.
#[must_use]
pub struct Logging {
    lines: Option<Lines>,
    is_json: bool,
}

impl Logging {
    /// Whether an error must be a log line, because the reader expects only JSON.
    pub fn takes_errors(&self) -> bool {
        self.is_json && self.lines.is_some() && tracing::enabled!(tracing::Level::ERROR)
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        if let Some(lines) = &self.lines {
            lines.flush();
        }
    }
}

/// Sends all logs to standard error from now on; text has colours if `colour` says so.
///
/// Standard output stays free for the output of commands. A panic is logged too.
pub fn start(log: &Log, colour: bool) -> Logging {
    let is_json = match log.format {
        LogFormat::Text => false,
        LogFormat::Json => true,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let logging = Logging {
        // Where there is nothing to write to, nothing is logged.
        lines: Lines::to_stderr().ok(),
        is_json,
    };
    let Some(lines) = logging.lines.clone() else {
        return logging;
    };
    let filter = EnvFilter::new(&log.level).and(filter_fn(is_ours));
    let lines = tracing_subscriber::fmt::layer().with_writer(lines);
    let lines = if is_json {
        lines.event_format(Json).boxed()
    } else {
        lines.with_ansi(colour).with_target(false).boxed()
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

/// Lines of libraries are dropped at any `log.level`: even warnings and errors contain frames, messages, URLs and
/// the broker's text, with user IDs and passwords.
fn is_ours(line: &Metadata<'_>) -> bool {
    line.target() == "tagsweep" || line.target().starts_with("tagsweep::")
}
