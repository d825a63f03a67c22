//! Logs: text on a terminal, JSON lines elsewhere, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Sends all logs to standard error from now on.
///
/// Standard output stays free for what a command prints.
pub fn start(log: &Log) {
    let terminal = std::io::stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Libraries get to speak only of what went wrong: their debug output may hold what ours must not.
    let filter = EnvFilter::new(format!("warn,tagsweep={}", log.level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(colour).with_target(false).init(),
        LogFormat::Auto if terminal => lines.with_ansi(colour).with_target(false).init(),
        LogFormat::Auto | LogFormat::Json => {
            lines
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .init();
        }
    }
}
