//! Which deliveries are in our hands, what each still waits for, and when it may be acknowledged.
//!
//! Delivery tags count up by one within a session, so a ring of entries is the whole index. A finished
//! delivery is acknowledged with the longest finished run from the head (one `multiple` acknowledgement
//! for all of it), or singly when an older delivery holds that run up too long.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Delivery, Reason, Settlement};
use crate::event::{EventKey, UserId};

/// How long a finished delivery waits for an older one before it is acknowledged alone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a delivery needs a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub reason: Reason,
    pub code: Option<i64>,
    /// The user that failed; none for an event that is not readable, or whose IDs break the rule.
    pub user: Option<UserId>,
    pub attempts: u32,
}

/// What became of a delivery when one of the things that it waited for was over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for more, or is not ours any more.
    Waiting,
    /// All users are through, but these failed: dead letters are due before it is done.
    Failed(Vec<Failure>),
    /// It is done, dead letters and all.
    Finished {
        event: Option<EventKey>,
        dead_lettered: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not decoded yet.
    Unread,
    /// Waits for users or letters.
    Open,
    /// Done, not acknowledged.
    Finished,
    /// Acknowledged or handed back.
    Settled,
}

#[derive(Clone, Debug)]
struct Entry {
    state: State,
    redelivered: bool,
    dead_lettered: bool,
    arrived: Instant,
    event: Option<EventKey>,
    /// Users and letters that it still waits for.
    open: u32,
    failures: Vec<Failure>,
}

impl Entry {
    /// Whether what `in_call` of its users get from their calls can still finish the event.
    fn is_ghostly(&self, in_call: u32) -> bool {
        self.event.is_some() && self.open > 0 && self.open == in_call
    }
}

