//! The worker's log lines about calls and events. Users appear only as aliases.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::Pause;
use crate::config::Settings;
use crate::engine::{
    Class, Ending, Letter, Notice, PauseReason, Status, Tally, Trigger, class, error_code,
    http_status,
};
use crate::event::UserId;
use crate::im::{HttpAnswer, Reply, SKEW_LIMIT, SecretError};
use crate::shell::calls::Call;
use crate::shell::{Who, Wish};

/// Users named in one line at most.
const NAMED: usize = 5;
/// How long calls must have waited for others since the last summary before a warning is logged, and the interval
/// between two such warnings.
const HELD_UP: Duration = Duration::from_secs(10);
pub(super) const SAID_AGAIN: Duration = Duration::from_secs(10 * 60);

pub(super) fn started(settings: &Settings) {
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = env!("TAGSWEEP_COMMIT"),
        sdk_app_id = settings.im.sdk_app_id,
        base_url = settings.im.base_url,
        queue = settings.rabbitmq.queue,
        calls_per_second = settings.im.calls_per_second,
        max_in_flight = settings.im.max_in_flight,
        prefetch = settings.prefetch(),
        "started"
    );
}

pub(super) fn ended(status: &Status) {
    let tally = status.tally;
    tracing::info!(
        events_received = tally.events_received,
        events_done = tally.events(Ending::Done),
        events_ignored = tally.events(Ending::Ignored),
        events_repeated = tally.events(Ending::Repeated),
        events_dead_lettered = tally.events(Ending::DeadLettered),
        events_returned = tally.events(Ending::Returned),
        users_cleared = tally.users_cleared,
        users_missing = tally.users_missing,
        users_dead_lettered = tally.users_dead_lettered,
        calls = tally.calls,
        left_to_the_broker = status.unsettled_deliveries,
        "ended"
    );
}

pub(super) fn rereading() {
    tracing::info!("reloading secrets");
}

pub(super) fn unusable_secret(key: &str, path: &Path, reason: &str) {
    tracing::warn!(
        key,
        path = %path.display(),
        reason,
        "cannot use a file, keeping what was last read from it"
    );
}

/// An operator pauses, or resumes after a pause of this length.
pub(super) fn operator(wish: &Wish, paused: Option<Duration>) {
    let Who { session, address } = &wish.who;
    match wish.pause {
        true => tracing::warn!(
            class = Pause::OPERATOR,
            operator_session = session,
            operator_address = %address,
            "paused by an operator: no API calls, no probes; events wait in the queue"
        ),
        false => tracing::info!(
            operator_session = session,
            operator_address = %address,
            paused_seconds = paused.map(|paused| rounded(paused.as_secs_f64())),
            "resumed by an operator"
        ),
    }
}

/// `id` and `detail` are in the headers of the letter, too.
pub(super) fn dead_letter(letter: &Letter, id: &str, detail: &str) {
    let named = letter.users.iter().take(NAMED);
    let aliases: Vec<String> = named.map(UserId::alias).collect();
    tracing::warn!(
        reason = letter.reason.name(),
        code = letter.code,
        detail,
        letter = id,
        users = letter.users.len() + letter.invalid as usize,
        ?aliases,
        "dead-lettering an event"
    );
}

/// What was logged before, so that it is not repeated.
#[derive(Default)]
pub(super) struct Report {
    /// The source is a list of users: there are no events to speak of.
    is_list: bool,
    tally: Tally,
    /// A call has cleared somebody.
    succeeded: bool,
    skewed: bool,
    /// Why the secret could not be read.
    secret: Option<SecretError>,
    /// A control call was refused since the API last recovered.
    control_refused: bool,
    /// The last summary.
    summed_up: Option<Instant>,
    /// When the warning about `im.max_in_flight` was last logged.
    held_up: Option<Instant>,
    /// At the last summary something else held the work up.
    hindered: bool,
}

impl Report {
    pub(super) fn new(is_list: bool) -> Report {
        Report {
            is_list,
            ..Report::default()
        }
    }

