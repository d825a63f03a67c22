//! Estimates from the time of an answer when its call was counted at the latest.
//!
//! The time by which an answer is slower than the fastest recent one may have been spent on the way to the API, and
//! a little more, since the fastest one also took some time. Until enough answers are known, all of the time
//! counts. So calls that are delayed on the way and arrive together never share a second with too many others. A
//! network delay of all calls that suddenly ends is not covered: it looks like an API that was slow and becomes
//! fast.

use std::time::{Duration, Instant};

/// Answers after which the quickest of them says how long the API itself takes: among so many, one had an
/// undisturbed way.
const ENOUGH_ANSWERS: u32 = 64;
const GENERATION: Duration = Duration::from_secs(5);
/// So many times as long as usual takes a call that was held up somewhere.
const HELD_UP: u32 = 3;

/// How long the API itself takes, as far as its answers of late tell: over one to two generations of them,
/// so that this follows an API that becomes slower for good.
#[derive(Debug, Default)]
pub(super) struct Latency {
    current: Generation,
    previous: Option<Generation>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Generation {
    began: Option<Instant>,
    answers: u32,
    quickest: Duration,
    total: Duration,
}

impl Latency {
    /// How much of `took` may have been spent on the way to the API; all of it, until there were enough answers.
    /// The more the answers differ and the fewer they are, the less is known of what the API takes at least: where
    /// time is spent in three places (there, at the API, and back), the quickest of `n` answers is above the least
    /// that is possible by some `n^(-1/3)` of how much they differ.
    pub(super) fn way(&self, took: Duration) -> Duration {
        let known = self.current.answers >= ENOUGH_ANSWERS;
        let generations = [known.then_some(self.current), self.previous];
        let quickest = |generation: &Generation| generation.quickest;
        let Some(best) = generations.into_iter().flatten().min_by_key(quickest) else {
            return took;
        };
        let quickest = best.quickest.min(self.quickest_now());
        let mean = best.mean();
        // One that is quicker than all before shows that these say too little; one that was held up for long, that the
        // API may be another one by now.
        if took < quickest || took > mean * HELD_UP {
            return took;
        }
        let unknown = 2.0 / f64::from(best.answers).cbrt();
        took - quickest + mean.saturating_sub(quickest).mul_f64(unknown)
    }

    fn quickest_now(&self) -> Duration {
        match self.current.answers {
            0 => Duration::MAX,
            _ => self.current.quickest,
        }
    }

    pub(super) fn learn(&mut self, took: Duration, now: Instant) {
        let before = self
            .previous
            .map_or(Duration::ZERO, |previous| previous.quickest);
        if took < before / 2 {
            // The API is another one than it was.
            *self = Latency::default();
        }
        let current = &mut self.current;
        let began = *current.began.get_or_insert(now);
        if now >= began + GENERATION && current.answers >= ENOUGH_ANSWERS {
            self.previous = Some(std::mem::take(current));
            current.began = Some(now);
        }
        current.quickest = match current.answers {
            0 => took,
            _ => took.min(current.quickest),
        };
        // What is held up is no measure for the next ones.
        current.total += match current.answers {
            0 => took,
            _ => took.min(current.mean() * HELD_UP),
        };
        current.answers += 1;
    }
}

impl Generation {
    fn mean(&self) -> Duration {
        self.total / self.answers
    }
}
