//! Which items are done: all before one, and some after it.

use std::collections::BTreeSet;

#[derive(Clone, Debug, Default)]
pub(in crate::sweep) struct Done {
    before: u64,
    scattered: BTreeSet<u64>,
}

impl Done {
    /// All items before this one are done.
    pub(in crate::sweep) fn before(&self) -> u64 {
        self.before
    }

    pub(in crate::sweep) fn contains(&self, number: u64) -> bool {
        number < self.before || self.scattered.contains(&number)
    }

    pub(in crate::sweep) fn insert(&mut self, number: u64) {
        if number == self.before {
            self.before += 1;
            self.close_up();
        } else if number > self.before {
            self.scattered.insert(number);
        }
    }

    pub(super) fn insert_before(&mut self, number: u64) {
        if number > self.before {
            self.before = number;
            self.scattered = self.scattered.split_off(&number);
            self.close_up();
        }
    }

    fn close_up(&mut self) {
        while self.scattered.first() == Some(&self.before) {
            self.scattered.pop_first();
            self.before += 1;
        }
    }
}

/// Runs of numbers that follow each other, of those that are not below `from`.
pub(in crate::sweep) fn runs(numbers: &mut Vec<u64>, from: u64) -> Vec<(u64, u64)> {
    numbers.sort_unstable();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers.drain(..).filter(|number| *number >= from) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}
