//! Users who stood in the list a short while before.

use std::collections::HashSet;
use std::mem;

use crate::event::UserId;

/// A user is known again if no more other users than these stood between. Up to twice as many are kept.
pub(super) const DISTANCE: usize = 50_000;

/// The latest users in two generations: the older one is forgotten when the younger one is full.
#[derive(Default)]
pub(super) struct Recent {
    younger: HashSet<UserId>,
    older: HashSet<UserId>,
}

impl Recent {
    /// Whether the user is new; from now on they are not.
    pub(super) fn insert(&mut self, user: UserId) -> bool {
        if self.younger.contains(&user) {
            return false;
        }
        if self.younger.len() == DISTANCE {
            self.older.clear();
            mem::swap(&mut self.younger, &mut self.older);
        }
        self.younger.insert(user);
        !self.older.contains(&user)
    }
}
