//! `tagsweep dead-letters redrive`.

use std::time::Duration;

use anyhow::ensure;
use clap::ArgGroup;
use indicatif::{HumanCount, HumanDuration};
use serde_json::json;

use super::list::{counts, in_groups};
use super::{FAILED, FILTERS, Force, Which, Work, bar, confirm, with_letters};
use crate::cli::{Failure, Globals, output};
use crate::dead_letters::{Keep, Redriven, UNRECOGNISED, Writer, redrivable};
use crate::rabbitmq::LetterRefusal;

#[derive(clap::Args)]
#[command(
    group = ArgGroup::new("which").args(FILTERS).required(true).multiple(true),
    after_help = "Examples:\n  tagsweep dead-letters redrive --reason rejected-by-api --code 90001 --dry-run\n  \
                  tagsweep dead-letters redrive --since 2h --rate 50\n  \
                  tagsweep dead-letters redrive --id 5d41402abc4b2a76-17 --yes --json\n\n\
                  The event goes to rabbitmq.queue directly, so no other queue gets it, and the worker clears only the\n\
                  users that failed. Each letter is removed once the broker has confirmed its event. The set is fixed\n\
                  when the command starts. Interrupted at any moment, no letter is lost; run it again to continue.\n\n\
                  Exit codes: 0 all done or skipped, 1 some letters stayed, 78 invalid configuration."
)]
pub(super) struct Arguments {
    /// Show what would be redriven, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Events a second at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Start without asking.
    #[arg(long)]
    yes: bool,
    /// Print a JSON object at the end.
    #[arg(long)]
    json: bool,
    /// All letters.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(globals: &Globals, arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        dry_run,
        rate,
        yes,
        json,
        force,
        which,
        all: _,
    } = arguments;
    let filter = which.filter();
    let act = async |work: Work<'_>| redrive(work, dry_run, rate, yes, json).await;
    with_letters(globals, &filter, Keep::Messages, force.force, act, |done| {
        if json {
            output::print(as_json(&done))?;
        } else if !globals.is_quiet() && done.over() > 0 && !dry_run {
            output::print(in_words(&done))?;
        }
        end(&done)
    })
}

async fn redrive(
    work: Work<'_>,
    dry_run: bool,
    rate: Option<u32>,
    yes: bool,
    json: bool,
) -> Result<Redriven, Failure> {
    let matched = work.letters.matched.len() as u64;
    let possible = redrivable(&work.letters.matched);
    let skipped = matched - possible;
    if dry_run || possible == 0 {
        if !json {
            output::print(plan(&work, possible, skipped))?;
        }
        return Ok(Redriven {
            matched,
            skipped,
            ..Redriven::default()
        });
    }
    in_time(&work, rate)?;
    if !yes {
        eprint(&plan(&work, possible, skipped));
        let question = format!("Redrive {}?", output::counted(possible as usize, "letter"));
        confirm(&work, question).await?;
    }
    let bar = bar(work.globals, matched, "redriven");
    let show = |done: &Redriven| bar.set_position(done.over());
    let redriven = work.session.redrive(&work.letters, rate, work.stop, show);
    let redriven = redriven.await;
    bar.finish_and_clear();
    Ok(redriven?)
}

fn as_json(done: &Redriven) -> serde_json::Value {
    json!({
        "matched": done.matched,
        "redriven": done.redriven,
        "skipped": done.skipped,
        "failed": done.failed,
    })
}

/// What will be done, by number.
fn plan(work: &Work<'_>, possible: u64, skipped: u64) -> String {
    let letters = &work.letters;
    if letters.matched.is_empty() {
        return counts(letters);
    }
    let mut text = format!(
        "{}\n\n{} back to queue {:?}; the worker calls the API again for the users that failed",
        in_groups(letters),
        match possible {
            1 => "1 event goes".to_owned(),
            possible => format!("{} events go", HumanCount(possible)),
        },
        work.rabbitmq.queue,
    );
    if skipped > 0 {
        text += &format!(
            "\n{} skipped: neither the body nor the names of all users that failed are left",
            output::counted(skipped as usize, "letter")
        );
    }
    if letters
        .matched
        .iter()
        .any(|letter| letter.writer == Writer::Other)
    {
        text += &format!("\n{UNRECOGNISED}");
    }
    text
}

fn in_words(done: &Redriven) -> String {
    let count = |count: u64| HumanCount(count).to_string();
    let mut text = format!(
        "{} of {} letters redriven",
        count(done.redriven),
        count(done.matched)
    );
    for (number, what) in [
        (done.skipped, "skipped: nothing left to redrive"),
        (done.failed, "stay in the dead-letter queue"),
    ] {
        if number > 0 {
            text += &format!(", {} {what}", count(number));
        }
    }
    text
}

/// The broker takes letters back that are held for too long.
fn in_time(work: &Work<'_>, rate: Option<u32>) -> anyhow::Result<()> {
    let Some(rate) = rate else {
        return Ok(());
    };
    let letters = work.letters.matched.len() as u64;
    let takes = Duration::from_secs(letters.div_ceil(rate.into()));
    let limit = work.rabbitmq.hold_limit;
    ensure!(
        takes <= limit,
        "{} letters at {rate} a second take {}, longer than letters may be held (rabbitmq.hold_limit is {}): raise --rate, or narrow the filter, as with --since and --until",
        HumanCount(letters),
        HumanDuration(takes),
        HumanDuration(limit)
    );
    Ok(())
}

fn eprint(text: &str) {
    use std::io::Write;
    // There is nobody to tell if this cannot be written.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Why not everything was done, and the exit code.
fn end(done: &Redriven) -> Result<(), Failure> {
    if let Some(loss) = done.lost.as_ref().filter(|_| !done.is_denied()) {
        output::complain(&format!(
            "stopped: {loss}; no letter is lost, {} may be in both queues",
            output::counted(done.failed as usize, "event")
        ));
    } else if let Some(refusal) = done.refusal {
        let why = match refusal {
            LetterRefusal::Returned => {
                "the queue of events does not exist: check rabbitmq.queue, or run `tagsweep check`"
                    .to_owned()
            }
            refusal => refusal.to_string(),
        };
        output::complain(&format!("the broker did not take some events: {why}"));
    } else if done.stopped && done.over() < done.matched {
        output::complain(&format!(
            "stopped by a signal after {} of {} letters; run the same command again to continue",
            HumanCount(done.over()),
            HumanCount(done.matched)
        ));
    } else {
        return Ok(());
    }
    Err(Failure::Said(FAILED))
}
