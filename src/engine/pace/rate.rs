//! The rate of calls: the quota, or less for a while after a throttle answer.

use std::time::{Duration, Instant};

/// From a standstill back to the full pace.
const RECOVERY: Duration = Duration::from_secs(50);
/// Minimum rate: one call every ten seconds.
const SLOWEST: f64 = 0.1;

#[derive(Debug)]
pub(in super::super) struct Rate {
    /// Calls a second that the API allows to us.
    quota: f64,
    /// Calls a second that were made at the last change.
    rate: f64,
    changed: Instant,
    halved: Option<Instant>,
}

impl Rate {
    pub(super) fn new(quota: f64, now: Instant) -> Rate {
        Rate {
            quota,
            rate: quota,
            changed: now,
            halved: None,
        }
    }

    pub(super) fn quota(&self) -> f64 {
        self.quota
    }

    /// Changes the quota: another worker on the same queue started or stopped.
    pub(in super::super) fn set_quota(&mut self, quota: f64) {
        self.rate = self.rate * quota / self.quota;
        self.quota = quota;
    }

    /// Calls a second at this moment.
    pub(in super::super) fn at(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.changed).as_secs_f64();
        (self.rate + self.quota * since / RECOVERY.as_secs_f64()).min(self.quota)
    }

    /// Between one start and the next at this pace.
    pub(in super::super) fn gap(&self, now: Instant) -> Duration {
        Duration::from_secs_f64(1.0 / self.at(now))
    }

    /// No calls are made until then, and the rate does not grow.
    pub(super) fn rest(&mut self, until: Instant, now: Instant) {
        self.rate = self.at(now);
        self.changed = self.changed.max(until);
    }

    /// Halves the rate, unless the call started before the last halving: all calls in flight at that moment report
    /// the same overload.
    pub(super) fn throttled(&mut self, started: Instant, now: Instant) -> bool {
        if self.halved.is_some_and(|halved| started <= halved) {
            return false;
        }
        self.rate = (self.at(now) / 2.0).max(SLOWEST.min(self.quota));
        self.changed = self.changed.max(now);
        self.halved = Some(now);
        true
    }
}