    /// Logs a call; a success only at debug level.
    pub(super) fn call(&mut self, call: &Call) {
        let ids = call.ids;
        let trigger = call.trigger.name();
        let milliseconds = call.took.as_millis() as u64;
        match &call.reply {
            Reply::Done { failed, strangers } => {
                tracing::debug!(
                    ids,
                    failed = failed.len(),
                    trigger,
                    milliseconds,
                    "call done"
                );
                self.done(call, ids - failed.len());
                if *strangers > 0 {
                    tracing::warn!(
                        strangers,
                        "the API's answer names users that were not in the call"
                    );
                }
            }
            Reply::Refused(code) => {
                let class = class(*code);
                if self.is_repetition(class, call.trigger) {
                    tracing::debug!(
                        code,
                        class = class.name(),
                        ids,
                        trigger,
                        milliseconds,
                        "call refused"
                    );
                } else {
                    tracing::warn!(
                        code,
                        class = class.name(),
                        ids,
                        trigger,
                        milliseconds,
                        "call refused"
                    );
                }
            }
            Reply::Unclear => {
                tracing::warn!(
                    ids,
                    trigger,
                    milliseconds,
                    "inconsistent answer from the API"
                );
            }
            Reply::Http(HttpAnswer {
                status,
                retry_after,
                redirect_host,
            }) => {
                let known = http_status(*status, retry_after.is_some());
                tracing::warn!(
                    http_status = status,
                    class = known.class.name(),
                    meaning = known.meaning,
                    redirect_host,
                    retry_after_seconds = retry_after.map(|wait| wait.as_secs()),
                    ids,
                    trigger,
                    milliseconds,
                    "something other than the API answered a call"
                );
            }
            Reply::Fault(fault) => {
                tracing::warn!(%fault, ids, trigger, milliseconds, "call failed");
            }
        }
    }

    /// The first call that clears a user shows that the settings work.
    fn done(&mut self, call: &Call, users: usize) {
        if users > 0 && call.trigger != Trigger::Control && !self.succeeded {
            self.succeeded = true;
            let milliseconds = call.took.as_millis() as u64;
            tracing::info!(users, milliseconds, "first users cleared");
        }
    }

    /// Whether a refused call repeats an earlier one, or was expected.
    fn is_repetition(&mut self, class: Class, trigger: Trigger) -> bool {
        match trigger {
            // A split of a window says the same thing up to 15 times; once is enough at this level.
            Trigger::Split => true,
            Trigger::Control => {
                class == Class::Missing || std::mem::replace(&mut self.control_refused, true)
            }
            _ => class == Class::Missing,
        }
    }

    /// `trouble` is what was wrong with the latest call, where its code or status does not say.
    pub(super) fn notice(&mut self, notice: Notice, trouble: Option<&str>) {
        match notice {
            Notice::Paused { reason, probe_in } => {
                let fault = trouble.filter(|_| reason.code.is_none());
                match self.is_list {
                    true => list_paused(reason, probe_in, fault),
                    false => paused(reason, probe_in, fault),
                }
            }
            Notice::Resumed { after } => {
                self.control_refused = false;
                tracing::info!(
                    paused_seconds = rounded(after.as_secs_f64()),
                    "API recovered, resuming"
                );
            }
            Notice::Throttled { calls_per_second } => {
                tracing::warn!(
                    calls_per_second = rounded(calls_per_second),
                    "rate-limited by the API, slowing down"
                );
            }
            Notice::Suspended {
                returned,
                by_operator: true,
            } => {
                tracing::warn!(
                    returned,
                    "paused by an operator for longer than rabbitmq.hold_limit: events returned to the queue, where another worker may take them; one is held"
                );
            }
            Notice::Suspended {
                returned,
                by_operator: false,
            } => {
                tracing::warn!(
                    returned,
                    "paused for longer than rabbitmq.hold_limit: events returned to the queue, consuming stops until the API recovers"
                );
            }
            Notice::NobodyCleared { users } => {
                tracing::warn!(
                    users,
                    "many users are refused while calls for im.control_user succeed: their dead letters wait for up to 30 minutes"
                );
            }
            Notice::ControlRefused { code } => {
                tracing::warn!(
                    code,
                    meaning = meaning(code),
                    "the API refuses im.control_user but accepts other users: set another im.control_user"
                );
            }
        }
    }

    /// Logs, once a minute, a line if anything was done, and a warning if `im.max_in_flight` limited it.
    pub(super) fn summary(&mut self, now: Instant, status: &Status) {
        let before = std::mem::replace(&mut self.tally, status.tally);
        let since = self.summed_up.replace(now).unwrap_or(now);
        // A pause that somebody has forgotten is told again and again.
        if before == status.tally && status.operator_pause.is_none() {
            return;
        }
        if self.is_held_up(now, status.tally.held_up - before.held_up) {
            let calls = (status.tally.calls - before.calls) as f64;
            tracing::warn!(
                calls_per_second = rounded(calls / (now - since).as_secs_f64()),
                "throughput limited by im.max_in_flight, not by the quota: raise it"
            );
        }
        match self.is_list {
            true => list_progress(status, &before),
            false => progress(status, &before),
        }
    }

    /// Logs, once a minute at most, when something begins to hold the work up, and when nothing does any more.
    pub(super) fn hindered(&mut self, hindrance: Option<String>) {
        let before = std::mem::replace(&mut self.hindered, hindrance.is_some());
        match hindrance {
            Some(reason) if !before => tracing::warn!(reason, "held up"),
            None if before => tracing::info!("no longer held up"),
            _ => {}
        }
    }

