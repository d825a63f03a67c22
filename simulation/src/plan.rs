//! The plan of a run: derived from its seed alone, and simple enough to be shrunk.

mod bad;
mod bounds;
mod disturbances;
mod publications;
mod settings;
mod staged;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::Settings;
pub use bounds::{Backoff, Fewest};
use fastrand::Rng;

use crate::codes::{self, Meaning};
use crate::weather::{Reach, Weather};

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
    /// The broker drops an event that comes back to the queue more often.
    pub delivery_limit: Option<u32>,
    /// Users that the API never takes, whatever the weather. All others it takes whenever it works.
    pub bad: BTreeMap<u32, Bad>,
    pub control: Control,
    pub publications: Vec<Publication>,
    pub disturbances: Vec<Disturbance>,
    /// A second worker, a standby at first, starts at this moment.
    pub standby_at: Option<Duration>,
    /// How often a good event comes once everything planned is over, until all of that is settled. None: bad
    /// users are alone with the API at the end.
    pub trickle: Option<Duration>,
}

/// Where the broker puts what comes back to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    Head,
    Tail,
    Anywhere,
}

/// How often the broker takes an event back before it drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    Many,
    /// So few that they are left for lost sessions.
    Few,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// A call with this user is refused as a whole.
    Refused(i64),
    /// The call is done for all others.
    Listed(i64),
    /// A call with this user has no usable answer: a server error, a broken body.
    Failing,
    /// A call with this user is never answered.
    Hangs,
}

impl Bad {
    /// The code that the API has for this user, if it has one.
    pub fn code(self) -> Option<i64> {
        match self {
            Bad::Refused(code) | Bad::Listed(code) => Some(code),
            Bad::Failing | Bad::Hangs => None,
        }
    }

    /// Whether the API's answer can have no other cause than this user: it is no failure of our own key.
    pub fn is_user_at_fault(self) -> bool {
        let meaning = self.code().map(codes::meaning);
        !matches!(
            meaning,
            Some(Meaning::Auth | Meaning::Ambiguous | Meaning::Missing)
        )
    }

    /// Whether the API merely does not know the user: then nothing is left to clear.
    pub fn is_missing(self) -> bool {
        self.code().is_some_and(codes::is_missing)
    }
}

/// What the API says to calls for the control user while it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Known,
    /// There is no such account: nobody has imported it. Said in `ErrorList`, or of the whole call.
    Unknown {
        listed: bool,
    },
    /// It takes everybody but this user.
    Refused(i64),
}

