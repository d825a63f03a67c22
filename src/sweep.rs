//! The sweep: a list of user IDs on one side, the API on the other, the engine between them.
//!
//! The second source of the [shell](crate::shell). Each user of the list is an event to the engine. What the broker
//! does for the [worker](crate::worker), files do here: the journal takes acknowledgements, so that each run goes on
//! where the last one ended, and the file of failures takes dead letters.

mod failures;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod hand;
mod input;
mod journal;
mod report;
mod run;

use std::io;
use std::path::PathBuf;

use crate::config::{Im, Window};
use crate::shell::SetupError;
use crate::shutdown::Shutdown;
use input::{Ahead, Item, What};
pub use input::{Format, Input, InputError};
pub use journal::JournalError;
use journal::{Done, Journal, State};
pub use report::Report;
use run::Run;

/// Why a sweep ended before its list did. The journal knows how far it came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the sweep could not be set up: {0}")]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{}: {cause}", path.display())]
    Failures { path: PathBuf, cause: io::Error },
    #[error("no thread can be started: {0}")]
    Thread(io::Error),
}

/// A list to be swept, and the files beside it.
pub struct Sweep {
    pub im: Im,
    pub window: Window,
    pub input: Input,
    pub journal: Option<PathBuf>,
    pub failures: PathBuf,
}

/// What is known before the first call.
#[derive(Debug)]
pub enum Outlook {
    /// Users who are done by runs before this one.
    Ready { done: u64 },
    /// Nothing is left to do.
    Ended(Report),
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    pub report: Report,
    /// Whether the end of the list was reached, and everybody is done.
    pub is_finished: bool,
}

impl Sweep {
    /// What earlier runs did, without changing anything.
    ///
    /// # Errors
    /// When the journal is not one of this list, or cannot be read.
    pub fn outlook(&mut self) -> Result<Outlook, Error> {
        let Some(path) = &self.journal else {
            return Ok(Outlook::Ready { done: 0 });
        };
        Ok(match journal::look(path, &self.input.identity()?)? {
            State::New => Outlook::Ready { done: 0 },
            State::Begun { progress, .. } => Outlook::Ready {
                done: progress.users,
            },
            State::Ended(report) => Outlook::Ended(report),
        })
    }

    /// Reads the whole list and counts what it holds.
    ///
    /// # Errors
    /// When it cannot be read to its end.
    pub fn count(&mut self) -> Result<Report, Error> {
        let mut report = Report::default();
        let mut line = 0;
        for item in self.input.open()?.items()? {
            report.count(&item?, &mut line);
        }
        Ok(report)
    }

    /// Sweeps the list to its end, or until `shutdown` asks for another. `watch` hears how many users are done.
    ///
    /// # Errors
    /// When a file fails. What was done by then is in the journal.
    pub async fn run(
        mut self,
        shutdown: &Shutdown,
        mut watch: impl FnMut(u64),
    ) -> Result<Outcome, Error> {
        let (journal, state) = match &self.journal {
            Some(path) => {
                let (journal, state) = Journal::open(path, &self.input.identity()?)?;
                (Some(journal), state)
            }
            None => (None, State::New),
        };
        let (done, before) = match state {
            State::New => (Done::default(), None),
            State::Begun { done, progress } => (done, Some(progress)),
            State::Ended(report) => return Ok(finished(report)),
        };
        let list = Ahead::read(self.input.open()?).map_err(Error::Thread)?;
        let mut run = Run::new(self, list, journal, done, before)?;
        let is_finished = tokio::select! {
            finished = run.work(shutdown, &mut watch) => finished?,
            () = shutdown.stop.cancelled() => false,
        };
        let report = run.report();
        if is_finished && let Some(journal) = &mut run.journal {
            journal.ended(&report)?;
        }
        Ok(Outcome {
            report,
            is_finished,
        })
    }
}

/// Another process ended it between the look and the start.
fn finished(report: Report) -> Outcome {
    Outcome {
        report,
        is_finished: true,
    }
}

impl Report {
    /// Counts an item of the list; `line` is that of the one before.
    fn count(&mut self, item: &Item, line: &mut u64) {
        self.lines += u64::from(item.line != *line);
        *line = item.line;
        match item.what {
            What::User(_) => self.users += 1,
            What::Repeated => self.repeated += 1,
            What::Invalid(_) | What::Malformed => self.invalid += 1,
        }
    }
}
