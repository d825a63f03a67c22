//! The file of failures: one JSON object a line for each user who failed, and for each line that names none.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::input::{Item, What};
use crate::engine::Letter;

/// One line. Sweeping the file of failures tries those users again.
#[derive(Serialize)]
struct Failure<'a> {
    /// The text of the list where that is no user ID; none where it cannot be read.
    user: Option<&'a str>,
    reason: &'static str,
    code: Option<i64>,
    line: u64,
}

/// Only who fails makes the file.
pub(super) struct Failures {
    path: PathBuf,
    file: Option<File>,
    /// Its length when all that is in `waiting` is written.
    bytes: u64,
    waiting: Vec<u8>,
}

impl Failures {
    /// `kept` is the length of what belongs to users who are not tried again; what comes after that was written in the
    /// last moment of a run that was killed, for users who are.
    ///
    /// # Errors
    /// When a file that is there cannot be looked at or cut.
    pub(super) fn open(path: &Path, kept: Option<u64>) -> io::Result<Failures> {
        let mut failures = Failures {
            path: path.to_owned(),
            file: None,
            bytes: 0,
            waiting: Vec::new(),
        };
        match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(failures),
            metadata => failures.bytes = metadata?.len(),
        }
        if let Some(kept) = kept.filter(|kept| *kept < failures.bytes) {
            OpenOptions::new().write(true).open(path)?.set_len(kept)?;
            failures.bytes = kept;
        }
        Ok(failures)
    }

    /// The length of the file when everything is written.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn add(&mut self, letter: &Letter, item: &Item) -> io::Result<()> {
        let failure = Failure {
            user: match &item.what {
                What::User(user) => Some(user.as_str()),
                What::Invalid(text) => Some(text),
                What::Malformed | What::Repeated => None,
            },
            reason: letter.reason.name(),
            code: letter.code,
            line: item.line,
        };
        let before = self.waiting.len();
        serde_json::to_writer(&mut self.waiting, &failure)?;
        self.waiting.push(b'\n');
        self.bytes += (self.waiting.len() - before) as u64;
        Ok(())
    }

    /// Writes all of it. It is on the disk before the journal says that its users are done.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut options = OpenOptions::new();
                options.append(true).create(true).mode(0o600);
                none.insert(options.open(&self.path)?)
            }
        };
        file.write_all(&self.waiting)?;
        self.waiting.clear();
        file.sync_data()
    }
}
