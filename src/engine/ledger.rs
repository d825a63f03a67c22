//! The unacknowledged deliveries: what each still waits for, and when it may be acknowledged.
//!
//! Delivery tags count up by one within a session, so a ring of entries is the whole index. A finished delivery is
//! acknowledged with the longest finished run from the head (one `multiple` acknowledgement for all of it), or
//! singly when an older delivery blocks that run for too long.

mod kept;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Delivery, Ending, Reason, Settlement};
use crate::event::{EventKey, UserId};

/// How long a finished delivery waits for an older one before it is acknowledged alone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a delivery needs a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub reason: Reason,
    pub code: Option<i64>,
    /// The HTTP status, if something other than the API answered.
    pub http: Option<u16>,
    /// The user that failed; none if the event is malformed, or its IDs are invalid.
    pub user: Option<UserId>,
    /// Number of invalid IDs.
    pub invalid: u32,
    pub attempts: u32,
}

/// The state of a delivery when one of the things that it waited for has finished.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advance {
    /// It waits for more, or has gone back.
    None,
    /// All users are done, but these failed: dead letters are due before it is finished.
    LettersDue {
        failures: Vec<Failure>,
        first_seen: Instant,
    },
    Finished {
        event: Option<EventKey>,
        ending: Ending,
    },
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The broker skipped its tag. It is not acknowledged with others, since its content is unknown.
    Absent,
    /// Not decoded yet.
    Unread,
    /// Waits for so many users.
    Users(u32),
    /// Waits for so many letters to be confirmed.
    Letters(u32),
    /// Done, not acknowledged.
    Finished,
    /// Acknowledged or returned.
    Settled,
}

#[derive(Clone, Debug)]
struct Entry {
    stage: Stage,
    redelivered: bool,
    /// Its ending, as far as known.
    ending: Ending,
    /// It gets a dead letter instead of going back to the broker.
    stays: bool,
    /// Its users are not waited for any longer.
    given_up: bool,
    arrived: Instant,
    event: Option<EventKey>,
    /// Users that it named to us.
    users: u32,
    failures: Vec<Failure>,
}

/// A delivery that was held for long enough.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HandedBack {
    /// With its event and its failures, if some of its users are done and some are not.
    Returned(Delivery, Option<(EventKey, Vec<Failure>)>),
    /// It must not go back.
    Stays(Delivery),
}

#[derive(Debug)]
pub(super) struct Ledger {
    session: u32,
    /// The tag at the head of `entries`.
    head: u64,
    entries: VecDeque<Entry>,
    /// The tags before this one have been given out for decoding.
    next_unread: u64,
    /// The tags before this one have been checked for the hold limit.
    next_held: u64,
    /// Everything up to this tag may be acknowledged in one go.
    run: Option<u64>,
    /// Finished behind an unfinished one, with the moment.
    scattered: VecDeque<(Instant, u64)>,
    unsettled: usize,
    /// Maximum number of finished deliveries that wait behind an unfinished one.
    scattered_limit: usize,
    hold_limit: Duration,
}

impl Ledger {
    pub(super) fn new(scattered_limit: usize, hold_limit: Duration) -> Ledger {
        Ledger {
            session: 0,
            head: 1,
            entries: VecDeque::new(),
            next_unread: 1,
            next_held: 1,
            run: None,
            scattered: VecDeque::new(),
            unsettled: 0,
            scattered_limit,
            hold_limit,
        }
    }

    /// Adds a delivery. False if its tag was seen before, or its session has ended.
    pub(super) fn arrive(&mut self, delivery: Delivery, redelivered: bool, now: Instant) -> bool {
        if delivery.session > self.session {
            self.lose_session(delivery.session - 1);
        }
        let next = self.head + self.entries.len() as u64;
        if delivery.session < self.session || delivery.tag < next {
            return false;
        }
        for tag in next..=delivery.tag {
            let came = tag == delivery.tag;
            self.entries.push_back(Entry {
                stage: if came { Stage::Unread } else { Stage::Absent },
                redelivered,
                ending: Ending::Done,
                stays: false,
                given_up: false,
                arrived: now,
                event: None,
                users: 0,
                failures: Vec::new(),
            });
            self.unsettled += 1;
        }
        true
    }

    /// The oldest delivery that was not given out for decoding yet.
    pub(super) fn next_unread(&mut self) -> Option<Delivery> {
        self.next_unread = self.next_unread.max(self.head);
        while let Some(entry) = self.entries.get((self.next_unread - self.head) as usize) {
            let delivery = self.delivery(self.next_unread);
            self.next_unread += 1;
            if entry.stage == Stage::Unread {
                return Some(delivery);
            }
        }
        None
    }

