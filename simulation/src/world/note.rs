//! Records an action in the run's digest and trace.

use crate::engine::{Action, Settlement};
use crate::event::UserId;

use super::World;

impl World<'_> {
    /// Folds the action into the digest of the run, and the trace.
    pub(super) fn note(&mut self, worker: usize, action: &Action) {
        let kind = match action {
            Action::Decode(delivery) => delivery.tag << 3,
            Action::Call { window, users, .. } => (window.0 << 20 | users.len() as u64) << 3 | 1,
            Action::RenewUserSig => 2,
            Action::Settle(Settlement::UpTo(delivery)) => delivery.tag << 3 | 3,
            Action::Settle(Settlement::One(delivery)) => delivery.tag << 3 | 4,
            Action::Settle(Settlement::HandBack(delivery)) => delivery.tag << 3 | 5,
            Action::DeadLetter(letter) => letter.id.0 << 3 | 6,
            Action::Notice(_) => 7,
            Action::Consume { prefetch } => (*prefetch as u64) << 8 | 255,
        };
        for part in [self.now.as_nanos() as u64, worker as u64, kind] {
            self.summary.digest = (self.summary.digest ^ part)
                .wrapping_mul(0x100_0000_01b3)
                .rotate_left(29);
        }
        match action {
            Action::Decode(_) => {}
            Action::Consume { prefetch } => self.trace.line(self.now, || {
                format!("worker {worker} consumes with prefetch {prefetch}")
            }),
            Action::Call {
                window,
                users,
                trigger,
            } => self.trace.line(self.now, || {
                let names: Vec<&str> = users.iter().take(4).map(UserId::as_str).collect();
                format!(
                    "worker {worker} calls window {} for {} users {names:?} ({})",
                    window.0,
                    users.len(),
                    trigger.name()
                )
            }),
            Action::Notice(notice) => self
                .trace
                .line(self.now, || format!("worker {worker}: {notice:?}")),
            Action::Settle(settlement) => self
                .trace
                .line(self.now, || format!("worker {worker}: {settlement:?}")),
            Action::DeadLetter(letter) => self.trace.line(self.now, || {
                format!(
                    "worker {worker} writes letter {} about {:?}: {} {:?}",
                    letter.id.0,
                    letter.delivery,
                    letter.reason.name(),
                    letter.users
                )
            }),
            Action::RenewUserSig => self
                .trace
                .line(self.now, || format!("worker {worker} renews its UserSig")),
        }
    }
}
