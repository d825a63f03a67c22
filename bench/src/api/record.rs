//! The API's record: which users were cleared and when, and when calls arrived.

use std::time::Duration;

/// Everything since [`Record::new`]. Times count from then.
#[derive(Debug, Default)]
pub struct Record {
    /// For each user the microsecond of the first call for it, plus one; 0 for none.
    received_at: Vec<u32>,
    /// The same of the first answer that cleared it.
    cleared_at: Vec<u32>,
    distinct: u32,
    ids: u64,
    arrivals: Vec<Duration>,
    last_window: u32,
    last_cleared: Duration,
    refused: u64,
}

impl Record {
    /// Of nothing yet. Users from `users` on are counted as IDs and nothing else.
    pub fn new(users: u32) -> Record {
        Record {
            received_at: vec![0; users as usize],
            cleared_at: vec![0; users as usize],
            ..Record::default()
        }
    }

    /// A call that came in.
    pub fn arrived(&mut self, at: Duration, users: &[u32]) {
        self.arrivals.push(at);
        self.ids += users.len() as u64;
        self.last_window = users.len() as u32;
        for user in users {
            note_first(&mut self.received_at, *user, at);
        }
    }

    /// A call that is about to be answered with success.
    pub fn cleared(&mut self, at: Duration, users: &[u32]) {
        for user in users {
            if note_first(&mut self.cleared_at, *user, at) {
                self.distinct += 1;
                self.last_cleared = at;
            }
        }
    }

    /// A call that was no call of the interface.
    pub fn refused(&mut self) {
        self.refused += 1;
    }

    /// Calls that were no calls of the interface.
    pub fn refusals(&self) -> u64 {
        self.refused
    }

    /// Different users that were cleared.
    pub fn distinct(&self) -> u32 {
        self.distinct
    }

    /// User IDs in all calls, with those that came again.
    pub fn ids(&self) -> u64 {
        self.ids
    }

    pub fn calls(&self) -> usize {
        self.arrivals.len()
    }

    /// When the first call arrived.
    pub fn first_call(&self) -> Option<Duration> {
        self.arrivals.first().copied()
    }

    /// When the last user was cleared that had not been before.
    pub fn last_cleared(&self) -> Duration {
        self.last_cleared
    }

    /// When the first call for this user arrived.
    pub fn received_at(&self, user: u32) -> Option<Duration> {
        first(&self.received_at, user)
    }

    /// When this user was first cleared.
    pub fn cleared_at(&self, user: u32) -> Option<Duration> {
        first(&self.cleared_at, user)
    }

    /// IDs a second from the first call to the last one, whose own IDs belong to the time after it.
    pub fn ids_per_second_between_calls(&self) -> f64 {
        match (self.arrivals.first(), self.arrivals.last()) {
            (Some(first), Some(last)) if last > first => {
                let ids = self.ids - u64::from(self.last_window);
                ids as f64 / (*last - *first).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// The most calls that arrived within any one second.
    pub fn busiest_second(&self) -> usize {
        let mut oldest = 0;
        let mut most = 0;
        for (place, at) in self.arrivals.iter().enumerate() {
            while *at - self.arrivals[oldest] >= Duration::from_secs(1) {
                oldest += 1;
            }
            most = most.max(place + 1 - oldest);
        }
        most
    }
}

/// False for a user that has a time already, or that is none of the backlog.
fn note_first(times: &mut [u32], user: u32, at: Duration) -> bool {
    let Some(first @ 0) = times.get_mut(user as usize) else {
        return false;
    };
    *first = u32::try_from(at.as_micros()).unwrap_or(u32::MAX - 1) + 1;
    true
}

fn first(times: &[u32], user: u32) -> Option<Duration> {
    let micros = times.get(user as usize)?.checked_sub(1)?;
    Some(Duration::from_micros(micros.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn a_user_counts_once_with_the_time_of_its_first_clearing() {
        let mut record = Record::new(3);
        record.cleared(millis(5), &[0, 2]);
        record.cleared(millis(9), &[2, 7]);
        assert_eq!(record.distinct(), 2);
        assert_eq!(record.cleared_at(2), Some(millis(5)));
        assert_eq!(record.cleared_at(1), None);
        assert_eq!(record.last_cleared(), millis(5));
    }

    #[test]
    fn the_busiest_second_slides_and_is_open_at_its_end() {
        let mut record = Record::new(0);
        for at in [0, 600, 900, 1_000, 1_599, 1_600, 3_000] {
            record.arrived(millis(at), &[0; 100]);
        }
        // 600, 900, 1,000 and 1,599; at 1,600 the first of them is a second old.
        assert_eq!(record.busiest_second(), 4);
    }

    #[test]
    fn the_rate_between_calls_is_that_of_even_calls() {
        let mut record = Record::new(0);
        for call in 0..=100 {
            record.arrived(millis(call * 10), &[0; 100]);
        }
        assert_eq!(record.ids_per_second_between_calls(), 10_000.0);
    }
}
