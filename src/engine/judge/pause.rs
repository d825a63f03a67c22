//! The pause: only probes, with doubling intervals, until one succeeds.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::codes::{Class, class, error_code};
use super::http::http_status;
use crate::engine::WindowId;
use crate::engine::jitter::Jitter;

const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(60);
/// A pause that starts this soon after the last one ended begins with that one's interval, divided: where half of all
/// calls fail, the intervals must not grow from pause to pause.
const AGAIN: Duration = Duration::from_secs(10);
const SHORTER: u32 = 4;

/// Why the worker is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseReason {
    pub class: Class,
    /// The API's error code; none where there was no usable answer.
    pub code: Option<i64>,
    /// The HTTP status, if something other than the API answered.
    pub http: Option<u16>,
}

impl PauseReason {
    pub(crate) const NO_ANSWER: PauseReason = PauseReason {
        class: Class::Transient,
        code: None,
        http: None,
    };

    pub(super) fn of_code(code: i64) -> PauseReason {
        PauseReason {
            class: class(code),
            code: Some(code),
            http: None,
        }
    }

    pub(super) fn of_http(status: u16, told_when: bool) -> PauseReason {
        PauseReason {
            class: http_status(status, told_when).class,
            code: None,
            http: Some(status),
        }
    }

    /// The meaning of the code or status in our tables.
    pub fn meaning(&self) -> Option<&'static str> {
        let code = self.code.and_then(error_code).map(|known| known.meaning);
        let told_when = self.class == Class::Throttle;
        code.or(self
            .http
            .map(|status| http_status(status, told_when).meaning))
    }
}

#[derive(Debug)]
pub(in super::super) struct Pause {
    pub reason: PauseReason,
    pub since: Instant,
    /// The start of the call that caused it: only the success of a later call ends it.
    pub doubted: Instant,
    /// When the next probe may start.
    pub probe_at: Instant,
    /// The probe in flight.
    pub probe: Option<WindowId>,
    /// The next probe is for a real user, since the one for the control user has failed.
    pub real_turn: bool,
    /// Real users that were not called yet alternate with those called longest ago.
    pub fresh_turn: bool,
    /// Of those that were not called yet, the one that came last alternates with the one that came first.
    pub newest_turn: bool,
    wait: Duration,
}

/// The pause, if there is one, and how the last one ended.
#[derive(Debug, Default)]
pub(in super::super) struct Pauses {
    pub current: Option<Pause>,
    /// When the last pause ended, and how far apart its probes were by then.
    last: Option<(Instant, Duration)>,
}

impl Pauses {
    /// Starts a pause, or updates its reason. Returns, for a new pause, when its first probe is due.
    pub(super) fn pause(
        &mut self,
        reason: PauseReason,
        doubted: Instant,
        now: Instant,
    ) -> Option<Duration> {
        if let Some(pause) = &mut self.current {
            pause.reason = reason;
            pause.doubted = pause.doubted.max(doubted);
            return None;
        }
        let again = self.last.filter(|(ended, _)| now < *ended + AGAIN);
        let wait = again.map_or(PROBE_MIN, |(_, wait)| (wait / SHORTER).max(PROBE_MIN));
        self.current = Some(Pause {
            reason,
            since: now,
            doubted,
            probe_at: now + wait,
            probe: None,
            real_turn: false,
            fresh_turn: true,
            newest_turn: false,
            wait,
        });
        Some(wait)
    }

    /// Notes a finished call. If it was the probe, the interval doubles, unless `real` requests one with a real
    /// user first.
    pub(super) fn probe_over(
        &mut self,
        id: WindowId,
        real: bool,
        jitter: &mut Jitter,
        now: Instant,
    ) {
        if let Some(pause) = &mut self.current
            && pause.probe.take_if(|probe| *probe == id).is_some()
        {
            pause.real_turn = real;
            pause.probe_at = now;
            if !real {
                pause.wait = (pause.wait * 2).min(PROBE_MAX);
                // What fails once a minute must not meet each probe.
                pause.probe_at += jitter.spread(pause.wait);
            }
        }
    }

    /// A call that started at `started` succeeded. Returns the pause that this ends.
    pub(super) fn end(&mut self, started: Instant, now: Instant) -> Option<Pause> {
        let pause = self.current.take_if(|pause| started >= pause.doubted)?;
        self.last = Some((now, pause.wait));
        Some(pause)
    }
}
