//! The engine as a whole, in a small world: a broker that redelivers, an API that can be told to
//! misbehave, and a clock that only these tests move. The promises are checked at every step.

mod control;
mod ends;
mod everything;
mod flow;
mod limits;
mod many_bad;
mod operator;
mod outages;
mod partial_outages;
mod recoveries;
mod returns;
mod verdicts;
mod world;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::*;
use world::{Published, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    Settings {
        max_ids: 100,
        max_wait: Duration::from_millis(500),
        max_in_flight: 16,
        calls_per_second: 100,
        quota_margin: Duration::from_millis(20),
        prefetch: 1800,
        out_of_order: 450,
        lease: None,
        hold_limit: Duration::from_secs(600),
        max_attempts: 8,
        backoff_min: Duration::from_millis(500),
        backoff_max: Duration::from_secs(30),
        missing_account: MissingAccount::Done,
        control_user: UserId::parse("control").unwrap(),
        seed: 7,
    }
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

/// The number of a user of these tests; none of the control user.
fn number(id: &str) -> Option<usize> {
    id.strip_prefix('u')?.parse().ok()
}

fn ok() -> Answer {
    Answer::Done { failed: Vec::new() }
}

fn refuse_if(users: &[UserId], bad: &[usize], code: i64) -> Answer {
    if users
        .iter()
        .any(|id| bad.iter().any(|number| user(*number) == *id))
    {
        Answer::Refused(code)
    } else {
        ok()
    }
}
