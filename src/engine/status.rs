//! What the engine says of itself, for logs, metrics and health.

use std::time::Instant;

use super::{Engine, Status};

impl Engine {
    pub fn status(&self, now: Instant) -> Status {
        let pause = self.judge.pauses.current.as_ref();
        Status {
            paused: pause.map(|pause| pause.reason),
            paused_for: pause.map(|pause| now.saturating_duration_since(pause.since)),
            probe_in: pause
                .filter(|pause| pause.probe.is_none())
                .map(|pause| pause.probe_at.saturating_duration_since(now)),
            operator_pause: self
                .operator_pause
                .map(|since| now.saturating_duration_since(since)),
            suspended: self.suspension.is_some(),
            draining: self.draining,
            pending_ids: self.waiting_ids(),
            in_flight_calls: self.windows.calls(),
            unsettled_deliveries: self.ledger.unsettled(),
            told_to_wait: self.pace.held_for(now),
            without_lease: (!self.has_lease(now))
                .then(|| now.saturating_duration_since(self.leased)),
            nobody_cleared: self
                .judge
                .crowd
                .since
                .map(|since| now.saturating_duration_since(since)),
            failed_calls: self.judge.run,
            refused_letters: self.letters.refused_count(),
            calls_per_second: self.pace.rate.at(now),
            tally: self.tally,
        }
    }
}
