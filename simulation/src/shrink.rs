//! Shrinks a failing plan: fewer events, disturbances and users, while it still fails.

use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::run;
use crate::trace::Trace;

/// Runs that are tried at most, and for how long.
const TRIES: usize = 600;
const TIME: Duration = Duration::from_secs(120);

/// The smallest plan found that fails like this one.
pub fn shrink(plan: Plan) -> Plan {
    let mut smallest = plan;
    let mut tries = 0;
    let started = Instant::now();
    let expected = failure(&smallest);
    let mut fails = |plan: &Plan| {
        tries += 1;
        tries <= TRIES && started.elapsed() < TIME && failure(plan) == expected
    };
    loop {
        let before = size(&smallest);
        smallest = without_chunks(smallest, |plan| &mut plan.disturbances, &mut fails);
        smallest = without_events(smallest, &mut fails);
        for number in 0..smallest.publications.len() {
            if smallest.publications.len() > 20 {
                break;
            }
            smallest = without_chunks(
                smallest,
                |plan| &mut plan.publications[number].users,
                &mut fails,
            );
        }
        if size(&smallest) == before {
            return smallest;
        }
    }
}

/// The kind of failure, if the plan fails.
fn failure(plan: &Plan) -> Option<String> {
    let violation = run(plan, &mut Trace::default()).err()?;
    Some(kind(&violation))
}

/// The text of a violation without its numbers.
pub fn kind(violation: &str) -> String {
    let words = violation.split_whitespace().take(10);
    let words = words.filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ")
}

fn size(plan: &Plan) -> usize {
    let users: usize = plan
        .publications
        .iter()
        .map(|event| event.users.len())
        .sum();
    plan.disturbances.len() + plan.publications.len() + users
}

/// Repetitions name events by their number, so they are told as events of their own first.
fn without_events(plan: Plan, fails: &mut impl FnMut(&Plan) -> bool) -> Plan {
    let mut plain = plan.clone();
    for publication in &mut plain.publications {
        publication.repeats = None;
    }
    if plan
        .publications
        .iter()
        .any(|event| event.repeats.is_some())
        && !fails(&plain)
    {
        return plan;
    }
    without_chunks(plain, |plan| &mut plan.publications, fails)
}

/// Leaves out halves, then quarters and so on, whatever is not needed to fail.
fn without_chunks<T: Clone>(
    mut plan: Plan,
    part: impl Fn(&mut Plan) -> &mut Vec<T>,
    fails: &mut impl FnMut(&Plan) -> bool,
) -> Plan {
    let mut chunk = part(&mut plan).len().div_ceil(2);
    while chunk > 0 {
        let mut start = 0;
        while start < part(&mut plan).len() {
            let mut smaller = plan.clone();
            let items = part(&mut smaller);
            let end = (start + chunk).min(items.len());
            items.drain(start..end);
            if fails(&smaller) {
                plan = smaller;
            } else {
                start += chunk;
            }
        }
        chunk /= 2;
    }
    plan
}

pub fn describe(plan: &Plan) -> String {
    let mut lines = vec![format!(
        "{} events and {} disturbances:",
        plan.publications.len(),
        plan.disturbances.len()
    )];
    let settings = &plan.settings;
    lines.push(format!("  {settings:?}"));
    lines.push(format!(
        "  latency {:?}, jitter {:?}, trickle {:?}, delivery limit {:?}, control user {:?}, bad users that are named \
         {:?}",
        plan.latency, plan.jitter, plan.trickle, plan.delivery_limit, plan.control, plan.named_bad()
    ));
    lines.extend(
        plan.disturbances
            .iter()
            .map(|disturbance| format!("  {disturbance:?}")),
    );
    for publication in plan.publications.iter().take(10) {
        let users = publication.users.len();
        lines.push(format!(
            "  at {:?}: {:?} with {users} users",
            publication.at, publication.body
        ));
    }
    lines.join("\n")
}
