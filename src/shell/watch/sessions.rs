//! Log lines about broker sessions, and the time without one.

use std::time::{Duration, Instant};

use super::report::{SAID_AGAIN, rounded};
use crate::rabbitmq::{self, Loss};

/// Reasons that are remembered: more than one outage has.
const REASONS: usize = 16;

/// What was logged about the broker, so that a long outage is not logged every few seconds.
#[derive(Default)]
pub(super) struct Sessions {
    outage: Option<Outage>,
}

/// A time without a session: from the loss of one, or from the first attempt that failed.
struct Outage {
    since: Instant,
    attempts: u32,
    /// Why the latest attempt failed.
    latest: Option<Loss>,
    /// The reasons that were logged, each with the time of its last line.
    said: Vec<(Loss, Instant)>,
}

impl Sessions {
    /// `consuming` says whether deliveries are wanted.
    pub(super) fn event(&mut self, now: Instant, event: &rabbitmq::Event, consuming: bool) {
        use rabbitmq::Event;
        match event {
            Event::Opened {
                session,
                share,
                warnings,
            } => {
                self.opened(now, *session, *share, consuming);
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
            }
            Event::NotOpened { reason, retry_in } => self.not_opened(now, reason, *retry_in),
            Event::Lost {
                session,
                reason,
                retry_in,
            } => {
                self.outage.get_or_insert_with(|| Outage::new(now));
                let retry_seconds = retry_in.map(|wait| rounded(wait.as_secs_f64()));
                tracing::warn!(session, %reason, retry_seconds, "broker session lost, unacknowledged events are redelivered");
            }
            Event::LetterRefused(_, reason) => {
                tracing::error!(%reason, "dead letter rejected by the broker: keeping its event, retrying");
            }
            Event::LetterReduced(reason) => {
                tracing::warn!(%reason, "the broker refused a part of a dead letter: retrying without that part");
            }
            Event::Blocked => {
                tracing::warn!("publishing blocked by a broker alarm: dead letters wait");
            }
            Event::Unblocked => tracing::info!("broker alarm cleared, publishing again"),
            Event::Delivered(_)
            | Event::InTouch(_)
            | Event::Counted(_)
            | Event::LetterConfirmed(_) => {}
        }
    }

    /// After an outage the line says how long it was.
    fn opened(&mut self, now: Instant, session: u32, share: u32, consuming: bool) {
        let outage = self.outage.take();
        let disconnected_seconds = outage
            .as_ref()
            .map(|outage| rounded((now - outage.since).as_secs_f64()));
        let attempts = outage.map(|outage| outage.attempts + 1);
        if consuming {
            tracing::info!(
                session,
                quota_shared_by = share,
                attempts,
                disconnected_seconds,
                "broker session open, consuming"
            );
        } else {
            tracing::info!(
                session,
                quota_shared_by = share,
                attempts,
                disconnected_seconds,
                "broker session open, not consuming until the API recovers"
            );
        }
    }

    fn not_opened(&mut self, now: Instant, reason: &Loss, retry_in: Duration) {
        let outage = self.outage.get_or_insert_with(|| Outage::new(now));
        if outage.is_news(now, reason) {
            tracing::warn!(
                %reason,
                attempts = outage.attempts,
                disconnected_seconds = rounded((now - outage.since).as_secs_f64()),
                retry_seconds = rounded(retry_in.as_secs_f64()),
                "no broker session, retrying"
            );
        }
    }
}

impl Outage {
    fn new(since: Instant) -> Outage {
        Outage {
            since,
            attempts: 0,
            latest: None,
            said: Vec::new(),
        }
    }

    /// Counts a failed attempt, and returns whether to log it: the 1st, 2nd, 4th, 8th …, and one with a new reason;
    /// alternating reasons every ten minutes.
    fn is_news(&mut self, now: Instant, reason: &Loss) -> bool {
        self.attempts += 1;
        let changed = self.latest.as_ref() != Some(reason);
        if changed {
            self.latest = Some(reason.clone());
        }
        let lately = |(known, at): &(Loss, Instant)| known == reason && now < *at + SAID_AGAIN;
        let news = self.attempts.is_power_of_two() || changed && !self.said.iter().any(lately);
        if news {
            self.said.retain(|(known, _)| known != reason);
            if self.said.len() == REASONS {
                self.said.remove(0);
            }
            self.said.push((reason.clone(), now));
        }
        news
    }
}

/// Logs the first delivery after a time on standby.
pub(super) fn took_over(stood_by: Duration) {
    tracing::info!(
        standby_seconds = rounded(stood_by.as_secs_f64()),
        "first delivery, leaving standby"
    );
}

pub(super) fn share_changed(share: u32) {
    tracing::info!(quota_shared_by = share, "the number of workers changed");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The attempts of which something is said, where attempt `n` of a night fails three seconds after the one before
    /// for the reason that `reason` gives.
    fn said(reason: impl Fn(u32) -> Loss) -> Vec<u32> {
        let start = Instant::now();
        let mut outage = Outage::new(start);
        let mut news =
            |attempt: &u32| outage.is_news(start + 3 * SECOND * *attempt, &reason(*attempt));
        (1..=10_000).filter(|attempt| news(attempt)).collect()
    }

    #[test]
    fn a_broker_that_is_away_for_a_night_is_said_with_ever_longer_gaps() {
        let powers: Vec<u32> = (0..14).map(|power| 1 << power).collect();
        assert_eq!(said(|_| Loss::Cancelled), powers);
    }

    #[test]
    fn another_reason_is_said_at_once_and_reasons_that_take_turns_every_ten_minutes() {
        let other = Loss::TooLarge { prefetch: 1 };
        let changed = said(|attempt| match attempt {
            ..100 => Loss::Cancelled,
            _ => other.clone(),
        });
        assert_eq!(changed[..9], [1, 2, 4, 8, 16, 32, 64, 100, 128]);
        let in_turns = said(|attempt| match attempt % 2 {
            0 => Loss::Cancelled,
            _ => other.clone(),
        });
        // Each of both at most once in ten minutes, in eight hours, besides the powers of two.
        let nights = 10_000 * 3 / SAID_AGAIN.as_secs() as usize;
        assert!(
            (nights..2 * nights + 16).contains(&in_turns.len()),
            "{in_turns:?}"
        );
    }
}
