//! What became of a list, counted over all runs of its sweep.

use serde::{Deserialize, Serialize};

/// Where a sweep stands. `users` are distinct within the distance at which repeated ones are found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Lines or rows that hold something.
    pub lines: u64,
    pub users: u64,
    pub repeated: u64,
    pub invalid: u64,
    pub cleared: u64,
    /// Users whom the API does not know, where that is done.
    pub missing: u64,
    pub failed: u64,
    pub calls: u64,
    pub seconds: f64,
    /// The line at which the latest run went on; none where there was only one run.
    pub resumed_at: Option<u64>,
}

impl Report {
    /// Whether the file of failures names anything.
    pub fn has_failures(&self) -> bool {
        self.failed + self.invalid > 0
    }
}
