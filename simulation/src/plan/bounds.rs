//! Upper bounds for the duration and the calls of a plan, from its work, its bad users and the
//! contract.

use std::ops::Range;
use std::time::Duration;

use crate::engine::Settings;

use super::{Bad, Control, Disturbance, Kind, Plan, Publication, ms, secs};
use crate::codes::{self, Meaning};
use crate::weather::{Code, Reach, Weather};

/// Tries of a bad user that stands alone, until it is believed to be bad. In a silent queue it takes ten to
/// twelve, within five minutes.
const TRIES: u32 = 20;
const ONE_JUDGEMENT: Duration = secs(330);
/// Many users that only the control user speaks against may be let alone for so long, and if they keep out others.
const CROWD: usize = 8;
const CROWD_WAITS: Duration = secs(32 * 60);
const CROWD_IN_THE_WAY: Duration = secs(5 * 60);
const CROWD_TRIES: u32 = 32;
/// What is made of the pace after one halving, or beside a server that asks for time, at the least.
const OVERLOADED: f64 = 0.4;

/// Users a second that such a worker can do, calls that take up to twice as long included.
pub(super) fn capacity(settings: &Settings, call: Duration) -> f64 {
    calls_a_second(settings, call) * settings.max_ids as f64
}

fn calls_a_second(settings: &Settings, call: Duration) -> f64 {
    let by_calls = settings.max_in_flight as f64 / (2 * call).as_secs_f64();
    f64::from(settings.calls_per_second).min(by_calls)
}

/// How long a refused user is let alone.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
}

impl Backoff {
    /// The least time between so many refusals of a user alone and its next call: `retry.backoff_min`, doubled
    /// each time up to `retry.backoff_max`, with jitter, which takes half of it at most.
    pub fn least(self, refusals: u32) -> Duration {
        let doubled = self.min * (1 << (refusals - 1).min(12));
        doubled.min(self.max) / 2
    }
}

/// While there are a lot more to make, so many calls are to be made within a time, whatever a part of the answers says.
#[derive(Clone, Debug)]
pub struct Fewest {
    pub within: Range<Duration>,
    pub calls: u64,
}

/// How soon after an overload.
const SOON: Duration = secs(10);

impl Plan {
    pub fn backoff(&self) -> Backoff {
        Backoff {
            min: self.settings.backoff_min,
            max: self.settings.backoff_max,
        }
    }

    /// An overload so short that no call is made after the first answer of it is one and the same overload: half
    /// of the pace is left, and grows again. One server of several that asks for time holds up nobody else.
    pub fn fewest_calls(&self) -> Option<Fewest> {
        let [only] = self.disturbances.as_slice() else {
            return None;
        };
        let end = only.at + only.lasts;
        let within = match only.kind {
            Kind::Api(Weather::Refuses(Code::Always(code)), Reach::All)
                if codes::meaning(code) == Meaning::Throttle && only.lasts <= self.latency =>
            {
                end..end + SOON
            }
            Kind::Api(Weather::Gateway(503, Some(_)), Reach::FrontEnd { of: 4.. }) => only.at..end,
            _ => return None,
        };
        let quota = self.settings.calls_per_second;
        let early = self.publications.iter().filter(|event| event.at <= only.at);
        let users: usize = early.map(|event| event.users.len()).sum();
        let by_then = within.end.as_secs_f64() + 1.0;
        let is_enough = users as f64 >= by_then * f64::from(quota) * self.settings.max_ids as f64;
        let call = self.latency + self.jitter;
        // Of events for one user each.
        let in_hand = self.settings.prefetch.div_ceil(self.settings.max_ids) as f64;
        let pace = calls_a_second(&self.settings, call).min(in_hand / (2 * call).as_secs_f64());
        let lasts = within.end - within.start;
        let calls = (lasts.as_secs_f64() * pace * OVERLOADED) as u64;
        is_enough.then_some(Fewest { within, calls })
    }

    /// How long the calls for all users take at the full pace, if none fails.
    fn work(&self) -> Duration {
        let users = self.publications.iter().map(|event| event.users.len());
        let users: usize = users.sum();
        let capacity = capacity(&self.settings, self.latency + self.jitter);
        let events = self.publications.len() as u32;
        Duration::from_secs_f64(users as f64 / capacity)
            // With all that fits into our hands, a window may be far from full, and waits and is called all the same.
            + (self.settings.max_wait + self.latency + self.jitter)
                * (events / self.settings.prefetch as u32)
    }