#[derive(Debug)]
pub(super) struct Ledger {
    session: u32,
    /// The tag at the head of `entries`.
    head: u64,
    entries: VecDeque<Entry>,
    /// The tags before this one have been given out for decoding.
    next_unread: u64,
    /// The tags before this one have been looked at for the hold limit.
    next_held: u64,
    /// Everything up to this tag may be acknowledged in one go.
    run: Option<u64>,
    /// Finished behind an unfinished one, with the moment.
    scattered: VecDeque<(Instant, u64)>,
    /// Deliveries that are not ours any more while their last users are in a call. What those calls clear
    /// is remembered.
    ghosts: HashMap<Delivery, Entry>,
    unsettled: usize,
    /// More scattered ones than this are not left waiting.
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
            ghosts: HashMap::new(),
            unsettled: 0,
            scattered_limit,
            hold_limit,
        }
    }

    /// A delivery is in our hands. False when it cannot be: a tag that was here before, or one of a
    /// session that is over.
    pub(super) fn arrive(&mut self, delivery: Delivery, redelivered: bool, now: Instant) -> bool {
        if delivery.session > self.session {
            self.lose_session(delivery.session - 1, &HashMap::new());
        }
        let next = self.head + self.entries.len() as u64;
        if delivery.session < self.session || delivery.tag < next {
            return false;
        }
        if self.entries.is_empty() {
            self.head = delivery.tag;
            self.next_unread = delivery.tag;
            self.next_held = delivery.tag;
        }
        let entry = |state, redelivered| Entry {
            state,
            redelivered,
            dead_lettered: false,
            arrived: now,
            event: None,
            open: 0,
            failures: Vec::new(),
        };
        // A broker does not leave tags out; should one do so, the gap is nothing of ours to settle.
        while self.head + (self.entries.len() as u64) < delivery.tag {
            self.entries.push_back(entry(State::Settled, false));
        }
        self.entries.push_back(entry(State::Unread, redelivered));
        self.unsettled += 1;
        true
    }

    /// The oldest delivery that was not given out for decoding yet.
    pub(super) fn next_unread(&mut self) -> Option<Delivery> {
        self.next_unread = self.next_unread.max(self.head);
        while let Some(entry) = self.entries.get((self.next_unread - self.head) as usize) {
            let tag = self.next_unread;
            self.next_unread += 1;
            if entry.state == State::Unread {
                return Some(Delivery {
                    session: self.session,
                    tag,
                });
            }
        }
        None
    }

    /// The delivery turned out to hold `event`. Tells whether the broker had delivered it before; none
    /// when it is not ours any more.
    pub(super) fn open(&mut self, delivery: Delivery, event: Option<EventKey>) -> Option<bool> {
        let entry = self
            .entry(delivery)
            .filter(|entry| entry.state == State::Unread)?;
        entry.state = State::Open;
        entry.event = event;
        Some(entry.redelivered)
    }

    /// The delivery waits for one thing more: a user or a letter.
    pub(super) fn wait(&mut self, delivery: Delivery) {
        if let Some(entry) = self.entry(delivery) {
            entry.open += 1;
        }
    }

    /// Notes that a letter is due once all users are through.
    pub(super) fn fail(&mut self, delivery: Delivery, failure: Failure) {
        if let Some(entry) = self.entry_or_ghost(delivery) {
            entry.failures.push(failure);
        }
    }

    /// One of the things that the delivery waited for is over.
    pub(super) fn resolve(&mut self, delivery: Delivery, now: Instant) -> Progress {
        let Some(entry) = self.entry_or_ghost(delivery).filter(|entry| entry.open > 0) else {
            return Progress::Waiting;
        };
        entry.open -= 1;
        self.advance(delivery, now)
    }

    /// Looks whether the delivery waits for anything; call it after [`open`](Ledger::open) too.
    pub(super) fn advance(&mut self, delivery: Delivery, now: Instant) -> Progress {
        if let Some(ghost) = self.ghosts.get(&delivery) {
            if ghost.open > 0 {
                return Progress::Waiting;
            }
            // What failed will fail again when it is redelivered, and the letter is written then.
            let cleared = ghost.failures.is_empty();
            return match self.ghosts.remove(&delivery) {
                Some(Entry {
                    event,
                    dead_lettered,
                    ..
                }) if cleared => Progress::Finished {
                    event,
                    dead_lettered,
                },
                _ => Progress::Waiting,
            };
        }
        let Some(entry) = self
            .entry(delivery)
            .filter(|entry| entry.state == State::Open && entry.open == 0)
        else {
            return Progress::Waiting;
        };
        if !entry.failures.is_empty() {
            entry.dead_lettered = true;
            return Progress::Failed(std::mem::take(&mut entry.failures));
        }
        let progress = Progress::Finished {
            event: entry.event,
            dead_lettered: entry.dead_lettered,
        };
        self.finish(delivery.tag, now);
        progress
    }

    fn finish(&mut self, tag: u64, now: Instant) {
        self.entries[(tag - self.head) as usize].state = State::Finished;
        if tag == self.head {
            self.advance_run();
        } else {
            self.scattered.push_back((now, tag));
        }
    }

    fn advance_run(&mut self) {
        while let Some(entry) = self.entries.front() {
            match entry.state {
                State::Finished => {
                    self.run = Some(self.head);
                    self.unsettled -= 1;
                }
                State::Settled => {}
                State::Unread | State::Open => break,
            }
            self.entries.pop_front();
            self.head += 1;
        }
        while self
            .scattered
            .front()
            .is_some_and(|(_, tag)| *tag < self.head)
        {
            self.scattered.pop_front();
        }
    }

    /// The next acknowledgement that is due, if any.
    pub(super) fn settle(&mut self, now: Instant) -> Option<Settlement> {
        let session = self.session;
        if let Some(tag) = self.run.take() {
            return Some(Settlement::UpTo(Delivery { session, tag }));
        }
        while let Some((finished, tag)) = self.scattered.front().copied() {
            let finished_here = tag >= self.head && self.state(tag) == State::Finished;
            if finished_here
                && now < finished + PATIENCE
                && self.scattered.len() <= self.scattered_limit
            {
                return None;
            }
            self.scattered.pop_front();
            if finished_here {
                self.mark_settled(tag);
                return Some(Settlement::One(Delivery { session, tag }));
            }
        }
        None
    }

    /// The next delivery that was held for the whole hold limit and goes back to the broker. If its last
    /// users are all in a call (`in_call` counts them), it is kept as a ghost.
    pub(super) fn hand_back(
        &mut self,
        now: Instant,
        in_call: impl Fn(Delivery) -> u32,
    ) -> Option<Delivery> {
        self.next_held = self.next_held.max(self.head);
        while let Some(entry) = self.entries.get((self.next_held - self.head) as usize) {
            if now < entry.arrived + self.hold_limit {
                return None;
            }
            let tag = self.next_held;
            let delivery = self.delivery(tag);
            self.next_held += 1;
            if matches!(entry.state, State::Unread | State::Open) {
                if entry.is_ghostly(in_call(delivery)) {
                    self.ghosts.insert(delivery, entry.clone());
                }
                self.mark_settled(tag);
                return Some(delivery);
            }
        }
        None
    }

    fn mark_settled(&mut self, tag: u64) {
        self.entries[(tag - self.head) as usize].state = State::Settled;
        self.unsettled -= 1;
        if tag == self.head {
            self.advance_run();
        }
    }

    /// The session is over: the broker will deliver everything unsettled again. Those deliveries whose
    /// last users are all in a call (`in_call` counts them) are kept as ghosts, so that what those
    /// calls clear can be remembered.
    pub(super) fn lose_session(&mut self, session: u32, in_call: &HashMap<Delivery, u32>) {
        if session < self.session {
            return;
        }
        for (place, entry) in self.entries.drain(..).enumerate() {
            let delivery = Delivery {
                session: self.session,
                tag: self.head + place as u64,
            };
            if entry.is_ghostly(in_call.get(&delivery).copied().unwrap_or_default()) {
                self.ghosts.insert(delivery, entry);
            }
        }
        // Whatever of the lost session is still on its way in must not find a fresh ledger.
        self.session = session + 1;
        self.head = 1;
        self.next_unread = 1;
        self.next_held = 1;
        self.run = None;
        self.scattered.clear();
        self.unsettled = 0;
    }

    /// Gives up on a ghost: its call will not be repeated.
    pub(super) fn forget_ghost(&mut self, delivery: Delivery) {
        self.ghosts.remove(&delivery);
    }

    /// Whether somebody still wants to know what becomes of this delivery's users.
    pub(super) fn is_open(&self, delivery: Delivery) -> bool {
        delivery.session == self.session
            && delivery.tag >= self.head
            && self
                .entries
                .get((delivery.tag - self.head) as usize)
                .is_some_and(|e| e.state == State::Open)
    }

    /// When [`settle`](Ledger::settle) or [`hand_back`](Ledger::hand_back) has something next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let scattered = self
            .scattered
            .front()
            .map(|(finished, _)| *finished + PATIENCE);
        let held = self.next_held.max(self.head) - self.head;
        let hold = self
            .entries
            .get(held as usize)
            .map(|entry| entry.arrived + self.hold_limit);
        [scattered, hold].into_iter().flatten().min()
    }

    /// When the delivery came into our hands.
    pub(super) fn arrived(&self, delivery: Delivery) -> Option<Instant> {
        self.entries
            .get(delivery.tag.checked_sub(self.head)? as usize)
            .map(|entry| entry.arrived)
    }

    /// Whether every finished delivery has been acknowledged.
    pub(super) fn is_settled(&self) -> bool {
        self.run.is_none() && self.scattered.is_empty()
    }

    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }

    fn state(&self, tag: u64) -> State {
        self.entries[(tag - self.head) as usize].state
    }

    fn entry(&mut self, delivery: Delivery) -> Option<&mut Entry> {
        if delivery.session != self.session {
            return None;
        }
        self.entries
            .get_mut(delivery.tag.checked_sub(self.head)? as usize)
    }

    fn entry_or_ghost(&mut self, delivery: Delivery) -> Option<&mut Entry> {
        if self.ghosts.contains_key(&delivery) {
            self.ghosts.get_mut(&delivery)
        } else {
            self.entry(delivery)
        }
    }

    /// A delivery of this session.
    fn delivery(&self, tag: u64) -> Delivery {
        Delivery {
            session: self.session,
            tag,
        }
    }
}
