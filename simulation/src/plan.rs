//! What happens in a run: made from its seed alone, and plain enough to be made smaller.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::engine::{Class, MissingAccount, Settings, class, error_codes};
use fastrand::Rng;

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One bad day. What is not written here (delays, dice) the world draws from the same seed.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub settings: Settings,
    /// The broker closes a session that holds a delivery for longer.
    pub consumer_timeout: Duration,
    pub grace_period: Duration,
    pub request_timeout: Duration,
    /// How long the API works on a call, at least; it takes up to half as long again.
    pub latency: Duration,
    /// How long anything is under way between two parts, at most.
    pub jitter: Duration,
    /// How late a timer of the worker fires, at most.
    pub lateness: Duration,
    pub requeue: Requeue,
    /// Users with whom something is wrong for good.
    pub bad: BTreeMap<u32, Bad>,
    pub publications: Vec<Publication>,
    pub disturbances: Vec<Disturbance>,
    /// A second worker, a standby at first, starts at this moment.
    pub standby_at: Option<Duration>,
    /// Whether good events go on coming now and then until all is settled. Without them, rejected users
    /// are alone with the API at the end.
    pub trickle: bool,
}

/// Where the broker puts what comes back to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    Head,
    Tail,
    Anywhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// A call with this user is refused as a whole.
    Refused(i64),
    /// The call succeeds for all others.
    Listed(i64),
    /// A call with this user always fails for a reason that looks passing.
    Failing,
}

