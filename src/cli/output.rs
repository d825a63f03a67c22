//! What is printed: results on standard output, complaints on standard error, colours for terminals.

use std::fmt::{self, Display};
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::ColorChoice;
use console::Term;
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

use super::Failure;

/// Longer than any reader takes that reads.
const STUCK: Duration = Duration::from_secs(1);
/// How often a bar is drawn.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// Output is one for the whole process, and so is what it may look like.
static COLOR: OnceLock<ColorChoice> = OnceLock::new();

/// Prints a result and a line end. A reader that has gone away, as `head` does, is no error.
///
/// # Errors
/// When standard output takes no more, such as on a full disk.
pub(super) fn print(text: impl Display) -> Result<(), Failure> {
    // One write: what is printed line by line reaches a reader in parts.
    let text = format!("{text}\n");
    match stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")?
        }
        _ => Ok(()),
    }
}

/// Says on standard error why the program ends. There is nobody to tell if that cannot be written, and a reader
/// that is stuck does not hold up the end.
pub(super) fn complain(text: &str) {
    let line = format!("tagsweep: {text}\n");
    let (done, written) = mpsc::channel();
    thread::spawn(move || {
        let _ = stderr().write_all(line.as_bytes());
        let _ = done.send(());
    });
    let _ = written.recv_timeout(STUCK);
}

/// Keeps what `--color` says.
pub(super) fn set_color(choice: ColorChoice) {
    let _ = COLOR.set(choice);
}

/// The text for a terminal of any width: lines that follow the first begin at `column`, as that does. What is read by
/// a program stays on one line.
pub(super) fn hanging(text: &str, column: usize) -> String {
    let terminal = Term::stdout();
    let width = usize::from(terminal.size().1);
    // On a narrow terminal, or none, hanging lines would be no help.
    if !terminal.is_term() || width < 2 * column {
        return text.to_owned();
    }
    let indent = " ".repeat(column);
    let options = textwrap::Options::new(width)
        .initial_indent(&indent)
        .subsequent_indent(&indent)
        .break_words(false);
    textwrap::fill(text, options).trim_start().to_owned()
}

/// "1 warning", "2,000 warnings".
pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", HumanCount(count as u64))
}

/// A bar that says how many of so many things are `what`, how quickly they become so, and how long it takes.
pub(super) fn bar(of: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(of);
    let template = format!("{{bar:40}} {{human_pos}}/{{human_len}} {what}, {{rate}}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
            let _ = write!(text, "{}/s", HumanCount(state.per_sec() as u64));
        };
        bar.set_style(style.with_key("rate", rate));
    }
    bar.enable_steady_tick(TICK);
    bar
}

/// Whether colours may be written to this stream.
pub(super) fn takes_colour(stream: &impl IsTerminal) -> bool {
    match COLOR.get() {
        Some(ColorChoice::Always) => return true,
        Some(ColorChoice::Never) => return false,
        Some(ColorChoice::Auto) | None => {}
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    stream.is_terminal()
        && set("NO_COLOR").is_none()
        && set("TERM").is_none_or(|terminal| terminal != "dumb")
}