    /// Whether a delivery was not given out for decoding yet.
    pub(super) fn has_unread(&self) -> bool {
        self.next_unread < self.head + self.entries.len() as u64
    }

    /// The delivery contains `event`. Returns whether the broker had delivered it before; none if it has gone back.
    pub(super) fn open(&mut self, delivery: Delivery, event: Option<EventKey>) -> Option<bool> {
        let entry = self.entry(delivery);
        let entry = entry.filter(|entry| entry.stage == Stage::Unread)?;
        entry.stage = Stage::Users(0);
        entry.event = event;
        Some(entry.redelivered)
    }

    /// The delivery waits for no user, and ends like this.
    pub(super) fn ends_as(&mut self, delivery: Delivery, ending: Ending) {
        if let Some(entry) = self.entry(delivery) {
            entry.ending = ending;
        }
    }

    /// The delivery waits for one user more.
    pub(super) fn wait_for_user(&mut self, delivery: Delivery) {
        if let Some(entry) = self.entry(delivery)
            && let Stage::Users(open) = &mut entry.stage
        {
            *open += 1;
            entry.users += 1;
        }
    }

    /// One of its users was done in an earlier delivery of the event. If it is returned again, that is kept.
    pub(super) fn was_done_before(&mut self, delivery: Delivery) {
        if let Some(entry) = self.entry(delivery) {
            entry.users += 1;
        }
    }

    /// The delivery waits for so many letters, after its users.
    pub(super) fn wait_for_letters(&mut self, delivery: Delivery, letters: u32) {
        if let Some(entry) = self.entry(delivery) {
            entry.stage = Stage::Letters(letters);
        }
    }

    /// Notes that a letter is due once all users are through.
    pub(super) fn fail(&mut self, delivery: Delivery, failure: Failure) {
        if let Some(entry) = self.entry(delivery)
            && matches!(entry.stage, Stage::Users(_))
        {
            entry.failures.push(failure);
        }
    }

    /// One of the users that the delivery waited for is done; false if it waits for none.
    pub(super) fn resolve(&mut self, delivery: Delivery) -> bool {
        match self.entry(delivery).map(|entry| &mut entry.stage) {
            Some(Stage::Users(open)) if *open > 0 => *open -= 1,
            _ => return false,
        }
        true
    }

    /// The same for its letters. A user of a delivery that was given up may be over while they are on their way.
    pub(super) fn confirm(&mut self, delivery: Delivery) -> bool {
        match self.entry(delivery).map(|entry| &mut entry.stage) {
            Some(Stage::Letters(open)) if *open > 0 => *open -= 1,
            _ => return false,
        }
        true
    }

    /// Checks whether the delivery waits for anything; call it after [`open`](Ledger::open) and
    /// [`resolve`](Ledger::resolve).
    pub(super) fn advance(&mut self, delivery: Delivery, now: Instant) -> Advance {
        let Some(entry) = self
            .entry(delivery)
            .filter(|entry| matches!(entry.stage, Stage::Users(0) | Stage::Letters(0)))
        else {
            return Advance::None;
        };
        if !entry.failures.is_empty() {
            entry.ending = Ending::DeadLettered;
            return Advance::LettersDue {
                failures: std::mem::take(&mut entry.failures),
                first_seen: entry.arrived,
            };
        }
        let finished = Advance::Finished {
            event: entry.event,
            ending: entry.ending,
        };
        entry.stage = Stage::Finished;
        if delivery.tag == self.head {
            self.advance_run();
        } else {
            self.scattered.push_back((now, delivery.tag));
        }
        finished
    }

    fn advance_run(&mut self) {
        while let Some(entry) = self.entries.front() {
            match entry.stage {
                Stage::Finished => {
                    self.run = Some(self.head);
                    self.unsettled -= 1;
                }
                Stage::Settled => {}
                Stage::Absent | Stage::Unread | Stage::Users(_) | Stage::Letters(_) => break,
            }
            self.entries.pop_front();
            self.head += 1;
        }
        let run_over = |(_, tag): &mut (Instant, u64)| *tag < self.head;
        while self.scattered.pop_front_if(run_over).is_some() {}
    }

