//! The simulated API as a worker sees it: its weather, its quota, and the users that it always
//! refuses.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use crate::engine::Answer;
use fastrand::Rng;

use crate::codes::NO_SUCH_ACCOUNT;
use crate::names::{CONTROL, user};
use crate::plan::{Bad, Control, Plan, secs};
use crate::weather::{Listed, Reach, Weather};

#[derive(Debug)]
pub struct Api {
    quota: usize,
    latency: Duration,
    bad: BTreeMap<u32, Bad>,
    control: Control,
    /// Until when, what, and which calls it meets.
    weather: Vec<(Duration, Weather, Reach)>,
    /// The calls of the last second, and which worker made them.
    counted: VecDeque<(Duration, usize)>,
    /// UserSigs of an earlier generation are expired.
    pub user_sigs: u32,
}

/// What comes of a call that has arrived.
#[derive(Debug)]
pub struct Outcome {
    pub took: Duration,
    /// None: there will be no answer.
    pub answer: Option<Answer>,
}

impl Api {
    pub fn new(plan: &Plan) -> Api {
        Api {
            quota: plan.settings.calls_per_second as usize,
            latency: plan.latency,
            bad: plan.bad.clone(),
            control: plan.control,
            weather: Vec::new(),
            counted: VecDeque::new(),
            user_sigs: 0,
        }
    }

    pub fn set_weather(&mut self, until: Duration, weather: Weather, reach: Reach) {
        self.weather.push((until, weather, reach));
    }

    /// What the weather does to one call. The newest spell counts first.
    pub fn weather(&mut self, now: Duration, rng: &mut Rng) -> Option<Weather> {
        self.weather.retain(|(until, _, _)| now < *until);
        let spells = self.weather.iter().rev();
        let mut met = spells.filter(|(_, _, reach)| reach.meets(now, rng));
        met.next().map(|(_, weather, _)| *weather)
    }

    /// Counts a call. The second promise: no second, wherever it begins, holds more than the quota.
    pub fn count(&mut self, now: Duration, worker: usize) -> Result<(), String> {
        while self
            .counted
            .front()
            .is_some_and(|(at, _)| *at + secs(1) <= now)
        {
            self.counted.pop_front();
        }
        self.counted.push_back((now, worker));
        if self.counted.len() > self.quota {
            let of_others = self.counted.iter().filter(|(_, other)| *other != worker);
            let (calls, quota, others) = (self.counted.len(), self.quota, of_others.count());
            return Err(format!(
                "the API counts {calls} calls in a second, {others} of them by another worker; {quota} are allowed"
            ));
        }
        Ok(())
    }

    pub fn answer(
        &self,
        weather: Option<Weather>,
        user_sig: u32,
        users: &[u32],
        rng: &mut Rng,
    ) -> Outcome {
        let mut took = self.latency.mul_f64(1.0 + rng.f64() / 2.0);
        if let Some(Weather::Slow(times)) = weather {
            took *= times;
        }
        let answer = match self.in_weather(weather, users, rng) {
            Some(answer) => answer,
            None if user_sig < self.user_sigs => Some(Answer::Refused(70001)),
            None => self.done(users, Vec::new()),
        };
        Outcome {
            took,
            answer: answer.filter(|_| weather != Some(Weather::AnswerLost)),
        }
    }

    /// What the weather answers, or `Some(None)` where it lets nobody answer. None: it lets the API do its work.
    fn in_weather(
        &self,
        weather: Option<Weather>,
        users: &[u32],
        rng: &mut Rng,
    ) -> Option<Option<Answer>> {
        let weather = match weather? {
            Weather::Mixed(code) => match rng.u32(..3) {
                0 => Weather::Refuses(code),
                1 => Weather::Lists(code, Listed::EveryThird),
                _ => return None,
            },
            weather => weather,
        };
        match weather {
            Weather::Refuses(code) => Some(Some(Answer::Refused(code.draw(rng)))),
            Weather::StoreFails(code) => {
                let has_account = users != [CONTROL] || self.control == Control::Known;
                has_account.then_some(Some(Answer::Refused(code)))
            }
            Weather::SparesControl(code) => {
                (users != [CONTROL]).then_some(Some(Answer::Refused(code)))
            }
            Weather::Gateway(status, retry_after) => Some(Some(Answer::Http {
                status,
                retry_after,
            })),
            Weather::Lists(code, listed) => {
                let share = listed.share(users.len());
                let named = users.iter().filter(|_| rng.f64() < share).copied();
                let named: Vec<u32> = named.collect();
                let failed = named.iter().map(|id| (*id, code.draw(rng))).collect();
                Some(self.done(users, failed))
            }
            Weather::Unclear => Some(Some(Answer::Unclear)),
            Weather::Hangs => Some(None),
            _ => None,
        }
    }

    /// The API's own answer, if it gives one. The weather has named those in `failed`: the API does not get
    /// to them.
    fn done(&self, users: &[u32], mut failed: Vec<(u32, i64)>) -> Option<Answer> {
        let named: HashSet<u32> = failed.iter().map(|(id, _)| *id).collect();
        for id in users.iter().filter(|id| !named.contains(id)) {
            let bad = match *id {
                CONTROL => self.control.as_bad(),
                _ => self.bad.get(id).copied(),
            };
            match bad {
                None => {}
                Some(Bad::Refused(code)) => return Some(Answer::Refused(code)),
                Some(Bad::Failing) => return Some(Answer::Fault),
                Some(Bad::Hangs) => return None,
                Some(Bad::Listed(code)) => failed.push((*id, code)),
            }
        }
        let failed = failed.into_iter().map(|(id, code)| (user(id), code));
        Some(Answer::Done {
            failed: failed.collect(),
        })
    }
}

impl Control {
    /// What the API has against the control user, in the words for all others.
    fn as_bad(self) -> Option<Bad> {
        match self {
            Control::Known => None,
            Control::Unknown { listed: true } => Some(Bad::Listed(NO_SUCH_ACCOUNT)),
            Control::Unknown { listed: false } => Some(Bad::Refused(NO_SUCH_ACCOUNT)),
            Control::Refused(code) => Some(Bad::Refused(code)),
        }
    }
}
