//! Scripted scenarios that combine events and faults in ways that chance rarely produces.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::Settings;
use fastrand::Rng;

use super::publications::event;
use super::{Bad, Disturbance, Kind, Publication, ms, pick, secs};
use crate::codes::{self, Meaning};
use crate::names::{LONG, USERS};
use crate::weather::{Code, Reach, Weather};

type Day = (Vec<Publication>, Vec<Disturbance>);

/// The API refuses everybody while next to nobody is called, works for a moment in which many are, and then
/// refuses everybody again, or nearly.
pub(super) fn relapses(rng: &mut Rng, settings: &Settings) -> Day {
    let (mut events, mut spells) = (Vec::new(), Vec::new());
    let mut at = secs(3);
    let quota = settings.calls_per_second;
    for _ in 0..rng.u32(1..=6) {
        let weather = refuses_all(rng);
        let first = ms(rng.u64(200..8_000));
        for _ in 0..rng.u32(1..=2) {
            let early = first.mul_f64(rng.f64() / 2.0);
            events.push(event(at + early, vec![rng.u32(USERS)]));
        }
        spells.push(spell(at, first, weather));
        at += first;
        let works = ms(rng.u64(300..4_000));
        let calls = f64::from(quota) * works.as_secs_f64() / 2.0;
        for _ in 0..calls as usize {
            let users = (0..settings.max_ids).map(|_| rng.u32(USERS));
            let users = users.collect::<BTreeSet<u32>>();
            events.push(event(at, users.into_iter().collect()));
        }
        at += works;
        let second = secs(rng.u64(5..40));
        // Or nearly everybody: what went through by then says nothing of those who are refused now.
        let reach = *pick(rng, &[Reach::All, Reach::Chance(0.75), Reach::Chance(0.9)]);
        spells.push(Disturbance {
            kind: Kind::Api(weather, reach),
            ..spell(at, second, weather)
        });
        at += second + secs(rng.u64(10..60));
    }
    events.sort_by_key(|event| event.at);
    (events, spells)
}

fn refuses_all(rng: &mut Rng) -> Weather {
    let says_nothing_of_settings = |meaning| {
        matches!(
            meaning,
            Meaning::Transient | Meaning::Unknown | Meaning::Reject
        )
    };
    match rng.u32(..7) {
        0 => Weather::Unreachable,
        1 => Weather::Unclear,
        2 => Weather::gateway(rng),
        _ => Weather::Refuses(Code::Always(codes::draw(rng, says_nothing_of_settings))),
    }
}

/// The queue is full, and for as long as one call takes the API says that calls come too often.
pub(super) fn throttled(rng: &mut Rng, settings: &Settings, latency: Duration) -> Day {
    let at = ms(rng.u64(3_000..6_000));
    let calls = settings.calls_per_second * (at.as_secs() as u32 + 15);
    let users = calls * settings.max_ids as u32;
    let events = LONG.take(users as usize);
    let events = events.map(|user| event(Duration::ZERO, vec![user]));
    let code = codes::draw(rng, |meaning| meaning == Meaning::Throttle);
    let weather = Weather::Refuses(Code::Always(code));
    (events.collect(), vec![spell(at, latency, weather)])
}

/// A worker with a lot in its hands is cut off, or stands still for a while, and the other one takes over.
pub(super) fn cut_off(rng: &mut Rng, settings: &Settings, capacity: f64) -> Day {
    let each = (capacity * 40.0) as usize;
    let users: Vec<u32> = LONG
        .take(settings.max_ids * settings.calls_per_second as usize * 150)
        .collect();
    let events = users.chunks(each.max(1));
    let events = events.map(|users| event(Duration::ZERO, users.to_vec()));
    let stands_still = Disturbance {
        at: ms(rng.u64(4_000..20_000)),
        lasts: ms(rng.u64(15_000..60_000)),
        kind: match rng.bool() {
            true => Kind::Silent { worker: 0 },
            false => Kind::Frozen { worker: 0 },
        },
    };
    (events.collect(), vec![stands_still])
}

/// A few events, each with a bad user in company, and a silent queue behind them.
pub(super) fn long_judged(rng: &mut Rng, bad: &BTreeMap<u32, Bad>) -> Day {
    let events = bad.keys().map(|user| {
        let company = rng.u32(0..4);
        let users = (0..company).chain([*user]).collect();
        event(ms(rng.u64(0..3_000)), users)
    });
    let mut events: Vec<Publication> = events.collect();
    events.sort_by_key(|event| event.at);
    (events, Vec::new())
}

/// One event with a bad user, and good ones for ten minutes.
pub(super) fn seldom(rng: &mut Rng, bad: &BTreeMap<u32, Bad>) -> Day {
    let apart = *pick(rng, &[1, 20]);
    let first = event(Duration::ZERO, bad.keys().copied().collect());
    let good = (0..600 / apart).map(|number| event(secs(number * apart), vec![rng.u32(USERS)]));
    let events = std::iter::once(first).chain(good);
    (events.collect(), Vec::new())
}

