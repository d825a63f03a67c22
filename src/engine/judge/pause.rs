//! The pause: no calls but probes, ever further apart, until one goes through.

use std::fmt;
use std::time::{Duration, Instant};

use super::codes::{Class, error_code};
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
}

impl PauseReason {
    pub(super) const NO_ANSWER: PauseReason = PauseReason {
        class: Class::Transient,
        code: None,
    };
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paused for class {}", self.class.name())?;
        let Some(code) = self.code else {
            return write!(f, ": the API gave no usable answer");
        };
        write!(f, ", error code {code}")?;
        match error_code(code) {
            Some(known) => write!(f, ": {}", known.meaning),
            None => Ok(()),
        }
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
    current: Option<Pause>,
    /// When the last pause ended, and how far apart its probes were by then.
    last: Option<(Instant, Duration)>,
}

impl Pauses {
    pub(in super::super) fn current(&self) -> Option<&Pause> {
        self.current.as_ref()
    }

    pub(in super::super) fn current_mut(&mut self) -> Option<&mut Pause> {
        self.current.as_mut()
    }

    /// Pauses, or names the newest reason of a pause. True when the pause is new.
    pub(super) fn pause(&mut self, reason: PauseReason, doubted: Instant, now: Instant) -> bool {
        if let Some(pause) = &mut self.current {
            pause.reason = reason;
            pause.doubted = pause.doubted.max(doubted);
            return false;
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
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    const REASON: PauseReason = PauseReason::NO_ANSWER;

    /// How long the pause waits before each of its next probes, all of which fail.
    fn waits(pauses: &mut Pauses, now: &mut Instant, probes: u64) -> Vec<u64> {
        let wait = |number| {
            let probe_at = pauses.current().unwrap().probe_at;
            let waited = (probe_at - *now).as_secs();
            *now = probe_at;
            pauses.current_mut().unwrap().probe = Some(WindowId(number));
            pauses.probe_over(WindowId(number), false, *now);
            waited
        };
        (0..probes).map(wait).collect()
    }

    #[test]
    fn probes_are_ever_further_apart_up_to_a_minute_and_the_next_pause_goes_on_from_there() {
        let mut now = Instant::now();
        let mut pauses = Pauses::default();
        assert!(pauses.pause(REASON, now, now));
        assert!(!pauses.pause(REASON, now, now), "a pause is told once");
        assert_eq!(
            waits(&mut pauses, &mut now, 8),
            [1, 2, 4, 8, 16, 32, 60, 60]
        );
        assert!(pauses.end(now, now).is_some());
        pauses.pause(REASON, now, now);
        assert_eq!(waits(&mut pauses, &mut now, 1), [60]);
        assert!(pauses.end(now, now).is_some());
        now += AGAIN;
        pauses.pause(REASON, now, now);
        assert_eq!(waits(&mut pauses, &mut now, 2), [1, 2]);
    }

    #[test]
    fn a_late_success_from_before_the_failure_ends_no_pause() {
        let now = Instant::now();
        let mut pauses = Pauses::default();
        let doubted = now + Duration::from_secs(1);
        pauses.pause(REASON, doubted, doubted);
        assert!(pauses.end(now, doubted).is_none());
        assert!(pauses.end(doubted, doubted).is_some());
    }
}
