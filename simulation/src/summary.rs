//! A summary of runs in numbers.

use std::time::Duration;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub steps: u64,
    pub calls: u64,
    pub letters: u64,
    /// Events that the broker dropped before anybody could write a letter.
    pub dropped: u64,
    pub sessions: u64,
    pub events: u64,
    pub simulated: Duration,
    /// Of every action of every engine, in order: the same seed gives the same.
    pub digest: u64,
}

impl Summary {
    pub fn add(&mut self, other: &Summary) {
        self.steps += other.steps;
        self.calls += other.calls;
        self.letters += other.letters;
        self.dropped += other.dropped;
        self.sessions += other.sessions;
        self.events += other.events;
        self.simulated += other.simulated;
    }

    /// What all these runs, which took so long, come to.
    pub fn describe(&self, took: Duration) -> String {
        format!(
            "{:.1} million steps ({:.0} million a minute), {} events ({} dropped), {} calls, {} letters, {} sessions in \
             {:.1} simulated days, and no promise was broken",
            self.steps as f64 / 1e6,
            self.steps as f64 / 1e6 / took.as_secs_f64() * 60.0,
            self.events,
            self.dropped,
            self.calls,
            self.letters,
            self.sessions,
            self.simulated.as_secs_f64() / 86_400.0,
        )
    }
}
