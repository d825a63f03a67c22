//! The trace of a run, one line per step, if requested.

use std::collections::VecDeque;
use std::time::Duration;

/// The end of a run tells why it failed; its beginning rarely does.
const LINES: usize = 60;

#[derive(Debug, Default)]
pub struct Trace {
    wanted: bool,
    lines: VecDeque<String>,
}

impl Trace {
    pub fn wanted() -> Trace {
        Trace {
            wanted: true,
            lines: VecDeque::new(),
        }
    }

    /// Keeps what `line` says, if anybody wants it.
    pub fn line(&mut self, now: Duration, line: impl FnOnce() -> String) {
        if !self.wanted {
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines
            .push_back(format!("{:>12.6}  {}", now.as_secs_f64(), line()));
    }

    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
