//! `tagsweep sweep`: clears the users of a list, without a broker.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use indicatif::{HumanCount, HumanDuration, ProgressBar};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{FAILED, Failure, Globals, output};
use crate::config::{Im, Log, LogFormat, Window};
use crate::shutdown::Shutdown;
use crate::sweep::{Format, Input, Outcome, Outlook, Report, Sweep};
use crate::telemetry::{self, Logging};

/// Some of the users are in the file of failures.
const SOME_FAILED: u8 = 3;
/// How long calls in flight may take to end after the first signal.
const GRACE_PERIOD: Duration = Duration::from_secs(25);

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tagsweep sweep --dry-run deleted-users.txt\n  \
                  tagsweep sweep --column user_id export.csv.gz\n  \
                  tagsweep sweep --users '$.user.id' export.ndjson.zst\n  \
                  psql -Atc 'select id from deleted_users' | tagsweep sweep --yes -\n\n\
                  It needs [im], and RabbitMQ is not used. What is done is written to a journal beside the file: after an\n\
                  interruption the same command goes on where it ended. Users that fail are written to FILE.failed.ndjson;\n\
                  sweep that file to try them again.\n\n\
                  Exit codes: 0 all users done, 3 some failed, 1 interrupted or failed, 78 invalid configuration."
)]
pub(super) struct Arguments {
    /// File with user IDs, - for standard input. A name that ends in .gz or .zst is decompressed.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// text (one user ID per line), csv or ndjson. Default: by the file's ending (.csv, .ndjson, .jsonl), otherwise text.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// CSV: name of the column that holds the user IDs. Required.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// NDJSON: JSONPath (RFC 9535) that selects the user IDs of a line. Default: $.user
    #[arg(long, value_name = "PATH")]
    users: Option<String>,
    /// Calls per second, instead of im.calls_per_second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    calls_per_second: Option<u32>,
    /// Journal. Default: FILE.tagsweep-journal; none for standard input or a pipe.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// File for users that fail. Default: FILE.failed.ndjson; sweep.failed.ndjson for standard input or a pipe.
    #[arg(long, value_name = "FILE")]
    failed: Option<PathBuf>,
    /// Read the file, print what would be done and call nobody.
    #[arg(long)]
    dry_run: bool,
    /// Start without asking.
    #[arg(long)]
    yes: bool,
    /// Print a JSON object at the end.
    #[arg(long)]
    json: bool,
}

/// All that it needs to know.
#[derive(Deserialize, JsonSchema)]
struct Settings {
    im: Im,
    window: Window,
    log: Log,
}

pub(super) fn run(globals: &Globals, arguments: Arguments) -> Result<(), Failure> {
    let Settings {
        mut im,
        window,
        log,
    } = globals.settings()?;
    im.calls_per_second = arguments.calls_per_second.unwrap_or(im.calls_per_second);
    let input = Input::new(
        &arguments.file,
        arguments.format,
        arguments.column,
        arguments.users,
    )?;
    let beside = |ending| (!input.is_stream()).then(|| beside(&arguments.file, ending));
    let journal = arguments.journal.or_else(|| beside(".tagsweep-journal"));
    let failures = arguments.failed.or_else(|| beside(".failed.ndjson"));
    let mut sweep = Sweep {
        input,
        journal,
        failures: failures.unwrap_or_else(|| "sweep.failed.ndjson".into()),
        im,
        window,
    };
    let written = [Some(&sweep.failures), sweep.journal.as_ref()];
    ensure_writable(&arguments.file, written)?;
    let done = match sweep.outlook()? {
        Outlook::Ready { done } => done,
        Outlook::Ended(report) => {
            if !arguments.json && !globals.is_quiet() {
                say("this list has been swept; to sweep it again, remove its journal");
            }
            return end(&report, arguments.json, globals, &sweep.failures);
        }
    };
    let list = match sweep.input.is_stream() {
        true => None,
        false => Some(count(&mut sweep, globals)?),
    };
    let plan = plan(&sweep, list.as_ref(), done);
    if arguments.dry_run {
        let report = list.context("--dry-run needs a file that can be read twice")?;
        return match arguments.json {
            true => print_json(&report),
            false => output::print(plan),
        };
    }
    if !globals.is_quiet() || !arguments.yes {
        say(&plan);
    }
    if !arguments.yes {
        confirm()?;
    }
    let bar = match list.as_ref().filter(|_| shows_bar(globals)) {
        Some(list) => {
            let bar = output::bar(list.users, "users").with_position(done);
            bar.reset_eta();
            bar
        }
        None => ProgressBar::hidden(),
    };
    let _logging = logging(log, !bar.is_hidden());
    let failures = sweep.failures.clone();
    let is_resumable = sweep.journal.is_some();
    let outcome = super::block_on(async {
        let shutdown = Shutdown::on_signals(GRACE_PERIOD)?;
        Ok(sweep
            .run(&shutdown, |users| bar.set_position(users))
            .await?)
    });
    bar.finish_and_clear();
    let Outcome {
        report,
        is_finished,
    } = outcome?;
    if is_finished {
        return end(&report, arguments.json, globals, &failures);
    }
    print_report(&report, arguments.json, globals, &failures)?;
    match is_resumable {
        true => bail_out("interrupted; the same command goes on where it ended"),
        false => bail_out("interrupted; without a journal the same command begins anew"),
    }
}

