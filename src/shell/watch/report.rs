//! What the worker says. Each thing is logged once, here, with fields; users only by their aliases.

use std::time::{Duration, Instant};

use jiff::SignedDuration;

use crate::config::Settings;
use crate::engine::{
    Class, Letter, Notice, Status, Tally, Trigger, class, error_code, http_status,
};
use crate::im::{HttpAnswer, Reply, SKEW_LIMIT};
use crate::rabbitmq;
use crate::shell::calls::Call;

/// Users named in one line at most.
const NAMED: usize = 5;
/// So much of the time since the last summary must calls wait for others to end before that is said, and so long
/// it is not said again.
const HELD_UP: Duration = Duration::from_secs(10);
/// How often it is said that nothing was recognised in messages.
const UNRECOGNISED_EVERY: Duration = Duration::from_secs(60);
const SAID_AGAIN: Duration = Duration::from_secs(10 * 60);

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
        events_accepted = tally.events_accepted,
        events_ignored = tally.events_ignored,
        events_acknowledged = tally.events_acknowledged,
        events_dead_lettered = tally.events_dead_lettered,
        events_remembered = tally.events_remembered,
        events_handed_back = tally.events_handed_back,
        users_cleared = tally.users_cleared,
        users_missing = tally.users_missing,
        users_dead_lettered = tally.users_dead_lettered,
        calls = tally.calls,
        left_to_the_broker = status.unsettled_deliveries,
        "ended"
    );
}

/// `consuming` says whether deliveries are wanted.
pub(super) fn broker_event(event: &rabbitmq::Event, consuming: bool) {
    use rabbitmq::Event;
    match event {
        Event::Opened {
            session,
            share,
            warnings,
        } => {
            if consuming {
                tracing::info!(
                    session,
                    quota_shared_by = share,
                    "broker session open, consuming"
                );
            } else {
                tracing::info!(
                    session,
                    quota_shared_by = share,
                    "broker session open, not consuming until the API recovers"
                );
            }
            for warning in warnings {
                tracing::warn!("{warning}");
            }
        }
        Event::NotOpened { reason, retry_in } => {
            let retry_seconds = rounded(retry_in.as_secs_f64());
            tracing::warn!(%reason, retry_seconds, "no broker session, trying again");
        }
        Event::Lost {
            session,
            reason,
            retry_in,
        } => {
            let retry_seconds = retry_in.map(|wait| rounded(wait.as_secs_f64()));
            tracing::warn!(session, %reason, retry_seconds, "broker session lost, what it held is delivered again");
        }
        Event::LetterRefused(_, reason) => {
            tracing::error!(%reason, "a dead letter was not taken: its event is kept, trying again");
        }
        Event::LetterReduced(reason) => {
            tracing::warn!(%reason, "the broker refused a dead letter as it is: sending it without what was refused");
        }
        Event::Blocked => {
            tracing::warn!("the broker takes no messages for now (an alarm): dead letters wait");
        }
        Event::Unblocked => tracing::info!("the broker takes messages again"),
        Event::Delivered(_) | Event::InTouch(_) | Event::Counted(_) | Event::LetterConfirmed(_) => {
        }
    }
}

pub(super) fn rereading() {
    tracing::info!("reloading secrets");
}

pub(super) fn share_changed(share: u32) {
    tracing::info!(quota_shared_by = share, "the number of workers changed");
}

pub(super) fn dead_letter(letter: &Letter) {
    let named = letter.users.iter().take(NAMED);
    tracing::warn!(
        reason = letter.reason.name(),
        code = letter.code,
        users = letter.users.len(),
        aliases = ?named.collect::<Vec<_>>(),
        delivery = letter.delivery.tag,
        "dead-lettering an event"
    );
}

/// What was said before, so that it is not said again.
#[derive(Default)]
pub(super) struct Report {
    tally: Tally,
    skewed: bool,
    /// A control call was refused since the API last recovered.
    control_refused: bool,
    /// The last summary.
    summed_up: Option<Instant>,
    /// When it was said last that calls wait for others to end.
    held_up: Option<Instant>,
    unrecognised: Unrecognised,
}

