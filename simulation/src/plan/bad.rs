//! The users that are always refused, and how the API answers calls for the control user.

use std::collections::BTreeMap;

use crate::engine::Settings;
use fastrand::Rng;

use super::{Bad, Control, Day, pick};
use crate::codes::{self, Meaning, NO_SUCH_ACCOUNT};
use crate::names::{AHEAD, USERS};

/// "No such account" is what the API of most apps says: nobody has imported that user.
pub(super) fn control(rng: &mut Rng, day: Day) -> Control {
    match rng.u32(..10) {
        _ if matches!(day, Day::OutOfReach | Day::Spared) => Control::Known,
        _ if day == Day::Gone => Control::Unknown { listed: rng.bool() },
        0..=3 if day == Day::Seldom => Control::Refused(code(rng)),
        // Its pauses are counted on other days.
        9 if day == Day::BusyServer => Control::Known,
        0..=3 => Control::Known,
        4..=8 => Control::Unknown { listed: rng.bool() },
        _ => Control::Refused(code(rng)),
    }
}

pub(super) fn users(rng: &mut Rng, day: Day, settings: &Settings) -> BTreeMap<u32, Bad> {
    let one_kind = rng.bool().then(|| one(rng));
    let crowd = |rng: &mut Rng| {
        one_kind
            .filter(|bad| *bad != Bad::Hangs)
            .unwrap_or_else(|| quick(rng))
    };
    match day {
        Day::Relapses
        | Day::Throttled
        | Day::CutOff
        | Day::OutOfReach
        | Day::Losses
        | Day::BusyServer => BTreeMap::new(),
        Day::Spared if rng.bool() => BTreeMap::new(),
        Day::Spared => BTreeMap::from([(AHEAD.start, crowd(rng))]),
        Day::Gone => {
            let listed = rng.bool();
            let bad = match listed {
                true => Bad::Listed(NO_SUCH_ACCOUNT),
                false => Bad::Refused(NO_SUCH_ACCOUNT),
            };
            USERS.map(|user| (user, bad)).collect()
        }
        Day::Seldom => BTreeMap::from([(AHEAD.start, Bad::Hangs)]),
        Day::LongJudged => {
            // One goes back in the middle of a call, the other between two.
            let bad = *pick(rng, &[Bad::Hangs, Bad::Failing]);
            (AHEAD.start..AHEAD.start + rng.u32(1..=3))
                .map(|user| (user, bad))
                .collect()
        }
        Day::Ordinary | Day::Steady | Day::LongEvent => {
            let count = *pick(rng, &[0, 0, 1, 1, 2, 6]);
            (0..count).map(|_| (rng.u32(USERS), one(rng))).collect()
        }
        Day::ManyBad => {
            let share = rng.f64() * 0.4 + 0.2;
            let bad = |_: &u32| rng.f64() < share;
            let bad: Vec<u32> = USERS.filter(bad).collect();
            bad.into_iter().map(|user| (user, crowd(rng))).collect()
        }
        Day::BadAhead => {
            let wanted = *pick(rng, &[5, 20, 50, 50, 200, 200, 500, 3_000]);
            // The quota must be enough for some tries of each, and they fill our hands a few times at most.
            let most = (settings.calls_per_second * 30).min(4 * settings.prefetch as u32);
            let count = wanted.min(most);
            (AHEAD.start..AHEAD.start + count)
                .map(|user| (user, crowd(rng)))
                .collect()
        }
    }
}

/// In a crowd nobody hangs: that costs a whole request timeout each time.
fn quick(rng: &mut Rng) -> Bad {
    loop {
        let bad = one(rng);
        if bad != Bad::Hangs {
            return bad;
        }
    }
}

fn one(rng: &mut Rng) -> Bad {
    match rng.u32(..20) {
        0..=4 => Bad::Refused(codes::draw(rng, |meaning| meaning == Meaning::Reject)),
        5..=9 => Bad::Refused(code(rng)),
        10..=13 => Bad::Listed(code(rng)),
        14 => Bad::Refused(NO_SUCH_ACCOUNT),
        15 => Bad::Listed(NO_SUCH_ACCOUNT),
        16 => Bad::Refused(91000),
        17..=18 => Bad::Failing,
        _ => Bad::Hangs,
    }
}

/// What an API may say to one user for good. That calls come too often is never said of a user.
fn code(rng: &mut Rng) -> i64 {
    codes::draw(rng, |meaning| {
        !matches!(meaning, Meaning::Throttle | Meaning::Missing)
    })
}
