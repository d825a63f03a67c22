//! The incoming events.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::engine::Settings;
use fastrand::Rng;

use super::{Bad, Body, Day, Publication, ms, pick, secs};
use crate::names::{AHEAD, LONG, USERS};

pub(super) fn draw(
    rng: &mut Rng,
    day: Day,
    settings: &Settings,
    capacity: f64,
    bad: &BTreeMap<u32, Bad>,
) -> Vec<Publication> {
    let mut all: Vec<Publication> = Vec::new();
    match day {
        Day::Ordinary => {
            let budget = (capacity * 300.0).min(*pick(rng, &[200.0, 1_000.0, 4_000.0]));
            bursts(rng, budget as usize, capacity, bad, &mut all);
        }
        Day::Steady => steady(rng, capacity, bad, &mut all),
        Day::ManyBad => {
            // Each of so many bad users costs twenty calls and more.
            let budget = (settings.calls_per_second * 20).min(*pick(rng, &[20, 100, 400]));
            bursts(rng, budget as usize, capacity, bad, &mut all);
        }
        Day::BadAhead => {
            ahead(rng, bad, &mut all);
            let good = rng.usize(10..300).min((capacity * 60.0) as usize).max(1);
            let until = *pick(rng, &[10_000, 10_000, 60_000, 120_000]);
            for _ in 0..good {
                all.push(event(ms(rng.u64(1..until)), vec![rng.u32(USERS)]));
            }
            all.sort_by_key(|publication| publication.at);
        }
        Day::LongEvent => {
            let holds = rng.f64() * 1.5 + 0.5;
            let users = capacity * settings.hold_limit.as_secs_f64() * holds;
            let users = (users as u32).clamp(10, LONG.end - LONG.start);
            all.push(event(
                Duration::ZERO,
                (LONG.start..LONG.start + users).collect(),
            ));
            if rng.bool() {
                all.push(Publication {
                    repeats: Some(0),
                    ..all[0].clone()
                });
            }
            bursts(rng, 20, capacity, bad, &mut all);
        }
        // They are staged.
        Day::Relapses
        | Day::Throttled
        | Day::CutOff
        | Day::LongJudged
        | Day::Seldom
        | Day::OutOfReach
        | Day::Losses
        | Day::Spared
        | Day::BusyServer
        | Day::Gone => {}
    }
    all
}

pub(super) fn event(at: Duration, users: Vec<u32>) -> Publication {
    Publication {
        at,
        users,
        body: Body::Event,
        repeats: None,
    }
}

fn ahead(rng: &mut Rng, bad: &BTreeMap<u32, Bad>, all: &mut Vec<Publication>) {
    let most = *pick(rng, &[1, 1, 20]);
    let mut crowd: Vec<u32> = AHEAD.filter(|user| bad.contains_key(user)).collect();
    while !crowd.is_empty() {
        let users = rng.usize(1..=most).min(crowd.len());
        all.push(event(Duration::ZERO, crowd.drain(..users).collect()));
    }
}

fn steady(rng: &mut Rng, capacity: f64, bad: &BTreeMap<u32, Bad>, all: &mut Vec<Publication>) {
    let rate = pick::<f64>(rng, &[0.3, 1.0, 1.0, 5.0, 20.0]).min(capacity / 2.0);
    let lasts = *pick(rng, &[60.0, 200.0, 600.0]);
    for number in 0..(rate * lasts).min(2_000.0) as usize {
        let at = Duration::from_secs_f64(number as f64 / rate);
        let publication = one(rng, at, 1..2, USERS, bad, all);
        all.push(publication);
    }
}

fn bursts(
    rng: &mut Rng,
    budget: usize,
    capacity: f64,
    bad: &BTreeMap<u32, Bad>,
    all: &mut Vec<Publication>,
) {
    let mut at = Duration::ZERO;
    let hot = rng.u32(1..40);
    let mut users = 0;
    while users < budget {
        at += match rng.u32(..4) {
            0 => secs(rng.u64(0..40)),
            1 => ms(rng.u64(0..3_000)),
            _ => Duration::ZERO,
        };
        let (events, each) = match rng.u32(..12) {
            // Yet never more than a worker can do in a part of its hold limit.
            0 => (1, 1..(capacity as usize * 20).clamp(2, 900).min(budget + 1)),
            1..=2 => (rng.usize(1..20), 1..40.min(budget + 1)),
            3..=5 => (rng.usize(50..800).min(budget), 1..2),
            _ => (rng.usize(1..5), 1..2),
        };
        let ids = if rng.u32(..4) == 0 { 0..hot } else { USERS };
        for _ in 0..events {
            let publication = one(rng, at, each.clone(), ids.clone(), bad, all);
            users += publication.users.len().max(1);
            all.push(publication);
        }
    }
}

fn one(
    rng: &mut Rng,
    at: Duration,
    each: Range<usize>,
    ids: Range<u32>,
    bad: &BTreeMap<u32, Bad>,
    before: &[Publication],
) -> Publication {
    if !before.is_empty() && rng.u32(..30) == 0 {
        let repeats = rng.usize(..before.len());
        let first = before[repeats].repeats.unwrap_or(repeats);
        return Publication {
            at,
            repeats: Some(first),
            ..before[first].clone()
        };
    }
    let mut users: Vec<u32> = (0..rng.usize(each)).map(|_| rng.u32(ids.clone())).collect();
    if !bad.is_empty() && rng.u32(..40) == 0 {
        let number = rng.usize(..bad.len());
        users.extend(bad.keys().nth(number));
    }
    // An event names a user once: its IDs are made distinct when it is decoded.
    users.sort_unstable();
    users.dedup();
    let body = match rng.u32(..60) {
        0 => Body::Malformed,
        1 => Body::NotForUs,
        2 => Body::WithInvalidId,
        3..=5 => Body::WithoutKey,
        _ => Body::Event,
    };
    if matches!(body, Body::Malformed | Body::NotForUs) {
        users.clear();
    }
    Publication {
        at,
        users,
        body,
        repeats: None,
    }
}