impl Bad {
    fn looks_passing(self) -> bool {
        match self {
            Bad::Refused(code) | Bad::Listed(code) => class(code) == Class::Transient,
            Bad::Failing => true,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Publication {
    pub at: Duration,
    pub users: Vec<u32>,
    pub body: Body,
    /// It is an earlier event, published once more.
    pub repeats: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Event,
    /// It holds an ID, too, that breaks the rule.
    WithInvalidId,
    WithoutKey,
    Malformed,
    NotForUs,
}

#[derive(Clone, Copy, Debug)]
pub struct Disturbance {
    pub at: Duration,
    pub lasts: Duration,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The API answers like this to that share of the calls.
    Api(Weather, f64),
    /// Calls under way to the API wait for the end of this, and arrive together.
    Held,
    /// The connection breaks, and both ends see it within milliseconds.
    Reset {
        worker: usize,
    },
    /// The connection is silent: the worker gives it up after seconds, the broker later.
    Silent {
        worker: usize,
    },
    BrokerDown,
    Letters(LetterFate),
    Kill {
        worker: usize,
    },
    /// Drained and started again.
    Restart {
        worker: usize,
    },
    /// The process stands still.
    Frozen {
        worker: usize,
    },
    /// All UserSigs made until now are expired from now on.
    UserSigExpires,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Refuses(i64),
    /// The answer contradicts itself.
    Unclear,
    /// No connection: the API never sees the call.
    Unreachable,
    /// The API does nothing and never answers.
    Hangs,
    /// The API does its work, and the answer is lost.
    AnswerLost,
    /// It takes so many times as long.
    Slow(u32),
    /// Every third user of a call is named with this code.
    Lists(i64),
    /// The secret cannot be read: no call is made.
    NoCredential,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterFate {
    /// Confirmed, after all this time.
    Late,
    Refused,
    /// Returned by the exchange, since no queue is bound.
    Returned,
    /// Taken, and never confirmed.
    Unconfirmed,
}

/// Half of the heartbeat after which the broker gives up a silent worker.
const LEASE: Duration = secs(5);
/// How long until a session is given up over a letter that is not confirmed.
pub const CONFIRM_LIMIT: Duration = secs(30);
const ALL_CODES: u32 = 400;

impl Plan {
    pub fn from_seed(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let calls_per_second = *pick(&mut rng, &[1, 2, 5, 20, 50, 100, 100, 100]);
        let max_ids = *pick(&mut rng, &[1, 2, 7, 20, 100, 100, 100]);
        let max_in_flight = *pick(&mut rng, &[1, 2, 16, 16, 32]);
        // Long enough for all tries of a window.
        let hold_limit = secs(*pick(&mut rng, &[240, 240, 600, 600]));
        let mut settings = Settings {
            max_ids,
            max_wait: ms(*pick(&mut rng, &[1, 50, 500, 500, 5_000])),
            max_in_flight,
            calls_per_second,
            quota_margin: ms(20),
            prefetch: match rng.u32(..4) {
                0 => rng.usize(10..100),
                _ => (max_ids * (max_in_flight + 2)).min(2_000),
            },
            lease: Some(LEASE),
            hold_limit,
            max_attempts: *pick(&mut rng, &[1, 2, 3, 8, 8, 8]),
            backoff_min: ms(*pick(&mut rng, &[20, 500, 500])),
            backoff_max: secs(*pick(&mut rng, &[1, 30, 30])),
            missing_account: *pick(
                &mut rng,
                &[
                    MissingAccount::Done,
                    MissingAccount::Done,
                    MissingAccount::DeadLetter,
                ],
            ),
            control_user: crate::promises::user(0),
            seed: rng.u64(..),
        };
        let latency = ms(*pick(&mut rng, &[1, 20, 20, 90, 400]));
        let jitter = ms(*pick(&mut rng, &[0, 2, 15, 30, 30]));
        let capacity = capacity(&settings, latency + jitter) as u64;
        let bad = bad_users(&mut rng);
        let publications = publications(&mut rng, capacity, &bad);
        if bad.values().any(|bad| bad.looks_passing()) {
            // Where everything in hand may be of users that always fail, none can ever be blamed.
            settings.prefetch = settings.prefetch.max(100);
        }
        let horizon = publications.last().map_or(secs(10), |last| last.at) + secs(20);
        Plan {
            seed,
            consumer_timeout: hold_limit * 2 + secs(60),
            grace_period: secs(25),
            request_timeout: secs(10),
            latency,
            jitter,
            lateness: ms(*pick(&mut rng, &[0, 2, 2, 30])),
            requeue: *pick(&mut rng, &[Requeue::Head, Requeue::Tail, Requeue::Anywhere]),
            disturbances: disturbances(&mut rng, horizon),
            publications,
            standby_at: rng.bool().then(|| secs(rng.u64(0..60))),
            // A user whose calls fail for reasons that look passing is only blamed while others succeed.
            trickle: rng.bool() || bad.values().any(|bad| bad.looks_passing()),
            bad,
            settings,
        }
    }

    /// How long all of it takes at the full pace.
    fn work(&self) -> Duration {
        let users: usize = self.publications.iter().map(|it| it.users.len()).sum();
        let capacity = capacity(&self.settings, self.latency + self.jitter);
        Duration::from_secs_f64(users as f64 / capacity)
    }

    /// Whether nothing happens but events, most of them good, so that each is done well within a hold limit.
    pub fn is_fair_weather(&self) -> bool {
        let bad = |event: &&Publication| event.users.iter().any(|user| self.bad.contains_key(user));
        self.disturbances.is_empty()
            && 4 * self.work() < self.settings.hold_limit
            && !self.bad.values().any(|bad| bad.looks_passing())
            && self.publications.iter().filter(bad).count() <= 1
    }

    /// Whether the API rejects this user itself, whatever the weather.
    pub fn is_rejected(&self, user: u32) -> bool {
        let rejects = |code| !matches!(class(code), Class::Missing | Class::Transient);
        self.bad.get(&user).is_some_and(|bad| match bad {
            Bad::Refused(code) | Bad::Listed(code) => rejects(*code),
            Bad::Failing => false,
        })
    }

    /// When the last planned thing is over.
    pub fn calm_from(&self) -> Duration {
        let published = self.publications.iter().map(|publication| publication.at);
        let disturbed = self.disturbances.iter().map(|it| it.at + it.lasts);
        published.chain(disturbed).max().unwrap_or_default()
    }

    /// From then on everything must be settled within this time, or the worker is stuck. It follows from
    /// what the engine promises: one lone rejected user in five minutes, a probe every minute at least, whole
    /// hold limits for what went back at the wrong moment, and the work itself at a third of the pace.
    pub fn patience(&self) -> Duration {
        let events = self.publications.len() as u32;
        let work = 3 * self.work();
        let users = self.publications.iter().flat_map(|it| &it.users);
        let bad: Vec<Bad> = users
            .filter_map(|user| self.bad.get(user).copied())
            .collect();
        let failing = bad.iter().filter(|bad| bad.looks_passing()).count() as u32;
        secs(1_800)
            + work
            // With all that fits into our hands, a window may be far from full, and waits all the same.
            + self.settings.max_wait * (events / self.settings.prefetch as u32)
            + ms(50) * events
            + secs(330) * (bad.len() as u32)
            + self.settings.hold_limit * (3 + failing / 8)
    }
}

/// Users a second that such a worker can do, calls that take up to twice as long included.
fn capacity(settings: &Settings, call: Duration) -> f64 {
    let by_calls = settings.max_in_flight as f64 / (2 * call).as_secs_f64();
    f64::from(settings.calls_per_second).min(by_calls) * settings.max_ids as f64
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}

fn bad_users(rng: &mut Rng) -> BTreeMap<u32, Bad> {
    let count = *pick(rng, &[0, 0, 1, 1, 2, 6]);
    let one = |rng: &mut Rng| match rng.u32(..10) {
        0..=4 => Bad::Refused(*pick(rng, &[90001, 90001, 60015, 70402])),
        5 => Bad::Refused(70107),
        6..=7 => Bad::Listed(*pick(rng, &[70107, 90001, 70402])),
        8 => Bad::Listed(70500),
        _ => Bad::Failing,
    };
    (0..count).map(|_| (rng.u32(..USERS), one(rng))).collect()
}

/// How many users the app has. Few enough that events meet the same ones again.
const USERS: u32 = 3_000;

fn publications(rng: &mut Rng, capacity: u64, bad: &BTreeMap<u32, Bad>) -> Vec<Publication> {
    let mut all: Vec<Publication> = Vec::new();
    let mut at = Duration::ZERO;
    let budget = (capacity * 300).min(*pick(rng, &[200, 1_000, 4_000])) as usize;
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
            0 => (1, 1..(capacity * 20).clamp(2, 900) as usize),
            1..=2 => (rng.usize(1..20), 1..40),
            3..=5 => (rng.usize(50..800), 1..2),
            _ => (rng.usize(1..5), 1..2),
        };
        let ids = if rng.u32(..4) == 0 { 0..hot } else { 0..USERS };
        for _ in 0..events {
            let publication = publication(rng, at, each.clone(), ids.clone(), bad, &all);
            users += publication.users.len().max(1);
            all.push(publication);
        }
    }
    all
}

fn publication(
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

fn disturbances(rng: &mut Rng, horizon: Duration) -> Vec<Disturbance> {
    let count = *pick(rng, &[0, 1, 2, 4, 8, 16]);
    let mut all: Vec<Disturbance> = (0..count)
        .map(|_| {
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
        })
        .collect();
    all.sort_by_key(|disturbance| disturbance.at);
    all
}

fn kind(rng: &mut Rng) -> Kind {
    let worker = rng.usize(..2);
    match rng.u32(..20) {
        0..=6 => {
            let share = *pick(rng, &[1.0, 1.0, 0.5, 0.1]);
            Kind::Api(weather(rng), share)
        }
        7 => Kind::Held,
        8..=9 => Kind::Reset { worker },
        10 => Kind::Silent { worker },
        11 => Kind::BrokerDown,
        12..=14 => Kind::Letters(*pick(
            rng,
            &[
                LetterFate::Late,
                LetterFate::Refused,
                LetterFate::Returned,
                LetterFate::Unconfirmed,
            ],
        )),
        15 => Kind::Kill { worker },
        16..=17 => Kind::Restart { worker },
        18 => Kind::Frozen { worker },
        _ => Kind::UserSigExpires,
    }
}

fn weather(rng: &mut Rng) -> Weather {
    match rng.u32(..16) {
        0..=3 => Weather::Refuses(*pick(rng, &[91000, 60007, 90001, 90045, 90009, 70009])),
        4..=5 => {
            let codes = error_codes();
            Weather::Refuses(codes[rng.u32(..ALL_CODES) as usize % codes.len()].code)
        }
        6 => Weather::Refuses(-1),
        7 => Weather::Unclear,
        8..=9 => Weather::Unreachable,
        10 => Weather::Hangs,
        11 => Weather::AnswerLost,
        12..=13 => Weather::Slow(*pick(rng, &[2, 10, 40])),
        14 => Weather::Lists(*pick(rng, &[70500, 90001, 70107, 60007, -7])),
        _ => Weather::NoCredential,
    }
}
