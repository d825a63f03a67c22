//! How a worker is configured: values at the edge of what is allowed, and those that are usual.

use crate::engine::{MissingAccount, Settings};
use fastrand::Rng;

use super::{Day, LEASE, ms, pick, secs};
use crate::names::{CONTROL, user};

pub(super) fn draw(rng: &mut Rng, day: Day) -> Settings {
    let (quotas, windows, in_flight): (&[u32], &[usize], &[usize]) = match day {
        Day::LongEvent => (&[1, 2, 2, 5], &[7, 20], &[1, 2, 16, 16, 32]),
        Day::Relapses => (&[20, 50, 100, 100], &[1, 1, 2, 7], &[16, 32]),
        Day::Throttled => (&[20, 50], &[1, 2], &[32]),
        Day::CutOff => (&[2, 5, 20], &[1, 2, 7], &[2, 16]),
        Day::LongJudged => (&[5, 20, 100], &[1, 7, 100], &[16, 32]),
        Day::OutOfReach => (&[20, 50, 100], &[1, 7, 100], &[16, 32]),
        Day::BusyServer => (&[20], &[1, 2], &[16, 32]),
        Day::Gone => (&[5, 20, 100], &[1, 7, 100], &[16, 32]),
        _ => (
            &[1, 2, 5, 20, 50, 100, 100, 100],
            &[1, 2, 7, 20, 100, 100, 100],
            &[1, 2, 16, 16, 32],
        ),
    };
    let max_ids = *pick(rng, windows);
    let max_in_flight = *pick(rng, in_flight);
    let mut settings = Settings {
        max_ids,
        max_wait: ms(*pick(rng, &[1, 50, 500, 500, 5_000])),
        max_in_flight,
        calls_per_second: *pick(rng, quotas),
        quota_margin: ms(20),
        prefetch: match rng.u32(..4) {
            0 => rng.usize(10..100),
            _ => (max_ids * (max_in_flight + 2)).min(2_000),
        },
        out_of_order: 0,
        lease: Some(LEASE),
        // Long enough for all tries of a window.
        hold_limit: secs(*pick(rng, &[240, 240, 600, 600])),
        max_attempts: *pick(rng, &[1, 2, 3, 8, 8, 8]),
        backoff_min: ms(*pick(rng, &[20, 500, 500])),
        backoff_max: secs(*pick(rng, &[1, 30, 30])),
        missing_account: *pick(
            rng,
            &[
                MissingAccount::Done,
                MissingAccount::Done,
                MissingAccount::DeadLetter,
            ],
        ),
        control_user: user(CONTROL),
        seed: rng.u64(..),
    };
    // Without a draw of its own, which would change what all other seeds mean.
    if !settings.seed.is_multiple_of(4) {
        settings.out_of_order = settings.prefetch / 4;
    }
    if day == Day::LongJudged {
        // So many tries, half a minute apart at most, take longer than that.
        settings.hold_limit = secs(240);
        settings.max_attempts = 18;
        settings.backoff_min = ms(500);
        settings.backoff_max = secs(30);
    }
    if day == Day::Spared {
        // Of a few users in hand nobody can say that they are many.
        settings.prefetch = settings.prefetch.max(40);
    }
    if day == Day::BusyServer {
        // Those who wait for that server leave room for others.
        settings.prefetch = 2_000;
    }
    if day == Day::Seldom {
        // Its calls follow each other at once, up to the hold limit.
        settings.hold_limit = secs(60);
        settings.max_attempts = 8;
        settings.backoff_min = ms(20);
    }
    settings
}
