//! The journal: one entry per call, in bounded memory, and totals of the whole run.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::interface::Interface;

/// A day of busy seconds.
const MAX_SECONDS: usize = 86_400;

/// One call.
#[derive(Clone, PartialEq, Serialize)]
pub struct Entry {
    /// When the whole request had been read, since the simulator's start. In JSON: seconds.
    #[serde(serialize_with = "as_seconds")]
    pub at: Duration,
    /// `None` for a path that is no interface.
    pub interface: Option<Interface>,
    /// How many user IDs it listed, as far as the body could be read.
    pub ids: usize,
    /// The answer's `ErrorCode`; `None` where a fault took its place.
    pub code: Option<i32>,
    /// The name of the fault that struck it.
    pub fault: Option<&'static str>,
    /// Only when asked for with `journal_users`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<String>>,
}

impl fmt::Debug for Entry {
    /// All but the user IDs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("at", &self.at)
            .field("interface", &self.interface)
            .field("ids", &self.ids)
            .field("code", &self.code)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

/// The latest calls, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Journal {
    pub entries: VecDeque<Entry>,
    /// How many older entries were dropped to stay within the capacity.
    pub dropped: u64,
    #[serde(skip)]
    capacity: usize,
}

impl Journal {
    pub(crate) fn with_capacity(capacity: usize) -> Journal {
        Journal {
            entries: VecDeque::new(),
            dropped: 0,
            capacity,
        }
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        while self.entries.len() > self.capacity {
            self.entries.pop_front();
            self.dropped += 1;
        }
    }
}

/// Sums over the whole run. *Clearing calls* are those of `im_remove_all_tags` and of its Push
/// sibling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Clearing calls that arrived, whatever became of them.
    pub calls: u64,
    /// Clearing calls that were done and have `ErrorCode` 0, even if a fault then spoilt the answer.
    pub accepted: u64,
    /// Calls of other interfaces and of unknown paths.
    pub other_calls: u64,
    /// Answers with an `ErrorCode` other than 0, of all interfaces, by code.
    pub refusals: BTreeMap<i32, u64>,
    /// Calls struck by a fault, by its name.
    pub faults: BTreeMap<&'static str, u64>,
    /// IDs listed in accepted clearing calls.
    pub ids: u64,
    /// Users cleared; one who was cleared twice counts twice.
    pub users_cleared: u64,
    pub distinct_users_cleared: u64,
    /// The largest number of clearing calls that arrived within any one second at one interface,
    /// refused ones included.
    pub largest_second: usize,
    /// Clearing calls that have arrived but whose answer has not begun.
    pub in_flight: usize,
    pub most_in_flight: usize,
}

impl Stats {
    /// Refusals with this code.
    pub fn refused_with(&self, code: i32) -> u64 {
        self.refusals.get(&code).copied().unwrap_or_default()
    }

    /// 0 before the first accepted call.
    pub fn mean_ids_per_accepted_call(&self) -> f64 {
        if self.accepted == 0 {
            return 0.0;
        }
        self.ids as f64 / self.accepted as f64
    }
}

/// What happened in one second of the run. Seconds without a clearing call are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Second {
    /// Whole seconds since the simulator's start.
    pub second: u64,
    /// Clearing calls that arrived.
    pub calls: u64,
    pub users_cleared: u64,
}

/// Calls and users by second, for the latest 86,400 busy seconds.
#[derive(Default)]
pub(crate) struct Histogram(VecDeque<Second>);

impl Histogram {
    pub(crate) fn add_call(&mut self, at: Duration, users_cleared: u64) {
        let second = at.as_secs();
        if self.0.back().is_none_or(|last| last.second != second) {
            self.0.push_back(Second {
                second,
                calls: 0,
                users_cleared: 0,
            });
        }
        if self.0.len() > MAX_SECONDS {
            self.0.pop_front();
        }
        if let Some(last) = self.0.back_mut() {
            last.calls += 1;
            last.users_cleared += users_cleared;
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<Second> {
        self.0.iter().copied().collect()
    }
}

fn as_seconds<S: Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.as_secs_f64())
}
