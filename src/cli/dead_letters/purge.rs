//! `tagsweep dead-letters purge`.

use std::path::PathBuf;

use clap::ArgGroup;
use indicatif::HumanCount;
use jiff::Timestamp;
use serde_json::json;

use super::export::write_new;
use super::list::{counts, in_groups};
use super::{FAILED, FILTERS, Force, Which, Work, bar, confirm, with_letters};
use crate::cli::{Failure, Globals, output};
use crate::dead_letters::{Keep, Purged};

#[derive(clap::Args)]
#[command(
    group = ArgGroup::new("which").args(FILTERS).required(true).multiple(true),
    after_help = "Examples:\n  tagsweep dead-letters purge --reason unknown-account --export unknown.ndjson\n  \
                  tagsweep dead-letters purge --until 30d --yes --json\n\n\
                  The letters are written to a file, and to the disk, before the first one is removed. The file holds\n\
                  user IDs; only its owner can read it.\n\n\
                  Exit codes: 0 all removed, 1 not all, 78 invalid configuration."
)]
pub(super) struct Arguments {
    /// File for the letters, which must not exist yet. Default: dead-letters-TIME.ndjson in the current folder.
    #[arg(long, value_name = "FILE", conflicts_with = "no_export")]
    export: Option<PathBuf>,
    /// Keep no copy of the letters.
    #[arg(long)]
    no_export: bool,
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

/// What was done, and where the copy is.
type End = (Purged, Option<PathBuf>, Option<String>);

pub(super) fn run(globals: &Globals, arguments: Arguments) -> Result<(), Failure> {
    let filter = arguments.which.filter();
    let file = match arguments.no_export {
        true => None,
        false => Some(arguments.export.unwrap_or_else(default_file)),
    };
    let keep = match file {
        Some(_) => Keep::Messages,
        None => Keep::Entries,
    };
    let (yes, json) = (arguments.yes, arguments.json);
    let force = arguments.force.force;
    let act = async |work: Work<'_>| purge(work, file, yes, json).await;
    with_letters(globals, &filter, keep, force, act, |end| {
        tell(globals, end, json)
    })
}

fn tell(globals: &Globals, (purged, file, lost): End, json: bool) -> Result<(), Failure> {
    if json {
        output::print(json!({
            "matched": purged.matched,
            "purged": purged.purged,
            "exported_to": file.as_ref().map(|file| file.display().to_string()),
        }))?;
    } else if !globals.is_quiet() && purged.matched > 0 {
        let copy = file.map_or_else(String::new, |file| {
            format!("; a copy is in {}", file.display())
        });
        output::print(format_args!(
            "{} of {} letters removed{copy}",
            HumanCount(purged.purged),
            HumanCount(purged.matched)
        ))?;
    }
    if let Some(lost) = lost {
        output::complain(&format!(
            "stopped: {lost}; the other letters are in the queue"
        ));
        return Err(Failure::Said(FAILED));
    }
    if purged.stopped {
        output::complain("stopped by a signal; the other letters are in the queue");
        return Err(Failure::Said(FAILED));
    }
    Ok(())
}

async fn purge(
    work: Work<'_>,
    file: Option<PathBuf>,
    yes: bool,
    json: bool,
) -> Result<End, Failure> {
    let letters = &work.letters;
    let count = letters.matched.len();
    if count == 0 {
        if !json {
            output::print(counts(letters))?;
        }
        return Ok((Purged::default(), None, None));
    }
    if !yes {
        let copy = match &file {
            Some(file) => format!("A copy is written to {}.", file.display()),
            None => "NO copy is kept.".to_owned(),
        };
        let question = format!(
            "{}\n\nRemove {} from {:?}? {copy}",
            in_groups(letters),
            output::counted(count, "letter"),
            letters.queue
        );
        confirm(&work, question).await?;
    }
    if let Some(file) = &file {
        write_new(file, &letters.matched)?;
    }
    let bar = bar(work.globals, count as u64, "removed");
    let show = |purged: &Purged| bar.set_position(purged.purged);
    let purged = work.session.purge(letters, work.stop, show).await;
    bar.finish_and_clear();
    Ok(match purged {
        Ok(purged) => (purged, file, None),
        Err((purged, error)) => (purged, file, Some(error.to_string())),
    })
}

fn default_file() -> PathBuf {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    format!("dead-letters-{now}.ndjson").into()
}
