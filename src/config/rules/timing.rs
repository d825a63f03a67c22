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

fn at_most(mended: Timed, limit: Timed) -> Option<Finding> {
    (mended.1 > limit.1).then(|| coupled(mended, limit, "must not be above", "lower"))
}

fn below(mended: Timed, limit: Timed) -> Option<Finding> {
    (mended.1 >= limit.1).then(|| coupled(mended, limit, "must be below", "lower"))
}

fn above(mended: Timed, limit: Timed) -> Option<Finding> {
    (mended.1 <= limit.1).then(|| coupled(mended, limit, "must be above", "raise"))
}

fn coupled(mended: Timed, limit: Timed, must: &str, mend: &str) -> Finding {
    let other = if mend == "raise" { "lower" } else { "raise" };
    finding(
        [mended.0, limit.0],
        format!(
            "{must} {} ({}); {mend} it or {other} that",
            limit.0,
            in_units::print(limit.1)
        ),
    )
}
