//! The operator's pause: no calls, not even probes, until the operator resumes. Calls in flight end as usual.
//!
//! New events are not even decoded, so that nothing is acknowledged or dead-lettered that the operator wanted to
//! stop. It is independent of a pause for the API, and each may begin and end during the other.

use std::time::Instant;

use super::Engine;

/// Deliveries that are held while consuming is suspended. While one is held, the broker gives the queue to no worker
/// that comes later, which would make the calls that the operator does not want.
const HELD: usize = 1;

impl Engine {
    /// When such a pause outlasts the hold limit, as for one for the API. With nothing in hand it never does: the
    /// queue stays with this worker, and what arrives is held for a time of its own.
    pub(super) fn suspended_from_operator_pause(&self, since: Instant) -> Option<Instant> {
        if let Some(suspension) = self.suspension {
            return Some(suspension.since);
        }
        let half = since + self.settings.hold_limit / 2;
        self.ledger.next_held().map(|held| held.max(half))
    }

    /// No more than are held already, for a pause for the API: nothing is probed, and each change costs returns.
    pub(super) fn held_in_operator_pause(&self) -> usize {
        let held = self.suspension.map(|suspension| suspension.held);
        held.unwrap_or(HELD).max(HELD)
    }
}