    /// Users that each event names and that are bad, once for each event.
    pub fn bad_named(&self) -> impl Iterator<Item = Bad> + '_ {
        let users = self.publications.iter().flat_map(|event| &event.users);
        users.filter_map(|user| self.bad.get(user).copied())
    }

    fn names_bad(&self, event: &Publication) -> bool {
        event.users.iter().any(|user| self.bad.contains_key(user))
    }

    /// In how many steps a full window is split until a user of it stands alone.
    fn levels(&self) -> u32 {
        self.settings.max_ids.next_power_of_two().ilog2()
    }

    /// Whether so many users are bad, and not by a code that accuses a user, that it looks like an outage.
    fn is_crowded(&self) -> bool {
        let accused = |bad: &Bad| {
            let meaning = bad.code().map(codes::meaning);
            matches!(meaning, Some(Meaning::Reject | Meaning::Missing))
        };
        self.named_bad()
            .values()
            .filter(|bad| !accused(bad))
            .count()
            >= CROWD
    }

    /// Calls that a bad user costs: two halves for each step of a split, and its tries alone.
    fn calls_of_bad(&self) -> u32 {
        let crowd = if self.is_crowded() { CROWD_TRIES } else { 0 };
        2 * self.levels() + TRIES + crowd
    }

    /// How long the calls of all bad users take at half the pace.
    pub(super) fn calling_bad(&self) -> Duration {
        let named = self.bad_named().count() as u32;
        let hanging = self.bad_named().filter(|bad| *bad == Bad::Hangs).count() as u32;
        let pace = calls_a_second(&self.settings, self.latency + self.jitter);
        Duration::from_secs_f64(2.0 * f64::from(named * self.calls_of_bad()) / pace)
            + self.request_timeout * hanging * self.calls_of_bad()
    }

    /// How long it takes until all bad users are known to be bad: their calls, and the time between tries.
    /// As many as are in our hands are judged at the same time.
    fn judging(&self) -> Duration {
        let hands = self.bad_named().count().div_ceil(self.settings.prefetch);
        let crowd = if self.is_crowded() {
            CROWD_IN_THE_WAY
        } else {
            Duration::ZERO
        };
        self.calling_bad() + (ONE_JUDGEMENT + crowd) * (hands as u32 + 1)
    }

    /// How long those of them may be let alone who keep nobody out.
    fn crowd_waits(&self) -> Duration {
        if self.is_crowded() {
            CROWD_WAITS
        } else {
            Duration::ZERO
        }
    }

    /// When the last planned thing is over.
    pub fn calm_from(&self) -> Duration {
        let published = self.publications.iter().map(|publication| publication.at);
        let disturbed = self.disturbances.iter().map(|spell| spell.at + spell.lasts);
        published.chain(disturbed).max().unwrap_or_default()
    }

    /// From then on everything must be settled within this time, or the worker is stuck: the work itself at a
    /// third of the pace, the bad users one handful after another, whole hold limits for what went back at the
    /// wrong moment, and half an hour, in which the API is probed every minute at least and what it refused
    /// in bad weather is forgotten.
    pub fn patience(&self) -> Duration {
        let hold_limit = self.settings.hold_limit;
        let judging = self.judging() + self.crowd_waits();
        let handfuls = judging.as_secs() / hold_limit.as_secs();
        // A control user that the API has never taken is trusted for an hour of a pause, by the default limit.
        let trusted = match self.control {
            Control::Refused(_) => 6,
            Control::Known | Control::Unknown { .. } => 0,
        };
        let holds = 4 + trusted + handfuls + self.work().as_secs() / hold_limit.as_secs();
        // Where good users alone show that the API works, they come one by one.
        let slow = if self.is_measured() { 1 } else { 3 };
        secs(1_800) * slow
            + 3 * self.work()
            + ms(50) * self.publications.len() as u32
            + 2 * (self.judging() + self.crowd_waits())
            + hold_limit * holds as u32
    }

    /// Whether nothing happens but events.
    pub fn is_undisturbed(&self) -> bool {
        self.disturbances.is_empty()
    }

    /// Whether the control user shows of each bad user that it is not the API. Where it does not, and nobody
    /// good comes, a worker can only wait and probe.
    pub fn is_measured(&self) -> bool {
        self.bad_named()
            .all(|bad| bad.is_missing() || self.control.shows(bad))
    }

    /// Whether nothing happens but events, most of them good, so that each is done well within a hold limit.
    pub fn is_fair_weather(&self) -> bool {
        let takes_offence = |bad: Bad| {
            let meaning = bad.code().map(codes::meaning);
            matches!(meaning, Some(Meaning::Reject | Meaning::Missing))
        };
        let bad = self
            .publications
            .iter()
            .filter(|event| self.names_bad(event));
        self.is_undisturbed()
            && 4 * self.work() < self.settings.hold_limit
            && self.is_measured()
            && self.bad_named().all(takes_offence)
            && bad.count() <= 1
    }

    /// Where nothing is disturbed, and the control user shows that the API works, an event without bad users is
    /// settled within this time, however many bad ones stand before it. While they leave half of our hands
    /// free, only their calls are in its way; else it waits until they are judged.
    pub fn longest_wait(&self) -> Duration {
        // Acknowledgements may wait for older ones for some seconds.
        let good = secs(15) + 2 * self.settings.max_wait + 3 * self.work();
        match self.bad_named().count() {
            0 => good,
            named if 2 * named <= self.settings.prefetch => good + secs(60) + self.calling_bad(),
            _ => good + secs(60) + self.judging(),
        }
    }

    /// When every bad user has been called once, at half the pace, and so have those who came with it, if all of
    /// them leave half of our hands free.
    pub fn all_called(&self) -> Duration {
        let bad = self
            .publications
            .iter()
            .filter(|event| self.names_bad(event));
        let last = bad.map(|event| event.at).max().unwrap_or_default();
        let called = last + secs(2) + 2 * self.settings.max_wait + 2 * self.work();
        let company = self.publications.iter().filter(|event| event.at <= called);
        let company: usize = company.map(|event| event.users.len().max(1)).sum();
        match 2 * company <= self.settings.prefetch {
            true => called,
            false => Duration::MAX,
        }
    }

    /// From then on nobody waits for the tries of bad users: most calls are for who was not called yet.
    pub fn longest_wait_behind(&self) -> Duration {
        let hanging = self.bad_named().filter(|bad| *bad == Bad::Hangs).count() as u32;
        secs(20)
            + 2 * self.settings.max_wait
            + 3 * self.work()
            + self.request_timeout * hanging * self.calls_of_bad()
    }

    /// Under the same conditions every event is settled within this time, bad users and all.
    pub fn longest_judgement(&self) -> Duration {
        let judging = self.judging() + self.crowd_waits();
        // Whoever goes back meanwhile is split off its company once more.
        let again = match judging > self.settings.hold_limit {
            true => 4 * judging,
            false => Duration::ZERO,
        };
        secs(75) + 2 * self.settings.max_wait + 4 * self.work() + judging + again
    }

    /// Calls that a good user may be in for one event that names it, where nothing is disturbed, and the control
    /// user shows that the API works: one, or two for each step of a split with a bad one, and some more.
    pub fn most_calls_of_innocent(&self) -> u32 {
        match self.bad_named().next() {
            None => 1,
            Some(_) => 2 * (self.levels() + 1) + 4,
        }
    }

    /// Calls that all users together may cost in so much time, where the same holds and nothing goes back: full
    /// windows, one that is not full in each `max_wait`, and what bad users cost.
    pub fn most_calls(&self, users: u64, took: Duration) -> u64 {
        let settings = &self.settings;
        let bad = self.bad_named().count() as u64;
        let not_full = took.as_micros() / settings.max_wait.as_micros() + 2;
        users.div_ceil(settings.max_ids as u64)
            + (not_full as u64).min(users)
            + bad * u64::from(self.calls_of_bad())
    }

    /// How many IDs may wait at most: the room for them, what may wait of long events, the event that fills it,
    /// and what comes back from calls.
    pub fn most_pending(&self) -> usize {
        const LONG: usize = 20_000;
        let settings = &self.settings;
        let events = self.publications.iter().map(|event| event.users.len());
        let room = settings.prefetch.max(2 * settings.max_ids)
            + events.max().unwrap_or_default()
            + settings.max_in_flight * settings.max_ids;
        room + LONG
    }

    /// Whether the API knows the control user, and only fails to answer.
    pub fn is_out_of_reach(&self) -> bool {
        let answers = |disturbance: &Disturbance| match disturbance.kind {
            Kind::Api(weather, _) => weather.has_code(),
            _ => false,
        };
        self.control == Control::Known && !self.disturbances.iter().any(answers)
    }

    /// Where the API refuses the control user, and next to nobody else: until when good events come one after the
    /// other.
    pub fn contradicted_until(&self) -> Option<Duration> {
        let is_refused = matches!(self.control, Control::Refused(_));
        if !is_refused || !self.is_undisturbed() || self.bad_named().count() > 1 {
            return None;
        }
        let good = self
            .publications
            .iter()
            .filter(|event| !event.users.is_empty() && !self.names_bad(event));
        let mut until = Duration::ZERO;
        for event in good {
            if event.at > until + secs(2) {
                break;
            }
            until = event.at;
        }
        Some(until)
    }

    /// The one outage of everything that outlasts hold limits, where nothing else is disturbed.
    pub fn long_outage(&self) -> Option<(Duration, Duration)> {
        let [only] = self.disturbances.as_slice() else {
            return None;
        };
        let Kind::Api(weather, Reach::All) = only.kind else {
            return None;
        };
        (weather.stops_everything() && only.lasts > 2 * self.settings.hold_limit)
            .then_some((only.at, only.at + only.lasts))
    }
}
