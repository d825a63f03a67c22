//! Weather: how the API treats calls for a while, whichever users they name.
//!
//! No weather refuses the same users throughout and accepts all others: that is indistinguishable
//! from bad users, and the guarantees exclude it. Which users an answer names is drawn anew for
//! each call.

use std::time::Duration;

use crate::codes::{self, Meaning};
use fastrand::Rng;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    /// The call is refused as a whole.
    Refuses(Code),
    /// The call is done, but not for those whom `ErrorList` names.
    Lists(Code, Listed),
    /// Of three calls one is refused, one names some of its users, and one is done.
    Mixed(Code),
    /// Every call that needs an account's data is refused. A user without an account needs none.
    StoreFails(i64),
    /// Every call is refused, but not the control user's: its account lies elsewhere.
    SparesControl(i64),
    /// Something before the API answers with an HTTP status, and perhaps says when to come again.
    Gateway(u16, Option<Duration>),
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
    /// The secret cannot be read: no call is made.
    NoCredential,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Always(i64),
    /// Another one for each call or user, of any meaning but "no such account".
    Any,
}

/// Whom an answer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Everybody,
    /// All but about ten; a user alone every second time.
    AllButTen,
    EveryThird,
}

/// Which calls the weather meets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    All,
    /// Each call with this probability.
    Chance(f64),
    /// The calls that land on one of so many front ends; each call lands anywhere.
    FrontEnd {
        of: u32,
    },
    /// All calls for so long, or none, as a coin says for each such time. Taking strict turns, it could keep
    /// step with a worker's calls, and refuse the same users each time.
    Flapping {
        period: Duration,
        coin: u64,
    },
}

impl Code {
    pub fn draw(self, rng: &mut Rng) -> i64 {
        match self {
            Code::Always(code) => code,
            Code::Any => codes::draw(rng, |meaning| meaning != Meaning::Missing),
        }
    }
}

impl Listed {
    /// The probability that one of so many users is named.
    pub fn share(self, users: usize) -> f64 {
        match self {
            Listed::Everybody => 1.0,
            Listed::AllButTen => 1.0 - (10.0 / users as f64).min(0.5),
            Listed::EveryThird => 1.0 / 3.0,
        }
    }
}

impl Reach {
    pub fn meets(self, now: Duration, rng: &mut Rng) -> bool {
        match self {
            Reach::All => true,
            Reach::Chance(share) => rng.f64() < share,
            Reach::FrontEnd { of } => rng.u32(..of) == 0,
            Reach::Flapping { period, coin } => {
                let turn = (now.as_millis() / period.as_millis()) as u64;
                Rng::with_seed(coin ^ turn).bool()
            }
        }
    }
}

impl Weather {
    pub fn gateway(rng: &mut Rng) -> Weather {
        let statuses = [200, 302, 403, 404, 429, 429, 500, 502, 503, 503, 504];
        let status = statuses[rng.usize(..statuses.len())];
        let retry_after = rng.bool().then(|| Duration::from_secs(rng.u64(1..60)));
        Weather::Gateway(status, retry_after)
    }

    /// Whether the API says anything in it.
    pub fn has_code(self) -> bool {
        matches!(
            self,
            Weather::Refuses(_)
                | Weather::Lists(..)
                | Weather::Mixed(_)
                | Weather::StoreFails(_)
                | Weather::SparesControl(_)
        )
    }

    /// Whether nothing at all goes through while it meets every call.
    pub fn stops_everything(self) -> bool {
        match self {
            Weather::Refuses(Code::Always(code))
            | Weather::Lists(Code::Always(code), Listed::Everybody) => !codes::is_missing(code),
            Weather::Refuses(Code::Any)
            | Weather::Lists(Code::Any, Listed::Everybody)
            | Weather::Unclear
            | Weather::Gateway(..)
            | Weather::Unreachable
            | Weather::Hangs
            | Weather::AnswerLost
            | Weather::NoCredential => true,
            _ => false,
        }
    }
}