impl Control {
    /// Whether a call for the control user can show that the API works, and such a user is bad. The contract
    /// says so: "no such account" shows it only where the user is rejected.
    pub fn shows(self, bad: Bad) -> bool {
        match self {
            Control::Known => true,
            Control::Unknown { .. } => bad
                .code()
                .is_some_and(|code| codes::meaning(code) == Meaning::Reject),
            Control::Refused(_) => false,
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
    /// The API is like this to the calls that are within reach.
    Api(Weather, Reach),
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
    /// An operator wants no calls of this worker.
    OperatorPause {
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

/// The kind of day that a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    /// Bursts and pauses, a few bad users.
    Ordinary,
    /// Events come one by one, at an even pace.
    Steady,
    /// Of all users a good part is bad.
    ManyBad,
    /// A crowd of bad users stands at the head of the queue, good ones behind it.
    BadAhead,
    /// One event has more users than one hold limit is enough for.
    LongEvent,
    /// The API refuses everybody, works for a moment, and refuses everybody again.
    Relapses,
    /// The API calls it too much for a moment.
    Throttled,
    /// It takes more than a hold limit until a user is known to be bad.
    LongJudged,
    /// A worker with a lot in its hands loses the queue to another.
    CutOff,
    /// A user hangs, good ones come now and then, and the control user shows nothing.
    Seldom,
    /// For many hold limits the API gives no answer.
    OutOfReach,
    /// The broker goes away again and again, and drops what comes back often.
    Losses,
    /// An outage of all accounts but the control user's.
    Spared,
    /// One of the API's servers asks for time, again and again.
    BusyServer,
    /// Nobody has an account any more, and the API fails now and then.
    Gone,
}

impl Plan {
    pub fn from_seed(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let day = match rng.u32(..208) {
            0..103 => Day::Ordinary,
            103..105 => Day::Losses,
            105..108 => Day::Seldom,
            108..111 => Day::OutOfReach,
            111..158 => Day::Steady,
            158..161 => Day::LongJudged,
            161..173 => Day::ManyBad,
            173..185 => Day::BadAhead,
            185..189 => Day::LongEvent,
            189..194 => Day::Relapses,
            194..197 => Day::Throttled,
            197..200 => Day::CutOff,
            200..203 => Day::Spared,
            203..205 => Day::BusyServer,
            _ => Day::Gone,
        };
        let settings = settings::draw(&mut rng, day);
        let latency = match day {
            Day::Throttled => ms(400),
            _ => ms(*pick(&mut rng, &[1, 20, 20, 90, 400])),
        };
        let jitter = ms(*pick(&mut rng, &[0, 2, 15, 30, 30]));
        let capacity = bounds::capacity(&settings, latency + jitter);
        let control = bad::control(&mut rng, day);
        let bad = bad::users(&mut rng, day, &settings);
        let (publications, mut disturbances) = match day {
            Day::Relapses => staged::relapses(&mut rng, &settings),
            Day::Throttled => staged::throttled(&mut rng, &settings, latency),
            Day::CutOff => staged::cut_off(&mut rng, &settings, capacity),
            Day::LongJudged => staged::long_judged(&mut rng, &bad),
            Day::Losses => staged::losses(&mut rng),
            Day::Seldom => staged::seldom(&mut rng, &bad),
            Day::OutOfReach => staged::out_of_reach(&mut rng, &settings),
            Day::Spared => staged::spared(&mut rng, &settings, &bad),
            Day::BusyServer => staged::busy_server(&mut rng, &settings),
            Day::Gone => staged::gone(&mut rng),
            _ => {
                let publications = publications::draw(&mut rng, day, &settings, capacity, &bad);
                let horizon = publications.last().map_or(secs(10), |last| last.at) + secs(20);
                let disturbances = disturbances::draw(&mut rng, day, &settings, horizon);
                (publications, disturbances)
            }
        };
        disturbances::operator_pauses(seed, &settings, &publications, &mut disturbances);
        let mut plan = Plan {
            seed,
            consumer_timeout: settings.hold_limit * 2 + secs(60),
            grace_period: secs(25),
            request_timeout: secs(10),
            latency,
            jitter,
            lateness: ms(*pick(&mut rng, &[0, 2, 2, 30])),
            requeue: match day {
                Day::BadAhead | Day::OutOfReach => Requeue::Head,
                _ => *pick(&mut rng, &[Requeue::Head, Requeue::Tail, Requeue::Anywhere]),
            },
            delivery_limit: None,
            disturbances,
            publications,
            standby_at: match day {
                Day::CutOff => Some(secs(rng.u64(1..4))),
                _ => rng.bool().then(|| secs(rng.u64(0..60))),
            },
            trickle: None,
            bad,
            control,
            settings,
        };
        if matches!(day, Day::ManyBad | Day::BadAhead | Day::LongJudged) && !plan.is_measured() {
            // The limit that README names: where control calls show nothing, bad users that fill our hands keep
            // out the good ones, by whom they would be judged.
            plan.control = Control::Known;
        }
        let often = secs(1).max(secs(4) / plan.settings.calls_per_second);
        plan.trickle = match rng.u32(..4) {
            _ if day == Day::Seldom => Some(secs(20)),
            _ if day == Day::Gone => None,
            _ if !plan.is_measured() => Some(often),
            0 => Some(often),
            1 => Some(secs(20)),
            _ => None,
        };
        if !plan.is_measured() {
            // Where only good users can show that the API works, there must be room for some of them.
            let room = 100 + 2 * plan.bad_named().count();
            plan.settings.prefetch = plan.settings.prefetch.max(room);
            plan.settings.calls_per_second = plan.settings.calls_per_second.max(5);
        }
        if plan.calling_bad() > plan.settings.hold_limit / 4 {
            // The limit that OPERATIONS.md names: an event without a key begins anew each time that it goes back.
            let keyless = |event: &&mut Publication| event.body == Body::WithoutKey;
            for event in plan.publications.iter_mut().filter(keyless) {
                event.body = Body::Event;
            }
        }
        plan.delivery_limit = match day {
            Day::Losses => Some(rng.u32(3..=5)),
            _ => (rng.u32(..5) == 0).then(|| rng.u32(3..=20)),
        };
        plan
    }

    /// How often an event that came back so often may do so again. The last quarter of the limit, and once at
    /// least, is left for lost sessions.
    pub fn returns_left(&self, returned: u32) -> Returns {
        let left = self
            .delivery_limit
            .map(|limit| (limit.saturating_sub(returned), limit / 4));
        match left {
            Some((0, _)) => Returns::None,
            Some((left, reserve)) if left <= reserve.max(1) => Returns::Few,
            _ => Returns::Many,
        }
    }

    /// The bad users that any event names.
    pub fn named_bad(&self) -> BTreeMap<u32, Bad> {
        let users = self.publications.iter().flat_map(|event| &event.users);
        let bad = users.filter_map(|user| Some((*user, *self.bad.get(user)?)));
        bad.collect()
    }

    /// Whether the API takes this user whenever it works.
    pub fn is_innocent(&self, user: u32) -> bool {
        self.bad.get(&user).is_none_or(|bad| bad.is_missing())
    }
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}
