//! The parts of the benchmark. Each runs on a stage and returns rows of results.

pub mod ceiling;
pub mod contestants;
pub mod growth;
pub mod latency;
pub mod quota;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub repeat: u32,
    /// Only enough to see that it works.
    pub quick: bool,
}

impl Scale {
    /// `full`, or `quick` of it.
    fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}
