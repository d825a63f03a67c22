//! `tagsweep dead-letters export`, and the file that `purge` writes before it removes anything.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::list::counts;
use super::{Force, Which, Work, with_letters};
use crate::cli::{Failure, Globals, output};
use crate::dead_letters::{Entry, Keep, Letters, export_line};

/// Only the owner may read it: it holds user IDs.
const MODE: u32 = 0o600;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tagsweep dead-letters export --out letters.ndjson\n  \
                  tagsweep dead-letters export --reason malformed-event | jq -r .body\n\n\
                  Each line is a JSON object with all that the letter holds: what `list --each --json` prints, headers,\n\
                  properties and body. A body that is not UTF-8 is Base64, with \"body_encoding\": \"base64\".\n\
                  Nothing is removed from the queue."
)]
pub(super) struct Arguments {
    /// File to write, only readable by its owner. Default: standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(globals: &Globals, arguments: Arguments) -> Result<(), Failure> {
    let filter = arguments.which.filter();
    let force = arguments.force.force;
    let act = async |work: Work<'_>| Ok(work.letters);
    with_letters(globals, &filter, Keep::Messages, force, act, |letters| {
        export(globals, &letters, arguments.out.as_deref())
    })
}

fn export(globals: &Globals, letters: &Letters, out: Option<&Path>) -> Result<(), Failure> {
    match out {
        None => {
            for line in letters.matched.iter().filter_map(export_line) {
                output::print(line)?;
            }
        }
        Some(path) => {
            let mut options = OpenOptions::new();
            let file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(MODE)
                .open(path);
            let file = file.with_context(|| format!("cannot write {}", path.display()))?;
            write(file, path, &letters.matched)?;
        }
    }
    if !globals.is_quiet() && letters.matched.is_empty() {
        output::complain(&counts(letters));
    } else if let Some(path) = out.filter(|_| !globals.is_quiet()) {
        output::print(format_args!(
            "{} written to {}",
            output::counted(letters.matched.len(), "letter"),
            path.display()
        ))?;
    }
    Ok(())
}

/// A file that is not there yet.
pub(super) fn write_new(path: &Path, letters: &[Entry]) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path);
    let file = file.with_context(|| format!("cannot create {}", path.display()))?;
    write(file, path, letters)
}

/// Returns when the file and its name are on the disk.
fn write(file: File, path: &Path, letters: &[Entry]) -> anyhow::Result<()> {
    let unwritable = || format!("cannot write {}", path.display());
    let mut writer = BufWriter::new(file);
    for letter in letters {
        let line = export_line(letter).context("a letter was not kept")?;
        writeln!(writer, "{line}").with_context(unwritable)?;
    }
    let file = writer
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error);
    let file = file.with_context(unwritable)?;
    // A pipe or a device cannot be synced, and need not be.
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        file.sync_all().with_context(unwritable)?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new(".")));
        folder
            .and_then(|folder| folder.sync_all())
            .with_context(unwritable)?;
    }
    Ok(())
}
