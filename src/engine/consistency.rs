//! Invariants between any two inputs: everything that is kept has a reason.

use std::collections::HashMap;

use super::{Delivery, Engine};

impl Engine {
    /// Checks the engine's invariants if debug assertions are on; takes time in proportion to what is held.
    ///
    /// # Panics
    /// When a delivery waits for something that will never end, or the other way round.
    pub fn assert_consistent(&self) {
        if cfg!(not(debug_assertions)) {
            return;
        }
        let mut open: HashMap<Delivery, u32> = self.ledger.open_deliveries().collect();
        let waiters = self.claims().flat_map(|claim| &claim.waiters);
        // One that got a letter instead waits for that only.
        let waiters = waiters.filter(|delivery| self.ledger.is_open(**delivery));
        for delivery in waiters.chain(self.letters.deliveries()) {
            // One that has gone back to the broker is forgotten when its claim comes up.
            if let Some(open) = open.get_mut(delivery) {
                assert!(*open > 0, "{delivery:?} waits for less than it should");
                *open -= 1;
            }
        }
        // In a drain what fails is left to the next worker.
        for (delivery, open) in open.into_iter().filter(|_| !self.draining) {
            assert_eq!(open, 0, "{delivery:?} waits for what nothing will end");
        }
        let waiting: usize = self
            .windows
            .not_in_call()
            .map(|window| window.claims.len())
            .sum();
        assert_eq!(waiting, self.windows.waiting_users());
        assert!(self.windows.calls() <= self.settings.max_in_flight);
    }
}