    /// Whether to warn that calls waited this long for others in the last minute.
    fn is_held_up(&mut self, now: Instant, waited: Duration) -> bool {
        let said = self.held_up.is_some_and(|said| now < said + SAID_AGAIN);
        let news = waited >= HELD_UP && !said;
        if news {
            self.held_up = Some(now);
        }
        news
    }

    pub(super) fn secret(&mut self, trouble: Option<SecretError>) {
        let before = std::mem::replace(&mut self.secret, trouble);
        if let Some(reason) = trouble.filter(|_| before != trouble) {
            tracing::warn!(%reason, "cannot read the API secret, using the current UserSig until it expires");
        }
    }

    pub(super) fn clock_skew(&mut self, skew: Option<SignedDuration>) {
        let Some(skew) = skew else { return };
        let skewed = skew.abs() > SKEW_LIMIT;
        if skewed && !self.skewed {
            let seconds = skew.as_secs();
            tracing::warn!(
                seconds,
                "clock skew between this machine and the API: UserSigs may be refused"
            );
        }
        self.skewed = skewed;
    }
}

fn paused(reason: PauseReason, probe_in: Duration, fault: Option<&str>) {
    tracing::warn!(
        class = reason.class.name(),
        code = reason.code,
        http_status = reason.http,
        meaning = reason.meaning(),
        fault,
        next_probe_seconds = rounded(probe_in.as_secs_f64()),
        "paused: API calls suspended, probing periodically; events wait, none is dead-lettered unless the broker would drop it"
    );
}

fn list_paused(reason: PauseReason, probe_in: Duration, fault: Option<&str>) {
    tracing::warn!(
        class = reason.class.name(),
        code = reason.code,
        http_status = reason.http,
        meaning = reason.meaning(),
        fault,
        next_probe_seconds = rounded(probe_in.as_secs_f64()),
        "sweep paused: API calls suspended, probing periodically; users wait, none is counted as failed"
    );
}

fn progress(status: &Status, before: &Tally) {
    let operator = status.operator_pause.map(|_| Pause::Operator);
    let events = |ending| status.tally.events(ending) - before.events(ending);
    tracing::info!(
        events_done = events(Ending::Done),
        events_ignored = events(Ending::Ignored),
        events_dead_lettered = events(Ending::DeadLettered),
        users_cleared = status.tally.users_cleared - before.users_cleared,
        users_missing = status.tally.users_missing - before.users_missing,
        users_dead_lettered = status.tally.users_dead_lettered - before.users_dead_lettered,
        calls = status.tally.calls - before.calls,
        pending_ids = status.pending_ids,
        unsettled_deliveries = status.unsettled_deliveries,
        calls_per_second = rounded(status.calls_per_second),
        paused = operator.or(status.paused.map(Pause::Api)).map(Pause::class),
        "progress"
    );
}

fn list_progress(status: &Status, before: &Tally) {
    tracing::info!(
        users_cleared = status.tally.users_cleared - before.users_cleared,
        users_missing = status.tally.users_missing - before.users_missing,
        users_failed = status.tally.users_dead_lettered - before.users_dead_lettered,
        calls = status.tally.calls - before.calls,
        calls_per_second = rounded(status.calls_per_second),
        "sweep progress"
    );
}

/// What an operator should know about a failed call besides its code or status.
pub(super) fn trouble(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Http(answer) => {
            let host = answer.redirect_host.as_ref()?;
            Some(format!("redirect to {host}"))
        }
        Reply::Fault(fault) => Some(fault.to_string()),
        Reply::Done { .. } | Reply::Refused(_) | Reply::Unclear => None,
    }
}

/// The meaning of a code in our table.
fn meaning(code: Option<i64>) -> Option<&'static str> {
    Some(error_code(code?)?.meaning)
}

/// With one decimal.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_control_call_is_news_once_until_the_api_recovers() {
        let mut report = Report::default();
        let news = |report: &mut Report, class, trigger| !report.is_repetition(class, trigger);
        assert!(!news(&mut report, Class::Missing, Trigger::Control));
        assert!(news(&mut report, Class::Reject, Trigger::Control));
        assert!(!news(&mut report, Class::Reject, Trigger::Control));
        assert!(news(&mut report, Class::Reject, Trigger::Retry));
        let resumed = Notice::Resumed {
            after: Duration::from_secs(1),
        };
        report.notice(resumed, None);
        assert!(news(&mut report, Class::Config, Trigger::Control));
    }

    #[test]
    fn calls_that_wait_for_others_are_said_after_ten_seconds_of_that_and_every_ten_minutes_at_most()
    {
        let mut report = Report::default();
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        assert!(!report.is_held_up(start, HELD_UP - Duration::from_millis(1)));
        let said = (0..21).filter(|number| report.is_held_up(start + minute * *number, HELD_UP));
        assert_eq!(said.collect::<Vec<_>>(), [0, 10, 20]);
    }
}
