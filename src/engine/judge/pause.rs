//! The pause: no calls but probes, ever further apart, until one goes through.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::codes::{Class, class, error_code};
use super::http::http_status;
use crate::engine::WindowId;

const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(60);
/// A pause that begins so soon after another goes on where that one ended.
const AGAIN: Duration = Duration::from_secs(10);

/// Why no calls are made but probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseReason {
    pub class: Class,
    /// The API's error code; none where there was no usable answer.
    pub code: Option<i64>,
    /// The HTTP status, where something else than the API answered.
    pub http: Option<u16>,
}

impl PauseReason {
    pub(in super::super) const NO_ANSWER: PauseReason = PauseReason {
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

    /// What our tables say of the code or the status.
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
    /// The start of the call that began it: only a younger one that goes through ends it.
    pub doubted: Instant,
    /// When the next probe may start.
    pub probe_at: Instant,
    /// The probe that is out.
    pub probe: Option<WindowId>,
    /// The next probe is for a real user, since the one for the control user has failed.
    pub real_turn: bool,
    /// Among real users, those not called yet and those called longest ago take turns.
    pub fresh_turn: bool,
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
    /// Pauses, or names the newest reason of a pause. Tells of a new one when its first probe is due.
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
        let wait = again.map_or(PROBE_MIN, |(_, wait)| wait);
        self.current = Some(Pause {
            reason,
            since: now,
            doubted,
            probe_at: now + wait,
            probe: None,
            real_turn: false,
            fresh_turn: true,
            wait,
        });
        Some(wait)
    }

    /// The call is over; if it was the probe, the next one waits twice as long, unless `real` asks for one
    /// with a real user first.
    pub(super) fn probe_over(&mut self, id: WindowId, real: bool, now: Instant) {
        if let Some(pause) = &mut self.current
            && pause.probe.take_if(|probe| *probe == id).is_some()
        {
            pause.real_turn = real;
            pause.probe_at = now;
            if !real {
                pause.wait = (pause.wait * 2).min(PROBE_MAX);
                pause.probe_at += pause.wait;
            }
        }
    }

    /// A call that started at `started` went through. Returns the pause that this ends.
    pub(super) fn end(&mut self, started: Instant, now: Instant) -> Option<Pause> {
        let pause = self.current.take_if(|pause| started >= pause.doubted)?;
        self.last = Some((now, pause.wait));
        Some(pause)
    }
}
