//! `tagsweep dead-letters`: the dead-letter queue, shown, exported, redriven and purged.

mod export;
mod list;
mod purge;
mod redrive;
mod show;
mod words;

use std::io::{IsTerminal, Write, stderr, stdin};

use anyhow::{Context, anyhow, bail, ensure};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{FAILED, Failure, Globals, With, output};
use crate::config::RabbitMq;
use crate::dead_letters::{Filter, Keep, Letters, Session};
use crate::shutdown::Signals;
use crate::worker;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tagsweep dead-letters list\n  \
                  tagsweep dead-letters list --each --since 2h\n  \
                  tagsweep dead-letters show 5d41402abc4b2a76-17\n  \
                  tagsweep dead-letters redrive --reason retries-exhausted --dry-run\n  \
                  tagsweep dead-letters purge --reason invalid-user-id --export invalid.ndjson\n\n\
                  These commands need only [rabbitmq]. They hold the letters while they work and give them back in\n\
                  order, so reading changes nothing. One command works on the queue at a time.\n\
                  Letters hold user IDs, and these commands print them.\n\n\
                  Exit codes: 0 done, 1 failed or not everything done, 78 invalid configuration.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the letters by reason, with what each reason means and what to do
    List(With<list::Arguments>),
    /// Show one letter with its headers and its body
    Show(With<show::Arguments>),
    /// Write whole letters as NDJSON, one per line
    Export(With<export::Arguments>),
    /// Put events back into the queue of the worker, for the users that failed
    Redrive(With<redrive::Arguments>),
    /// Remove letters, after exporting them
    Purge(With<purge::Arguments>),
}

/// Which letters are meant. Repeated, an option takes any of its values; different options narrow.
#[derive(clap::Args)]
#[command(next_help_heading = "Filters (repeatable: any of the values; different filters narrow)")]
struct Which {
    /// Letters with this reason, such as rejected-by-api or broker:expired.
    #[arg(long, value_name = "REASON")]
    reason: Vec<String>,
    /// Letters with this error code of the API.
    #[arg(long, value_name = "CODE", allow_negative_numbers = true)]
    code: Vec<i64>,
    /// Letters that name this user as failed.
    #[arg(long, value_name = "USER")]
    user: Vec<String>,
    /// Dead-lettered at this time or later: RFC 3339, or an age (30m, 2h, 7d).
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Vec<Timestamp>,
    /// Dead-lettered at this time or earlier: RFC 3339, or an age.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Vec<Timestamp>,
    /// The letter with this ID.
    #[arg(long, value_name = "LETTER")]
    id: Vec<String>,
}

/// The filters, for a group of which one must be there.
const FILTERS: [&str; 7] = ["reason", "code", "user", "since", "until", "id", "all"];

#[derive(clap::Args)]
struct Force {
    /// Read a queue that may drop letters when they are read once more.
    #[arg(long)]
    force: bool,
}

impl Which {
    fn filter(self) -> Filter {
        Filter {
            reasons: self.reason,
            codes: self.code,
            users: self.user,
            since: self.since,
            until: self.until,
            ids: self.id,
        }
    }
}

/// As many letters as the broker has out with one consumer at a time.
const LARGEST_RANGE: u64 = 65_535;

/// All that it needs to know.
#[derive(Deserialize, JsonSchema)]
struct Settings {
    rabbitmq: RabbitMq,
}

pub(super) fn run(globals: Globals, arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::List(own) => list::run(&globals.and(own.globals), own.arguments),
        Command::Show(own) => show::run(&globals.and(own.globals), own.arguments),
        Command::Export(own) => export::run(&globals.and(own.globals), own.arguments),
        Command::Redrive(own) => redrive::run(&globals.and(own.globals), own.arguments),
        Command::Purge(own) => purge::run(&globals.and(own.globals), own.arguments),
    }
}

/// What a command works with.
struct Work<'a> {
    globals: &'a Globals,
    rabbitmq: &'a RabbitMq,
    session: &'a mut Session,
    letters: Letters,
    /// Cancelled by a signal.
    stop: &'a CancellationToken,
}

