//! The judgement of a row: everything that was published against what the API and the dead letters say.

use std::collections::HashSet;
use std::time::Duration;

use im_simulator::Simulator;
use testkit::amqp::Incoming;

use crate::fault::Fault;
use crate::load::{Event, user};
use crate::stage::CALLS_PER_SECOND;

/// What the dead letters that were taken name.
#[derive(Default)]
pub struct Letters {
    /// The message IDs of events.
    malformed: HashSet<String>,
    users: HashSet<String>,
    /// Those whom the broker might have dropped.
    returned: HashSet<String>,
    /// Letters with a reason that no event here gives cause for.
    unexpected: Vec<String>,
}

impl Letters {
    pub fn add(&mut self, letters: Vec<Incoming>) {
        for letter in letters {
            let reason = letter.header("tagsweep-reason").unwrap_or_default();
            match reason.as_str() {
                "malformed-event" => {
                    let id = letter.properties.message_id().as_ref();
                    self.malformed.extend(id.map(ToString::to_string));
                }
                "returned-too-often" => self.returned.extend(letter.texts("tagsweep-failed-users")),
                "rejected-by-api" => self.users.extend(letter.texts("tagsweep-failed-users")),
                _ => self.unexpected.push(reason),
            }
        }
    }

    /// How many users nobody will clear, though they could be.
    pub fn returned(&self) -> usize {
        self.returned.len()
    }

    /// Whether nothing is left to do of this event.
    pub fn has_done(&self, simulator: &Simulator, event: &Event) -> bool {
        self.names_what_is_bad(event)
            && event
                .sound_users()
                .all(|number| is_cleared(simulator, number))
    }

    /// Whether the flaw of this event, if it has one, stands in a dead letter.
    pub fn names_what_is_bad(&self, event: &Event) -> bool {
        let malformed = event.users.is_empty();
        let bad = event.bad_user();
        (!malformed || self.malformed.contains(&event.id()))
            && bad.is_none_or(|number| {
                let name = user(number);
                self.users.contains(&name) || self.returned.contains(&name)
            })
    }
}

fn is_cleared(simulator: &Simulator, number: usize) -> bool {
    let name = user(number);
    simulator.clears(&name).count > 0 && simulator.tags(&name).is_some_and(|tags| tags.is_empty())
}

fn tightest(simulator: &Simulator) -> Option<Duration> {
    let calls = simulator.journal().entries;
    let calls: Vec<Duration> = calls.into_iter().map(|call| call.at).collect();
    let spans = calls.windows(CALLS_PER_SECOND as usize + 1);
    spans.map(|calls| calls[calls.len() - 1] - calls[0]).min()
}

/// Everybody who was published, and what became of them.
pub struct Account {
    pub events: usize,
    /// Users without a tag or named in a dead letter, and malformed events whose letter is there.
    pub accounted_for: usize,
    pub lost: usize,
    /// Users who could have been cleared and are in a dead letter all the same, and letters for no reason.
    pub wrongly_dead_lettered: usize,
    /// Users dead-lettered because the broker might have dropped their events.
    pub returned: usize,
    /// Clearing calls of a user beyond the first one.
    pub double_calls: u64,
    pub left_in_queue: u64,
    pub busiest_second: usize,
    /// The shortest time in which one call more than the quota arrived, as far as the journal goes back.
    pub tightest: Option<Duration>,
    /// Calls that the API refused for their frequency.
    pub throttled: u64,
}

impl Account {
    pub fn draw_up(
        events: &[Event],
        letters: &Letters,
        simulator: &Simulator,
        left_in_queue: u64,
    ) -> Account {
        let mut account = Account {
            events: events.len(),
            accounted_for: 0,
            lost: 0,
            wrongly_dead_lettered: letters.unexpected.len(),
            returned: letters.returned(),
            double_calls: 0,
            left_in_queue,
            busiest_second: simulator.stats().largest_second,
            tightest: tightest(simulator),
            throttled: simulator.stats().refused_with(60007),
        };
        for event in events {
            let flawed = event.users.is_empty() || event.bad_user().is_some();
            account.note(flawed.then(|| letters.names_what_is_bad(event)));
            for number in event.sound_users() {
                let name = user(number);
                let named = letters.users.contains(&name);
                account.wrongly_dead_lettered += usize::from(named);
                let done = named || letters.returned.contains(&name);
                account.note(Some(done || is_cleared(simulator, number)));
                let calls = simulator.clears(&name).count;
                account.double_calls += u64::from(calls.saturating_sub(1));
            }
        }
        account
    }

    fn note(&mut self, accounted_for: Option<bool>) {
        match accounted_for {
            Some(true) => self.accounted_for += 1,
            Some(false) => self.lost += 1,
            None => {}
        }
    }

    /// What is not as it must be; nothing when all is well.
    pub fn complaints(&self, fault: Fault) -> Vec<String> {
        let quota = CALLS_PER_SECOND as usize;
        let checks = [
            (self.lost > 0, format!("{} users are lost", self.lost)),
            (
                self.wrongly_dead_lettered > 0,
                format!("{} dead-lettered for nothing", self.wrongly_dead_lettered),
            ),
            (
                self.left_in_queue > 0,
                format!("{} events left in the queue", self.left_in_queue),
            ),
            (
                self.busiest_second > quota,
                format!(
                    "{} calls in a second, {} of them within {:?}",
                    self.busiest_second,
                    quota + 1,
                    self.tightest
                ),
            ),
            (
                self.returned > 0 && !fault.returns_too_often(),
                format!("{} dead-lettered as returned too often", self.returned),
            ),
            (
                self.throttled > 0 && !fault.throttles(),
                format!("{} calls came too often", self.throttled),
            ),
        ];
        let wrong = checks.into_iter().filter(|(wrong, _)| *wrong);
        wrong.map(|(_, complaint)| complaint).collect()
    }
}
