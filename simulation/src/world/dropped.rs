//! Messages that the broker drops because they were returned too often.

use super::{Violation, World};
use crate::broker::Dropped;
use crate::plan::secs;

impl World<'_> {
    /// No event vanishes: what the broker drops is done, or letters say what is not.
    pub(super) fn look_for_dropped(&mut self) -> Result<(), Violation> {
        for dropped in self.broker.take_dropped() {
            let publication = dropped.publication;
            let event = self.event(publication);
            let since = self.publications[event].at;
            let done =
                self.told
                    .may_acknowledge(event, &self.publications[publication], since, self.plan);
            if let Err(why) = done {
                if !self.was_out_of_hand(&dropped) {
                    return Err(format!(
                        "an event has vanished: the broker dropped event {publication}, which would have been {why}"
                    ));
                }
                self.summary.dropped += 1;
            }
            self.trace
                .line(self.now, || format!("the broker drops event {publication}"));
            self.is_over(publication);
        }
        Ok(())
    }

    /// Whether the session that had it last, and was lost, was no time or no way to write letters. Sessions that are
    /// lost again and again use up any limit.
    fn was_out_of_hand(&self, dropped: &Dropped) -> bool {
        let session = &self.sessions[dropped.session];
        let frozen_until = self.workers[session.worker].frozen_until;
        session.silent
            || self.now < dropped.since + secs(1)
            || dropped.since < frozen_until
            || dropped.since < self.letters_work_from
    }
}
