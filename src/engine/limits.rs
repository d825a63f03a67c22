//! Deliveries that the broker would drop at the next return: they get a dead letter instead.

use std::time::Instant;

use super::{Action, Delivery, Engine, Failure, Reason};

impl Engine {
    /// The delivery gets a dead letter for its unfinished users, unless it waits only for letters. An undecoded one
    /// is decoded first: if its body is not kept, the letter can only name the users.
    pub(super) fn give_up(&mut self, now: Instant, delivery: Delivery) {
        if self.ledger.give_up_once_read(delivery) {
            self.out.push_back(Action::Decode(delivery));
            return;
        }
        let users = self.users_of(delivery).into_iter();
        let failures = users.map(|user| Failure {
            reason: Reason::ReturnedTooOften,
            code: None,
            http: None,
            user: Some(user),
            invalid: 0,
            attempts: 0,
        });
        self.ledger.give_up(delivery, failures.collect());
        self.advance(now, delivery);
        self.forget(|window| window.suspect.is_some() && window.is_for(delivery));
    }
}