    /// The next acknowledgement that is due, if any. `starved`: the broker delivers nothing more until something is
    /// acknowledged, so none waits for an older one.
    pub(super) fn settle(&mut self, now: Instant, starved: bool) -> Option<Settlement> {
        if let Some(tag) = self.run.take() {
            return Some(Settlement::UpTo(self.delivery(tag)));
        }
        while let Some(&(finished, tag)) = self.scattered.front() {
            let few = self.scattered.len() <= self.scattered_limit;
            let open = tag >= self.head;
            if open && few && !starved && now < finished + PATIENCE {
                return None;
            }
            self.scattered.pop_front();
            if open {
                self.mark_settled(tag);
                return Some(Settlement::One(self.delivery(tag)));
            }
        }
        None
    }

    /// The next delivery that arrived at `latest` or before and is not done. It is settled, unless it stays.
    pub(super) fn hand_back(&mut self, latest: Instant) -> Option<HandedBack> {
        self.next_held = self.next_held.max(self.head);
        while let Some(entry) = self
            .entries
            .get_mut((self.next_held - self.head) as usize)
            .filter(|entry| entry.arrived <= latest)
        {
            let tag = self.next_held;
            self.next_held += 1;
            if entry.stays {
                return Some(HandedBack::Stays(self.delivery(tag)));
            }
            let partly_done = match entry.stage {
                Stage::Users(open) if open < entry.users => entry
                    .event
                    .map(|event| (event, std::mem::take(&mut entry.failures))),
                Stage::Absent | Stage::Unread | Stage::Users(_) | Stage::Letters(_) => None,
                Stage::Finished | Stage::Settled => continue,
            };
            self.mark_settled(tag);
            return Some(HandedBack::Returned(self.delivery(tag), partly_done));
        }
        None
    }

    fn mark_settled(&mut self, tag: u64) {
        self.entries[(tag - self.head) as usize].stage = Stage::Settled;
        self.unsettled -= 1;
        if tag == self.head {
            self.advance_run();
        }
    }

    /// The session has ended: the broker will redeliver everything unsettled. Returns how many deliveries were
    /// unfinished; none if the end was known.
    pub(super) fn lose_session(&mut self, session: u32) -> Option<u64> {
        if session < self.session {
            return None;
        }
        let undone = self.entries.iter().filter(|entry| {
            matches!(
                entry.stage,
                Stage::Unread | Stage::Users(_) | Stage::Letters(_)
            )
        });
        let undone = undone.count() as u64;
        *self = Ledger {
            // Whatever of the lost session is still on its way in must not find a fresh ledger.
            session: session + 1,
            ..Ledger::new(self.scattered_limit, self.hold_limit)
        };
        Some(undone)
    }

    /// Whether the outcome of this delivery's users still matters.
    pub(super) fn is_open(&self, delivery: Delivery) -> bool {
        let entry = self.place(delivery).and_then(|at| self.entries.get(at));
        entry.is_some_and(|entry| matches!(entry.stage, Stage::Users(_)))
    }

    /// Every delivery that waits for users or letters, and for how many.
    pub(super) fn open_deliveries(&self) -> impl Iterator<Item = (Delivery, u32)> {
        let tagged = (self.head..).zip(&self.entries);
        tagged.filter_map(|(tag, entry)| match entry.stage {
            Stage::Users(open) | Stage::Letters(open) => Some((self.delivery(tag), open)),
            Stage::Absent | Stage::Unread | Stage::Finished | Stage::Settled => None,
        })
    }

    /// When [`settle`](Ledger::settle) or [`hand_back`](Ledger::hand_back) has something next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let scattered = self.scattered.front();
        let scattered = scattered.map(|(finished, _)| *finished + PATIENCE);
        scattered.into_iter().chain(self.next_held()).min()
    }

    /// When the oldest delivery has been held for long enough.
    pub(super) fn next_held(&self) -> Option<Instant> {
        let held = self.next_held.max(self.head) - self.head;
        let entry = self.entries.get(held as usize)?;
        Some(entry.arrived + self.hold_limit)
    }

    /// Whether every finished delivery has been acknowledged.
    pub(super) fn is_settled(&self) -> bool {
        self.run.is_none() && self.scattered.is_empty()
    }

    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }

    fn entry(&mut self, delivery: Delivery) -> Option<&mut Entry> {
        let place = self.place(delivery)?;
        self.entries.get_mut(place)
    }

    /// Where the entry of a delivery of this session stands, if it is not settled.
    fn place(&self, delivery: Delivery) -> Option<usize> {
        let place = delivery.tag.checked_sub(self.head)? as usize;
        (delivery.session == self.session).then_some(place)
    }

    /// A delivery of this session.
    fn delivery(&self, tag: u64) -> Delivery {
        Delivery {
            session: self.session,
            tag,
        }
    }
}
