use std::time::Duration;

/// A small generator for all jitter (splitmix64), so that the same seed gives the same run.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    /// A random time between half of `wait` and all of it.
    pub(super) fn spread(&mut self, wait: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        wait.mul_f64(0.5 + (mixed >> 11) as f64 / (1u64 << 53) as f64 / 2.0)
    }
}
