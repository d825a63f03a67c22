//! The minute of 70050 after too many bad UserSigs.

use std::time::{Duration, Instant};

use crate::codes;

const LOCKED_FOR: Duration = Duration::from_secs(60);

pub(crate) struct Lockout {
    /// So many bad UserSigs in a row lock; `None`: never.
    after: Option<u32>,
    failures: u32,
    locked_until: Option<Instant>,
}

impl Lockout {
    pub(crate) fn after(failures: Option<u32>) -> Lockout {
        Lockout {
            after: failures,
            failures: 0,
            locked_until: None,
        }
    }

    /// Takes the result of the checks up to the admin right and gives the one to answer with. While
    /// locked, calls that got as far as their UserSig are refused, good ones too.
    pub(crate) fn judge<T>(&mut self, result: Result<T, i32>, now: Instant) -> Result<T, i32> {
        let Some(after) = self.after else {
            return result;
        };
        let no_user_sig_yet = |code| code < codes::SIG_EXPIRED && code != codes::NOT_ADMIN;
        if result.as_ref().is_err_and(|&code| no_user_sig_yet(code)) {
            return result;
        }
        if self.locked_until.is_some_and(|until| now < until) {
            return Err(codes::LOCKED_OUT);
        }
        match result {
            Err(codes::SIG_UNREADABLE | codes::SIG_FORGED) => self.failures += 1,
            _ => self.failures = 0,
        }
        if self.failures >= after {
            self.failures = 0;
            self.locked_until = Some(now + LOCKED_FOR);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Result<(), i32> = Err(codes::SIG_FORGED);

    #[test]
    fn repeated_bad_signatures_lock_for_a_minute_good_ones_too() {
        let now = Instant::now();
        let mut lockout = Lockout::after(Some(2));
        assert_eq!(lockout.judge(BAD, now), BAD);
        assert_eq!(lockout.judge(Ok(()), now), Ok(()));
        assert_eq!(lockout.judge(BAD, now), BAD);
        assert_eq!(lockout.judge(BAD, now), BAD);
        let locked = Err(codes::LOCKED_OUT);
        assert_eq!(lockout.judge(Ok(()), now + Duration::from_secs(59)), locked);
        assert_eq!(
            lockout.judge::<()>(Err(codes::NO_APP), now),
            Err(codes::NO_APP)
        );
        assert_eq!(lockout.judge(Ok(()), now + LOCKED_FOR), Ok(()));
    }

    #[test]
    fn it_never_locks_unless_switched_on() {
        let now = Instant::now();
        let mut lockout = Lockout::after(None);
        assert!((0..1_000).all(|_| lockout.judge(BAD, now) == BAD));
    }
}
