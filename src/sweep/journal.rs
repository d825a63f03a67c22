//! The journal: which items of a list are done, so that a sweep that was killed goes on where it was.
//!
//! It is a file of lines that are only ever appended, each written in one piece. The first one says whose journal it
//! is; of the others each says what was done since the one before. A last line without an end was being written when
//! the process was killed, and tells nothing.

mod done;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::input::Identity;
use super::report::Report;
pub(super) use done::{Done, runs};

/// Longer than any line of a journal.
const LONGEST: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    tagsweep_journal: u32,
    list: Identity,
}

const VERSION: u32 = 1;
/// What a header begins with.
const BEGIN: &[u8] = b"{\"tagsweep_journal\":";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Went(Progress),
    Ended(Report),
}

/// What was done, in a line: the numbers of items since the line before, and sums since the beginning.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    /// All items before this one are done.
    pub(super) before: u64,
    /// And these: the first and the last of each run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) runs: Vec<(u64, u64)>,
    /// Users who are done, in whatever way.
    pub(super) users: u64,
    pub(super) missing: u64,
    pub(super) failed: u64,
    pub(super) calls: u64,
    pub(super) seconds: f64,
    /// The length of the file of failures.
    pub(super) failures: u64,
}

/// What a journal says.
#[derive(Debug)]
pub(super) enum State {
    New,
    Begun { done: Done, progress: Progress },
    Ended(Report),
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("journal {}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("{} is no journal of tagsweep; name another with --journal", .0.display())]
    Foreign(PathBuf),
    #[error(
        "{} is the journal of another list ({difference}); name another with --journal, or remove it to begin anew",
        path.display()
    )]
    OtherList {
        path: PathBuf,
        difference: &'static str,
    },
    #[error("{} is in use: another sweep of this list is running", .0.display())]
    InUse(PathBuf),
}

/// Open for what is done next. While it is, no other process can open it.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

/// What the journal says of this list; nothing is written.
pub(super) fn look(path: &Path, list: &Identity) -> Result<State, JournalError> {
    match File::open(path) {
        Ok(file) => read(path, &file, list).map(|(state, _)| state),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::New),
        Err(cause) => Err(failed(path)(cause)),
    }
}

impl Journal {
    /// Begins a journal, or goes on with one.
    pub(super) fn open(path: &Path, list: &Identity) -> Result<(Journal, State), JournalError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(path).map_err(failed(path))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse(path.to_owned()),
            TryLockError::Error(cause) => failed(path)(cause),
        })?;
        let (state, whole) = read(path, &file, list)?;
        file.set_len(whole).map_err(failed(path))?;
        let mut journal = Journal {
            path: path.to_owned(),
            file,
        };
        if whole == 0 {
            journal.append(&Header {
                tagsweep_journal: VERSION,
                list: list.clone(),
            })?;
            journal.sync()?;
        }
        Ok((journal, state))
    }

    pub(super) fn went(&mut self, progress: &Progress) -> Result<(), JournalError> {
        self.append(&Line::Went(progress.clone()))
    }

    pub(super) fn ended(&mut self, report: &Report) -> Result<(), JournalError> {
        self.append(&Line::Ended(report.clone()))?;
        self.sync()
    }

    fn append(&mut self, line: &impl Serialize) -> Result<(), JournalError> {
        let text = serde_json::to_string(line).map_err(io::Error::from);
        let text = text.map(|text| text + "\n");
        let written = text.and_then(|text| self.file.write_all(text.as_bytes()));
        written.map_err(failed(&self.path))
    }

    fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_all().map_err(failed(&self.path))
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> JournalError {
    let path = path.to_owned();
    move |cause| JournalError::File {
        path: path.clone(),
        cause,
    }
}

/// What the whole lines say, and their length.
fn read(path: &Path, mut file: &File, list: &Identity) -> Result<(State, u64), JournalError> {
    let foreign = || JournalError::Foreign(path.to_owned());
    file.seek(SeekFrom::Start(0)).map_err(failed(path))?;
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    let mut whole = 0;
    let mut state = State::New;
    loop {
        line.clear();
        let count = (&mut lines).take(LONGEST).read_until(b'\n', &mut line);
        let count = count.map_err(failed(path))?;
        if !line.ends_with(b"\n") {
            let is_ours = whole > 0 || BEGIN.starts_with(&line) || line.starts_with(BEGIN);
            return if is_ours {
                Ok((state, whole))
            } else {
                Err(foreign())
            };
        }
        if whole == 0 {
            let header: Header = serde_json::from_slice(&line).map_err(|_| foreign())?;
            if let Some(difference) = list.difference(&header.list) {
                let path = path.to_owned();
                return Err(JournalError::OtherList { path, difference });
            }
        } else {
            let line: Line = serde_json::from_slice(&line).map_err(|_| foreign())?;
            state = after(state, line);
        }
        whole += count as u64;
    }
}

fn after(state: State, line: Line) -> State {
    match line {
        Line::Ended(report) => State::Ended(report),
        Line::Went(progress) => {
            let mut done = match state {
                State::Begun { done, .. } => done,
                State::New | State::Ended(_) => Done::default(),
            };
            done.insert_before(progress.before);
            for (first, last) in &progress.runs {
                (*first..=*last).for_each(|number| done.insert(number));
            }
            State::Begun { done, progress }
        }
    }
}
