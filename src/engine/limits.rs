//! What the broker would drop if it went back once more: it gets a letter instead.

use std::time::Instant;

use super::{Action, Delivery, Engine, Failure, Reason};

impl Engine {
    /// The delivery gets a letter for what is not done of it, unless letters are all that it waits for. One that is
    /// not decoded is so first: its body may not be kept, and then only its users can be named.
    pub(super) fn give_up(&mut self, now: Instant, delivery: Delivery) {
        if self.ledger.give_up_once_read(delivery) {
            self.out.push_back(Action::Decode(delivery));
            return;
        }
        let users = self.users_of(delivery).into_iter();
        let failures = users.map(|user| Failure {
            reason: Reason::ReturnedTooOften,
            code: None,
            user: Some(user),
            invalid: 0,
            attempts: 0,
        });
        self.ledger.give_up(delivery, failures.collect());
        self.advance(now, delivery);
        self.forget(|window| window.suspect.is_some() && window.is_for(delivery));
    }
}