/// A few events come before an outage or in it, and no control call has been made.
pub(super) fn out_of_reach(rng: &mut Rng, settings: &Settings) -> Day {
    let weathers = [
        Weather::Unreachable,
        Weather::Hangs,
        Weather::AnswerLost,
        Weather::Unclear,
        Weather::NoCredential,
        Weather::Gateway(503, Some(secs(rng.u64(20..120)))),
    ];
    let weather = *pick(rng, &weathers);
    let count = rng.u64(1..200);
    let events = (0..count).map(|number| event(secs(number), vec![rng.u32(USERS)]));
    let events = events.collect();
    let lasts = settings.hold_limit * *pick(rng, &[10, 14]);
    (events, vec![spell(secs(rng.u64(0..count)), lasts, weather)])
}

/// The API refuses everybody, so that all events stay in hand, while session after session is lost.
pub(super) fn losses(rng: &mut Rng) -> Day {
    let events = (0..rng.u64(1..30)).map(|number| event(secs(number), vec![rng.u32(USERS)]));
    let events = events.collect();
    let mut disturbances = vec![spell(secs(0), secs(300), refuses_all(rng))];
    let mut at = secs(30);
    for _ in 0..rng.u32(4..8) {
        disturbances.push(Disturbance {
            at,
            lasts: ms(rng.u64(100..5_000)),
            kind: Kind::BrokerDown,
        });
        at += secs(rng.u64(15..35));
    }
    (events, disturbances)
}

/// The API fails for everybody but the control user, while many are called. For three minutes, or for half an hour where
/// they leave room for others, this must not cost anybody a letter; not even where it has condemned a bad user before, for
/// something else.
pub(super) fn spared(rng: &mut Rng, settings: &Settings, bad: &BTreeMap<u32, Bad>) -> Day {
    let users = rng.u32(20..200);
    let at = match bad.is_empty() {
        true => secs(rng.u64(0..3)),
        false => secs(rng.u64(60..600)),
    };
    // An operator's pause may keep the early ones back.
    let leaves_room = settings.prefetch as u64 > 2 * u64::from(users) + at.as_secs() + 10;
    let lasts = match leaves_room && rng.bool() {
        true => secs(rng.u64(170..1_700)),
        false => secs(rng.u64(10..170)),
    };
    let mut events: Vec<Publication> = bad.keys().map(|user| event(secs(0), vec![*user])).collect();
    let early = (0..at.as_secs()).map(|number| event(secs(number), vec![rng.u32(0..20)]));
    events.extend(early);
    events.extend((20..20 + users).map(|user| event(at, vec![user])));
    let accuses_nobody = |meaning| {
        matches!(
            meaning,
            Meaning::Transient | Meaning::Unknown | Meaning::Config
        )
    };
    let known: Vec<Option<i64>> = bad.values().map(|bad| bad.code()).collect();
    let code = loop {
        let code = codes::draw(rng, accuses_nobody);
        if !known.contains(&Some(code)) {
            break code;
        }
    };
    let weather = Weather::SparesControl(code);
    if rng.bool() {
        return (events, vec![spell(at, lasts, weather)]);
    }
    // It works again for a moment in between, and then many more are called.
    let (first, works) = (lasts.mul_f64(rng.f64()), ms(rng.u64(200..3_000)));
    let again = at + first + works;
    events.extend((220..220 + users).map(|user| event(again, vec![user])));
    let spells = vec![
        spell(at, first, weather),
        spell(again, lasts - first, weather),
    ];
    (events, spells)
}

/// The queue is full, and one server of several asks to be left alone for a while, whoever calls it.
pub(super) fn busy_server(rng: &mut Rng, settings: &Settings) -> Day {
    let at = ms(rng.u64(3_000..6_000));
    let lasts = secs(rng.u64(60..150));
    let seconds = (at + lasts).as_secs() as usize + 15;
    let users = settings.calls_per_second as usize * seconds * settings.max_ids;
    let events = LONG
        .take(users)
        .map(|user| event(Duration::ZERO, vec![user]));
    let busy = Disturbance {
        at,
        lasts,
        kind: Kind::Api(
            Weather::Gateway(503, Some(secs(rng.u64(5..60)))),
            Reach::FrontEnd { of: rng.u32(4..=8) },
        ),
    };
    (events.collect(), vec![busy])
}

/// The accounts were deleted before their events came, and the API fails for everybody now and then.
pub(super) fn gone(rng: &mut Rng) -> Day {
    let events = (0..rng.u64(20..600)).map(|number| event(ms(number * 200), vec![rng.u32(USERS)]));
    let events: Vec<Publication> = events.collect();
    let mut spells = Vec::new();
    let mut at = secs(rng.u64(0..20));
    for _ in 0..rng.u32(1..5) {
        let lasts = secs(rng.u64(1..120));
        spells.push(spell(at, lasts, refuses_all(rng)));
        at += lasts + secs(rng.u64(5..60));
    }
    (events, spells)
}

fn spell(at: Duration, lasts: Duration, weather: Weather) -> Disturbance {
    let kind = Kind::Api(weather, Reach::All);
    Disturbance { at, lasts, kind }
}
