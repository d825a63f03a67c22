//! Rules that tie durations to each other.

use std::time::Duration;

use super::{Finding, above_zero, finding};
use crate::config::{Settings, in_units};

/// A key with its duration.
type Timed = (&'static str, Duration);

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let Settings {
        im,
        window,
        rabbitmq,
        retry,
        admin,
        shutdown,
        ..
    } = settings;
    let connect_timeout = ("im.connect_timeout", im.connect_timeout);
    let request_timeout = ("im.request_timeout", im.request_timeout);
    let max_wait = ("window.max_wait", window.max_wait);
    let consumer_timeout = ("rabbitmq.consumer_timeout", rabbitmq.consumer_timeout);
    let hold_limit = ("rabbitmq.hold_limit", rabbitmq.hold_limit);
    let backoff_min = ("retry.backoff_min", retry.backoff_min);
    let backoff_max = ("retry.backoff_max", retry.backoff_max);
    let stall_limit = ("admin.stall_limit", admin.stall_limit);
    let grace_period = ("shutdown.grace_period", shutdown.grace_period);

    let mut found = Vec::new();
    found.extend(at_most(connect_timeout, request_timeout));
    // Else the broker closes the session before the delivery is handed back.
    found.extend(below(hold_limit, consumer_timeout));
    // Else every delivery would be handed back before its call could end.
    found.extend(above(hold_limit, request_timeout));
    found.extend(below(max_wait, hold_limit));
    found.extend(below(backoff_max, hold_limit));
    // Else a slow call, or the pause before the next one, would pass for a stall.
    found.extend(above(stall_limit, request_timeout));
    found.extend(above(stall_limit, backoff_max));
    // Else a call that is out at the first signal could not end in peace.
    found.extend(above(grace_period, request_timeout));
    found.extend(above_zero(backoff_min.0, backoff_min.1));
    found.extend(at_most(backoff_min, backoff_max));
    found
}

fn at_most(found: Timed, limit: Timed) -> Option<Finding> {
    (found.1 > limit.1).then(|| coupled(found, limit, "must not be above", limit.1))
}

fn below(found: Timed, limit: Timed) -> Option<Finding> {
    (found.1 >= limit.1).then(|| coupled(found, limit, "must be below", limit.1 * 9 / 10))
}

fn above(found: Timed, limit: Timed) -> Option<Finding> {
    (found.1 <= limit.1).then(|| coupled(found, limit, "must be above", limit.1 * 3 / 2))
}

/// `right` is a value that is on the right side of the limit.
fn coupled(found: Timed, limit: Timed, must: &str, right: Duration) -> Finding {
    let printed = in_units::print(limit.1);
    finding(
        [found.0, limit.0],
        format!("{must} {} ({printed})", limit.0),
    )
    .or(in_units::print(in_whole_units(right)))
}

/// A number that one likes to read: whole seconds, from a minute on whole minutes.
fn in_whole_units(duration: Duration) -> Duration {
    let seconds = duration.as_secs();
    match seconds {
        0 => Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        1..60 => Duration::from_secs(seconds),
        _ => Duration::from_secs(seconds - seconds % 60),
    }
}
