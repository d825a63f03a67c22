//! Disturbances: faults of the API, the broker, the dead letters and the workers.

use std::time::Duration;

use crate::engine::Settings;
use fastrand::Rng;

use super::{Day, Disturbance, Kind, LetterFate, Publication, ms, pick, secs};
use crate::codes::{self, Meaning};
use crate::weather::{Code, Listed, Reach, Weather};

pub(super) fn draw(
    rng: &mut Rng,
    day: Day,
    settings: &Settings,
    horizon: Duration,
) -> Vec<Disturbance> {
    if rng.u32(..60) == 0 {
        return vec![long_outage(rng, settings, horizon)];
    }
    let counts: &[usize] = match day {
        Day::Ordinary | Day::Steady => &[0, 1, 2, 4, 8, 16],
        _ => &[0, 0, 1, 2],
    };
    let count = *pick(rng, counts);
    let mut all: Vec<Disturbance> = (0..count).map(|_| one(rng, horizon)).collect();
    all.sort_by_key(|disturbance| disturbance.at);
    all
}

/// Of several hold limits, and nothing else happens.
fn long_outage(rng: &mut Rng, settings: &Settings, horizon: Duration) -> Disturbance {
    let weather = loop {
        let weather = weather(rng);
        if weather.stops_everything() {
            break weather;
        }
    };
    Disturbance {
        at: ms(rng.u64(0..horizon.as_millis() as u64)),
        lasts: settings.hold_limit * *pick(rng, &[3, 4, 6, 10, 14]),
        kind: Kind::Api(weather, Reach::All),
    }
}

fn one(rng: &mut Rng, horizon: Duration) -> Disturbance {
    let lasts = match rng.u32(..6) {
        0 => ms(rng.u64(1..200)),
        1..=3 => secs(rng.u64(1..15)),
        4 => secs(rng.u64(15..120)),
        _ => secs(rng.u64(120..1_500)),
    };
    let at = ms(rng.u64(0..horizon.as_millis() as u64));
    let kind = kind(rng);
    let lasts = match kind {
        Kind::Held => lasts.min(secs(3)),
        Kind::Frozen { .. } => lasts.min(secs(90)),
        _ => lasts,
    };
    Disturbance { at, lasts, kind }
}

/// In one run of eight an operator pauses workers. It has dice of its own, so that all other seeds mean what they meant.
pub(super) fn operator_pauses(
    seed: u64,
    settings: &Settings,
    publications: &[Publication],
    disturbances: &mut Vec<Disturbance>,
) {
    let mut rng = Rng::with_seed(seed ^ 0x0b5e_55ed);
    if rng.u32(..8) > 0 {
        return;
    }
    let horizon = publications.last().map_or(secs(10), |last| last.at) + secs(5);
    for _ in 0..rng.u32(1..4) {
        let lasts = match rng.u32(..4) {
            0 => ms(rng.u64(1..2_000)),
            1..=2 => secs(rng.u64(2..120)),
            _ => settings.hold_limit * rng.u32(1..5) / 2,
        };
        disturbances.push(Disturbance {
            at: ms(rng.u64(0..horizon.as_millis() as u64)),
            lasts,
            kind: Kind::OperatorPause {
                worker: rng.usize(..2),
            },
        });
    }
    disturbances.sort_by_key(|disturbance| disturbance.at);
}

fn kind(rng: &mut Rng) -> Kind {
    let worker = rng.usize(..2);
    match rng.u32(..22) {
        0..=8 => Kind::Api(weather(rng), reach(rng)),
        9 => Kind::Held,
        10..=11 => Kind::Reset { worker },
        12 => Kind::Silent { worker },
        13 => Kind::BrokerDown,
        14..=16 => Kind::Letters(*pick(
            rng,
            &[
                LetterFate::Late,
                LetterFate::Refused,
                LetterFate::Returned,
                LetterFate::Unconfirmed,
            ],
        )),
        17 => Kind::Kill { worker },
        18..=19 => Kind::Restart { worker },
        20 => Kind::Frozen { worker },
        _ => Kind::UserSigExpires,
    }
}

fn reach(rng: &mut Rng) -> Reach {
    match rng.u32(..10) {
        0..=2 => Reach::All,
        3..=5 => Reach::Chance(*pick(rng, &[0.05, 0.1, 0.25, 0.5])),
        6..=7 => Reach::FrontEnd { of: rng.u32(2..=5) },
        _ => Reach::Flapping {
            period: secs(*pick(rng, &[1, 1, 3, 10, 30])),
            coin: rng.u64(..),
        },
    }
}

fn weather(rng: &mut Rng) -> Weather {
    match rng.u32(..20) {
        0..=3 => Weather::Refuses(code(rng)),
        4 => Weather::gateway(rng),
        5..=6 => Weather::Lists(
            code(rng),
            *pick(
                rng,
                &[Listed::Everybody, Listed::AllButTen, Listed::EveryThird],
            ),
        ),
        7..=8 => Weather::Mixed(code(rng)),
        9..=10 => Weather::StoreFails(codes::draw(rng, |meaning| {
            matches!(meaning, Meaning::Transient | Meaning::Unknown)
        })),
        11 => Weather::Unclear,
        12..=13 => Weather::Unreachable,
        14..=15 => Weather::Hangs,
        16 => Weather::AnswerLost,
        17..=18 => Weather::Slow(*pick(rng, &[2, 10, 20, 40])),
        _ => Weather::NoCredential,
    }
}

/// The same for the whole time, or another each time.
fn code(rng: &mut Rng) -> Code {
    match rng.u32(..4) {
        0 => Code::Any,
        1 => Code::Always(91000),
        2 => Code::Always(codes::draw(rng, |meaning| meaning == Meaning::Reject)),
        _ => Code::Always(codes::draw(rng, |_| true)),
    }
}
