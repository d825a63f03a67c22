//! Logs: text on a terminal, JSON lines elsewhere, on standard error.

use std::io::IsTerminal;

use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Sends all logs to standard error from now on; text has colours if `colour` says so.
///
/// Standard output stays free for what a command prints.
pub fn start(log: &Log, colour: bool) {
    let filter = EnvFilter::new(&log.level).and(filter_fn(is_ours));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
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
}

/// Whatever `log.level` says, libraries are not heard: in their lines, even in warnings and errors, are
/// frames, messages, URLs and the broker's own words, with user IDs and passwords in them.
fn is_ours(line: &Metadata<'_>) -> bool {
    line.target() == "tagsweep" || line.target().starts_with("tagsweep::")
}
