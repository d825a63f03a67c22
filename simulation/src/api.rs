//! The API, as far as a worker can tell: its weather, its quota, and what it takes offence at.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::engine::Answer;
use crate::event::UserId;
use fastrand::Rng;

use crate::plan::{Bad, Weather, secs};
use crate::promises::{number, user};

#[derive(Debug)]
pub struct Api {
    quota: usize,
    latency: Duration,
    bad: BTreeMap<u32, Bad>,
    weather: Vec<(Duration, Weather, f64)>,
    /// The calls of the last second.
    counted: VecDeque<Duration>,
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
    pub fn new(quota: u32, latency: Duration, bad: BTreeMap<u32, Bad>) -> Api {
        Api {
            quota: quota as usize,
            latency,
            bad,
            weather: Vec::new(),
            counted: VecDeque::new(),
            user_sigs: 0,
        }
    }

    pub fn set_weather(&mut self, until: Duration, weather: Weather, share: f64) {
        self.weather.push((until, weather, share));
    }

    /// What the weather does to one call. The newest spell counts first.
    pub fn weather(&mut self, now: Duration, rng: &mut Rng) -> Option<Weather> {
        self.weather.retain(|(until, _, _)| now < *until);
        let spells = self.weather.iter().rev();
        let mut hit = spells.filter(|(_, _, share)| rng.f64() < *share);
        hit.next().map(|(_, weather, _)| *weather)
    }

    /// Counts a call. The second promise: no second, wherever it begins, holds more than the quota.
    pub fn count(&mut self, now: Duration) -> Result<(), String> {
        while self.counted.front().is_some_and(|at| *at + secs(1) <= now) {
            self.counted.pop_front();
        }
        self.counted.push_back(now);
        if self.counted.len() > self.quota {
            let (calls, quota) = (self.counted.len(), self.quota);
            return Err(format!(
                "the API counts {calls} calls in a second, {quota} are allowed"
            ));
        }
        Ok(())
    }

    pub fn answer(
        &self,
        weather: Option<Weather>,
        user_sig: u32,
        users: &[UserId],
        rng: &mut Rng,
    ) -> Outcome {
        let mut took = self.latency.mul_f64(1.0 + rng.f64() / 2.0);
        let answer = match weather {
            Some(Weather::Refuses(code)) => Answer::Refused(code),
            Some(Weather::Unclear) => Answer::Unclear,
            Some(Weather::Hangs) => return Outcome { took, answer: None },
            Some(Weather::Lists(code)) => {
                let listed = users.iter().step_by(3).map(|user| (*user, code));
                self.done(users, listed.collect())
            }
            _ if user_sig < self.user_sigs => Answer::Refused(70001),
            _ => self.done(users, Vec::new()),
        };
        if let Some(Weather::Slow(times)) = weather {
            took *= times;
        }
        let answer = (weather != Some(Weather::AnswerLost)).then_some(answer);
        Outcome { took, answer }
    }

    fn done(&self, users: &[UserId], mut failed: Vec<(UserId, i64)>) -> Answer {
        if self.bad.is_empty() {
            return Answer::Done { failed };
        }
        for id in users.iter().map(number) {
            match self.bad.get(&id) {
                Some(Bad::Refused(code)) => return Answer::Refused(*code),
                Some(Bad::Failing) => return Answer::Refused(91000),
                Some(Bad::Listed(code))
                    if !failed.iter().any(|(listed, _)| number(listed) == id) =>
                {
                    failed.push((user(id), *code));
                }
                Some(Bad::Listed(_)) | None => {}
            }
        }
        Answer::Done { failed }
    }
}
