//! Deliveries that get a letter instead of going back to the broker.

use super::{Delivery, Failure, Ledger, Stage};

impl Ledger {
    /// The delivery is not to go back to the broker.
    pub(in super::super) fn keep(&mut self, delivery: Delivery) {
        if let Some(entry) = self.entry(delivery) {
            entry.stays = true;
        }
    }

    /// Whether the delivery is not decoded: its letter has to name its users, and is due once they are known.
    pub(in super::super) fn give_up_once_read(&mut self, delivery: Delivery) -> bool {
        let entry = self.entry(delivery);
        entry.is_some_and(|entry| {
            entry.given_up = true;
            entry.stage == Stage::Unread
        })
    }

    pub(in super::super) fn is_given_up(&mut self, delivery: Delivery) -> bool {
        self.entry(delivery).is_some_and(|entry| entry.given_up)
    }

    /// Waits for users no longer: the letters for these `failures` are due. Nothing changes when it waits for
    /// letters already.
    pub(in super::super) fn give_up(&mut self, delivery: Delivery, failures: Vec<Failure>) {
        if let Some(entry) = self.entry(delivery)
            && let Stage::Users(open @ 1..) = &mut entry.stage
        {
            *open = 0;
            entry.failures.extend(failures);
        }
    }
}
