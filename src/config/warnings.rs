//! What is legal, and still deserves a second look.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::{Credentials, Settings, in_units};

/// The API's own timeout.
const API_TIMEOUT: Duration = Duration::from_secs(3);

/// The documented quota of the interface.
const DOCUMENTED_QUOTA: u32 = 100;

/// Users in the largest event that is to be expected.
const LARGEST_EVENT: u64 = 10_000;

/// Characters of a token that nobody guesses within the tries that the console allows.
const SHORTEST_TOKEN: usize = 16;

pub(super) fn of(settings: &Settings) -> Vec<String> {
    [
        impatient(settings),
        above_the_documented_quota(settings),
        user_sig_that_ends(settings),
        empty_vhost(settings),
        hold_limit_too_short_for_large_events(settings),
        short_token(settings),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn impatient(settings: &Settings) -> Option<String> {
    let timeout = settings.im.request_timeout;
    (timeout <= API_TIMEOUT).then(|| {
        format!(
            "im.request_timeout = {}: the API itself takes up to 3s; at least 5s let its answer arrive",
            in_units::print(timeout)
        )
    })
}

fn above_the_documented_quota(settings: &Settings) -> Option<String> {
    let calls = settings.im.calls_per_second;
    (calls > DOCUMENTED_QUOTA).then(|| {
        format!(
            "im.calls_per_second = {calls}: the documented quota is {DOCUMENTED_QUOTA}; above it calls are refused, unless Tencent raised it for this app"
        )
    })
}

fn user_sig_that_ends(settings: &Settings) -> Option<String> {
    matches!(settings.im.credentials(), Some(Credentials::UserSig(_))).then(|| {
        "im.user_sig cannot be renewed: the worker pauses when it expires; im.secret_key_file makes new ones".into()
    })
}

fn empty_vhost(settings: &Settings) -> Option<String> {
    let urls = settings.rabbitmq.urls().ok()?;
    let url = urls.iter().find(|url| url.has_empty_vhost())?;
    Some(format!(
        "rabbitmq.url = {url}: a bare / at the end names the vhost with the empty name; the vhost / is written /%2f"
    ))
}

/// An event goes back to the queue at the hold limit, whatever is done of it.
fn hold_limit_too_short_for_large_events(settings: &Settings) -> Option<String> {
    let calls = settings.im.calls_per_second;
    let ids = settings.window.max_ids;
    let hold_limit = settings.rabbitmq.hold_limit;
    let users = (f64::from(calls) * ids as f64 * hold_limit.as_secs_f64()) as u64;
    (users < LARGEST_EVENT).then(|| {
        format!(
            "im.calls_per_second = {calls}, window.max_ids = {ids}, rabbitmq.hold_limit = {}: an event with more than {users} users goes back to the queue at least once before it is done (what is done of it is not repeated), and an event may hold {LARGEST_EVENT}: raise rabbitmq.hold_limit to {} or more",
            in_units::print(hold_limit),
            in_units::print(Duration::from_secs(LARGEST_EVENT.div_ceil(u64::from(calls) * ids as u64)))
        )
    })
}

fn short_token(settings: &Settings) -> Option<String> {
    let token = settings.admin.token()?.load().ok()?;
    (token.expose_secret().len() < SHORTEST_TOKEN).then(|| {
        format!(
            "admin.token has fewer than {SHORTEST_TOKEN} characters and could be guessed; make one with: openssl rand -hex 24"
        )
    })
}