/// Lines for whoever started this. A bar says what usual lines would.
fn logging(mut log: Log, has_bar: bool) -> Logging {
    if log.format == LogFormat::Auto {
        log.format = LogFormat::Text;
    }
    let colour = output::takes_colour(&std::io::stderr());
    if !has_bar {
        return telemetry::start(&log, colour);
    }
    if log.level == "info" {
        log.level = "warn".to_owned();
    }
    telemetry::start_over_bar(&log, colour)
}

fn bail_out(text: &str) -> Result<(), Failure> {
    output::complain(text);
    Err(Failure::Said(FAILED))
}

/// A name of a file beside the list.
fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What cannot be written is better known before the first call; and a list is not written to while it is read.
fn ensure_writable<'a>(
    list: &Path,
    written: impl IntoIterator<Item = Option<&'a PathBuf>>,
) -> anyhow::Result<()> {
    let list = list.canonicalize().ok();
    for path in written.into_iter().flatten() {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let is_there = folder.is_none_or(Path::is_dir);
        ensure!(is_there, "{}: its folder does not exist", path.display());
        let is_list = list.is_some() && path.canonicalize().ok() == list;
        ensure!(!is_list, "{} is the list itself", path.display());
    }
    Ok(())
}

fn count(sweep: &mut Sweep, globals: &Globals) -> anyhow::Result<Report> {
    let spinner = match shows_bar(globals) {
        true => ProgressBar::new_spinner().with_message("reading the list"),
        false => ProgressBar::hidden(),
    };
    spinner.enable_steady_tick(output::TICK);
    let counted = sweep.count();
    spinner.finish_and_clear();
    Ok(counted?)
}

/// What will be done, and how long it takes.
fn plan(sweep: &Sweep, list: Option<&Report>, done: u64) -> String {
    let quota = sweep.im.calls_per_second;
    let mut text = format!("sweep {} in app {}", sweep.input, sweep.im.sdk_app_id);
    if let Some(list) = list {
        let left = list.users.saturating_sub(done);
        let calls = left.div_ceil(sweep.window.max_ids as u64);
        let seconds = calls.div_ceil(u64::from(quota));
        text += &format!(
            "\n  clear all tags of {} ({} lines, {} repeated, {} invalid)",
            output::counted(left as usize, "user"),
            HumanCount(list.lines),
            HumanCount(list.repeated),
            HumanCount(list.invalid)
        );
        if done > 0 {
            text += &format!("; {} are done already", HumanCount(done));
        }
        text += &format!(
            "\n  about {}, {} or longer",
            output::counted(calls as usize, "call"),
            HumanDuration(Duration::from_secs(seconds.max(1)))
        );
    }
    text += &format!(
        "\n  up to {quota} calls per second; a worker of the same app shares this quota: where one runs, leave it a part \
         with --calls-per-second"
    );
    text += &format!("\n  users that fail: {}", sweep.failures.display());
    if let Some(journal) = &sweep.journal {
        text += &format!("\n  journal: {}", journal.display());
    }
    text
}

fn confirm() -> anyhow::Result<()> {
    let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    ensure!(
        asks,
        "nobody can confirm this without a terminal: use --yes"
    );
    let mut stderr = std::io::stderr();
    write!(stderr, "Clear these users? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("not confirmed, nothing was done"),
    }
}

/// The report, and the exit code that it means.
fn end(report: &Report, json: bool, globals: &Globals, failures: &Path) -> Result<(), Failure> {
    print_report(report, json, globals, failures)?;
    match report.has_failures() {
        true => Err(Failure::Said(SOME_FAILED)),
        false => Ok(()),
    }
}

fn print_report(
    report: &Report,
    json: bool,
    globals: &Globals,
    failures: &Path,
) -> Result<(), Failure> {
    if json {
        return print_json(report);
    }
    if globals.is_quiet() && !report.has_failures() {
        return Ok(());
    }
    let mut text = format!(
        "{} cleared, {} unknown to the API, {} failed, {} invalid; {} calls in {}",
        HumanCount(report.cleared),
        HumanCount(report.missing),
        HumanCount(report.failed),
        HumanCount(report.invalid),
        HumanCount(report.calls),
        HumanDuration(Duration::from_secs_f64(report.seconds.max(1.0)))
    );
    if report.has_failures() {
        text += &format!("\nfailures are in {}", failures.display());
    }
    output::print(text)
}

fn print_json(report: &Report) -> Result<(), Failure> {
    output::print(serde_json::to_string(report)?)
}

/// Standard output is for the report alone. There is nobody to tell if this cannot be written.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn shows_bar(globals: &Globals) -> bool {
    !globals.is_quiet() && std::io::stderr().is_terminal()
}