/// Reads the letters that are meant, lets `act` work on them, and gives the others back whatever happens. `tell` is
/// told of the result after that.
fn with_letters<T>(
    globals: &Globals,
    filter: &Filter,
    keep: Keep,
    force: bool,
    act: impl AsyncFnOnce(Work<'_>) -> Result<T, Failure>,
    tell: impl FnOnce(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Settings { rabbitmq } = globals.settings()?;
    let options = worker::broker_options(&rabbitmq, 0)?;
    super::block_on(async {
        let stop = stop_on_signals()?;
        let mut session = tokio::select! {
            session = Session::open(options) => session?,
            () = stop.cancelled() => return Err(stopped()),
        };
        let read = async {
            let spinner = spinner(globals);
            let read = tokio::select! {
                read = session.read(filter, keep, force, |count| spinner.set_position(count)) => {
                    read.map_err(Failure::from)
                }
                () = stop.cancelled() => Err(stopped()),
            };
            spinner.finish_and_clear();
            read
        };
        let end = match read.await {
            Ok(letters) => {
                warn(&letters);
                let session = &mut session;
                let rabbitmq = &rabbitmq;
                let stop = &stop;
                let work = Work {
                    globals,
                    rabbitmq,
                    session,
                    letters,
                    stop,
                };
                act(work).await
            }
            Err(failure) => Err(failure),
        };
        let closed = session.close().await;
        let told = tell(end?);
        closed.map_err(|error| {
            output::complain(&format!(
                "{error}; so the broker gives back itself what was held, and letters that were done last may be there again"
            ));
            Failure::Said(FAILED)
        })?;
        told
    })
}

/// The first signal asks to stop; the second ends the process, and the broker gives the letters back.
fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut signals = Signals::listen()?;
    let token = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        token.cancel();
        signals.next().await;
        std::process::exit(FAILED.into());
    });
    Ok(stop)
}

fn stopped() -> Failure {
    anyhow!("stopped by a signal; nothing was changed").into()
}

/// What an operator must know about what follows.
fn warn(letters: &Letters) {
    let say = |text: String| output::complain(&text);
    if letters.total > LARGEST_RANGE {
        say(format!(
            "{} letters were read in {} ranges of up to 65,535",
            HumanCount(letters.total),
            letters.ranges
        ));
    }
    if letters.other_consumers > 0 {
        say(format!(
            "warning: {} {:?} at the same time, so some letters may be missing here",
            match letters.other_consumers {
                1 => "another program consumes".to_owned(),
                others => format!("{others} other programs consume"),
            },
            letters.queue
        ));
    }
}

/// Asks, where somebody can answer. The letters are held meanwhile, and the broker allows that for some time only.
async fn confirm(work: &Work<'_>, question: String) -> Result<(), Failure> {
    let asks = stdin().is_terminal() && stderr().is_terminal();
    ensure_else(
        asks,
        "nobody can confirm this without a terminal: use --yes",
    )?;
    let answer = tokio::task::spawn_blocking(move || {
        let mut stderr = stderr();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        let mut answer = String::new();
        stdin().read_line(&mut answer)?;
        std::io::Result::Ok(answer)
    });
    let limit = work.rabbitmq.hold_limit;
    let answer = tokio::select! {
        answer = tokio::time::timeout(limit, answer) => answer,
        () = work.stop.cancelled() => return Err(stopped()),
    };
    let answer = answer.with_context(|| {
        format!("no answer within {limit:?} (rabbitmq.hold_limit), nothing was changed")
    })???;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(anyhow!("not confirmed, nothing was changed").into()),
    }
}

fn ensure_else(holds: bool, text: &'static str) -> anyhow::Result<()> {
    ensure!(holds, text);
    Ok(())
}

fn shows_progress(globals: &Globals) -> bool {
    !globals.is_quiet() && stderr().is_terminal()
}

fn spinner(globals: &Globals) -> ProgressBar {
    if !shows_progress(globals) {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} letters read") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(output::TICK);
    spinner
}

fn bar(globals: &Globals, letters: u64, what: &str) -> ProgressBar {
    if !shows_progress(globals) {
        return ProgressBar::hidden();
    }
    output::bar(letters, what)
}

/// RFC 3339, or how long ago.
fn time(text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let number = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let seconds: i64 = match text.strip_prefix(number) {
        Some("s") => 1,
        Some("m" | "min") => 60,
        Some("h") => 60 * 60,
        Some("d") => 24 * 60 * 60,
        _ => bail!("write a time as 2026-11-22T10:00:00Z, or an age as 30m, 2h or 7d"),
    };
    let number: u32 = number.parse().context("write an age as 30m, 2h or 7d")?;
    let age = SignedDuration::from_secs(i64::from(number) * seconds);
    Timestamp::now()
        .checked_sub(age)
        .context("this age is before all time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339_or_an_age() {
        let fixed = time("2026-11-22T10:00:00+01:00").unwrap();
        assert_eq!(fixed.to_string(), "2026-11-22T09:00:00Z");
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604_800)] {
            let age = Timestamp::now().duration_since(time(text).unwrap());
            assert!((age.as_secs() - seconds).abs() <= 2, "{text}: {age}");
        }
        for wrong in ["", "2", "h", "2 fortnights", "-2h", "99999999999999999999d"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