/// Messages in which nothing was recognised.
#[derive(Default)]
struct Unrecognised {
    /// Since it was said last.
    messages: u64,
    said: Option<Instant>,
}

impl Report {
    /// Said at once, then once a minute: a whole stream of events may be of such a form.
    pub(super) fn unrecognised(&mut self, now: Instant) {
        let Unrecognised { messages, said } = &mut self.unrecognised;
        *messages += 1;
        if said.is_some_and(|said| now.saturating_duration_since(said) < UNRECOGNISED_EVERY) {
            return;
        }
        tracing::warn!(
            messages = *messages,
            "messages ignored: no rule holds, and neither a form nor a type was recognised"
        );
        self.unrecognised = Unrecognised {
            messages: 0,
            said: Some(now),
        };
    }

    /// One call. Success is the rule and said at debug level only.
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
                if *strangers > 0 {
                    tracing::warn!(
                        strangers,
                        "the answer names users that were not in the call"
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
                tracing::warn!(ids, trigger, milliseconds, "the answer contradicts itself");
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

    /// Whether a refused call says what others have said, or what is no news.
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

    pub(super) fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Paused(reason) => {
                tracing::warn!(
                    class = reason.class.name(),
                    code = reason.code,
                    http_status = reason.http,
                    meaning = reason.meaning(),
                    "paused: API calls suspended, probing periodically; events wait, none is dead-lettered unless the broker would drop it"
                );
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
            Notice::Suspended { returned } => {
                tracing::warn!(
                    returned,
                    "paused for longer than rabbitmq.hold_limit: events returned to the queue, consuming stops until the API recovers"
                );
            }
            Notice::ControlRefused { code } => {
                tracing::warn!(
                    code,
                    meaning = meaning(code),
                    "the API refuses im.control_user while it takes other users, so only real users show whether it works: name another im.control_user"
                );
            }
        }
    }

    /// Once a minute: a line if anything was done, and another if more calls in flight would have done more.
    pub(super) fn summary(&mut self, now: Instant, status: &Status) {
        let before = std::mem::replace(&mut self.tally, status.tally);
        let since = self.summed_up.replace(now).unwrap_or(now);
        if before == status.tally {
            return;
        }
        if self.is_held_up(now, status.tally.held_up - before.held_up) {
            let calls = (status.tally.calls - before.calls) as f64;
            tracing::warn!(
                calls_per_second = rounded(calls / (now - since).as_secs_f64()),
                "calls wait for an answer, not for the quota: raise im.max_in_flight"
            );
        }
        tracing::info!(
            events_acknowledged = status.tally.events_acknowledged - before.events_acknowledged,
            users_cleared = status.tally.users_cleared - before.users_cleared,
            users_missing = status.tally.users_missing - before.users_missing,
            users_dead_lettered = status.tally.users_dead_lettered - before.users_dead_lettered,
            calls = status.tally.calls - before.calls,
            pending_ids = status.pending_ids,
            unsettled_deliveries = status.unsettled_deliveries,
            calls_per_second = rounded(status.calls_per_second),
            "progress"
        );
    }

    /// Whether it is to be said that calls waited for others for so long of the last minute.
    fn is_held_up(&mut self, now: Instant, waited: Duration) -> bool {
        let said = self.held_up.is_some_and(|said| now < said + SAID_AGAIN);
        let news = waited >= HELD_UP && !said;
        if news {
            self.held_up = Some(now);
        }
        news
    }

    pub(super) fn clock_skew(&mut self, skew: Option<SignedDuration>) {
        let Some(skew) = skew else { return };
        let skewed = skew.abs() > SKEW_LIMIT;
        if skewed && !self.skewed {
            let seconds = skew.as_secs();
            tracing::warn!(
                seconds,
                "this machine's clock and the API's differ; UserSigs may be refused"
            );
        }
        self.skewed = skewed;
    }
}

/// What an operator should know of a failed call besides its code or status.
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

/// What our table says of a code.
fn meaning(code: Option<i64>) -> Option<&'static str> {
    Some(error_code(code?)?.meaning)
}

/// With one decimal.
fn rounded(number: f64) -> f64 {
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
        report.notice(Notice::Resumed {
            after: Duration::from_secs(1),
        });
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
