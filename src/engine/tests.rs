//! The engine as a whole, in a small world: a broker that redelivers, an API that can be told to
//! misbehave, and a clock that only these tests move. The promises are checked at every step.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> Settings {
    Settings {
        max_ids: 100,
        max_wait: Duration::from_millis(500),
        max_in_flight: 16,
        calls_per_second: 100,
        quota_margin: Duration::from_millis(20),
        prefetch: 1800,
        hold_limit: Duration::from_secs(600),
        max_attempts: 8,
        backoff_min: Duration::from_millis(500),
        backoff_max: Duration::from_secs(30),
        missing_account: MissingAccount::Done,
        seed: 7,
    }
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

/// What the broker holds of one event.
#[derive(Clone, Debug)]
struct Published {
    users: Vec<UserId>,
    malformed: bool,
    redelivered: bool,
    /// When it was first published: each of its users must be in a call that starts no earlier.
    at: Instant,
}

/// How the API answers, told per world.
type Api = Box<dyn Fn(&World, &[UserId]) -> Answer>;

struct World {
    engine: Engine,
    start: Instant,
    now: Instant,
    latency: Duration,
    api: Api,
    session: u32,
    next_tag: u64,
    queue: VecDeque<(usize, Published)>,
    unacked: BTreeMap<Delivery, (usize, Published)>,
    published: usize,
    /// Events that were acknowledged, how often; twice is right only after a lost session.
    acknowledged: HashMap<usize, u32>,
    calls: Vec<(Instant, Vec<UserId>, Trigger)>,
    answers: BTreeMap<(Instant, WindowId), Answer>,
    /// When each user was last in a call that cleared it (the start of that call).
    cleared: HashMap<UserId, Instant>,
    starts: HashMap<WindowId, (Instant, Vec<UserId>)>,
    letters: Vec<Letter>,
    refuse_letters: bool,
    notices: Vec<Notice>,
    renewals: usize,
    handed_back: usize,
}

impl World {
    fn new(settings: Settings, api: impl Fn(&World, &[UserId]) -> Answer + 'static) -> World {
        let now = Instant::now();
        World {
            engine: Engine::new(settings, now),
            start: now,
            now,
            latency: Duration::from_millis(20),
            api: Box::new(api),
            session: 1,
            next_tag: 1,
            queue: VecDeque::new(),
            unacked: BTreeMap::new(),
            published: 0,
            acknowledged: HashMap::new(),
            calls: Vec::new(),
            answers: BTreeMap::new(),
            cleared: HashMap::new(),
            starts: HashMap::new(),
            letters: Vec::new(),
            refuse_letters: false,
            notices: Vec::new(),
            renewals: 0,
            handed_back: 0,
        }
    }

    fn publish(&mut self, users: impl IntoIterator<Item = usize>) {
        let users: Vec<UserId> = users.into_iter().map(user).collect();
        let malformed = users.is_empty();
        let event = Published {
            users,
            malformed,
            redelivered: false,
            at: self.now,
        };
        self.queue.push_back((self.published, event));
        self.published += 1;
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Delivers, answers and polls until nothing more happens before `until`.
    fn run_until(&mut self, until: Instant) {
        loop {
            self.deliver();
            self.perform();
            let next = self.engine.deadline(self.now);
            if let Some(next) = next {
                assert!(next > self.now, "a deadline in the past would spin");
            }
            let answer = self.answers.keys().next().map(|(at, _)| *at);
            let Some(next) = [next, answer]
                .into_iter()
                .flatten()
                .min()
                .filter(|next| *next <= until)
            else {
                self.now = self.now.max(until);
                return;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self
                .answers
                .first_entry()
                .filter(|entry| entry.key().0 <= self.now)
            {
                let ((_, window), answer) = entry.remove_entry();
                self.note_cleared(window, &answer);
                self.engine
                    .handle(self.now, Input::Answered { window, answer });
            }
        }
    }

    fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    fn note_cleared(&mut self, window: WindowId, answer: &Answer) {
        let (start, users) = self
            .starts
            .remove(&window)
            .expect("a window is answered once");
        let gone = |user: &UserId| match answer {
            Answer::Done { failed } => !failed
                .iter()
                .any(|(other, code)| other == user && class(*code) != Class::Missing),
            Answer::Refused(code) => class(*code) == Class::Missing && users.len() == 1,
            _ => false,
        };
        for user in users.iter().filter(|user| gone(user)) {
            self.cleared.insert(*user, start);
        }
    }

    fn deliver(&mut self) {
        while self.unacked.len() < self.engine.settings.prefetch
            && let Some((id, event)) = self.queue.pop_front()
        {
            let delivery = Delivery {
                session: self.session,
                tag: self.next_tag,
            };
            self.next_tag += 1;
            self.engine.handle(
                self.now,
                Input::Delivered {
                    delivery,
                    redelivered: event.redelivered,
                },
            );
            self.unacked.insert(delivery, (id, event));
        }
    }

    fn perform(&mut self) {
        while let Some(action) = self.engine.poll(self.now) {
            match action {
                Action::Decode(delivery) => {
                    let (id, event) = self.unacked[&delivery].clone();
                    let input = if event.malformed {
                        Input::Unreadable { delivery }
                    } else {
                        let key = Some(EventKey(id as u128));
                        Input::Event {
                            delivery,
                            key,
                            users: &event.users,
                            invalid: false,
                        }
                    };
                    self.engine.handle(self.now, input);
                }
                Action::Call {
                    window,
                    users,
                    trigger,
                } => {
                    assert!(users.len() <= self.engine.settings.max_ids);
                    assert_eq!(
                        users.iter().collect::<HashSet<_>>().len(),
                        users.len(),
                        "an ID twice"
                    );
                    assert!(self.starts.len() < self.engine.settings.max_in_flight);
                    let answer = (self.api)(self, &users);
                    self.calls.push((self.now, users.clone(), trigger));
                    self.starts.insert(window, (self.now, users));
                    self.answers
                        .insert((self.now + self.latency, window), answer);
                }
                Action::RenewUserSig => self.renewals += 1,
                Action::Settle(Settlement::UpTo(last)) => {
                    let rest = self.unacked.split_off(&Delivery {
                        tag: last.tag + 1,
                        ..last
                    });
                    let settled = std::mem::replace(&mut self.unacked, rest);
                    assert!(settled.contains_key(&last), "{last:?} was settled before");
                    for (delivery, event) in settled {
                        self.acknowledge(delivery, event);
                    }
                }
                Action::Settle(Settlement::One(delivery)) => {
                    let event = self
                        .unacked
                        .remove(&delivery)
                        .expect("settled once, in its own session");
                    self.acknowledge(delivery, event);
                }
                Action::Settle(Settlement::HandBack(delivery)) => {
                    let (id, event) = self.unacked.remove(&delivery).expect("settled once");
                    self.handed_back += 1;
                    self.queue.push_back((
                        id,
                        Published {
                            redelivered: true,
                            ..event
                        },
                    ));
                }
                Action::DeadLetter(letter) => {
                    let answer = if self.refuse_letters {
                        Input::LetterRefused(letter.id)
                    } else {
                        Input::LetterConfirmed(letter.id)
                    };
                    if !self.refuse_letters {
                        self.letters.push(letter);
                    }
                    self.engine.handle(self.now, answer);
                }
                Action::Notice(notice) => self.notices.push(notice),
            }
        }
    }

    /// Promise 1: only what is done or dead-lettered is acknowledged.
    fn acknowledge(&mut self, delivery: Delivery, (id, event): (usize, Published)) {
        *self.acknowledged.entry(id).or_default() += 1;
        if event.malformed {
            assert!(
                self.letters
                    .iter()
                    .any(|letter| letter.delivery == delivery),
                "acknowledged on hope"
            );
        }
        for user in &event.users {
            let cleared = self.cleared.get(user).is_some_and(|at| *at >= event.at);
            let lettered = self
                .letters
                .iter()
                .any(|letter| letter.users.contains(user));
            assert!(cleared || lettered, "acknowledged before its user was done");
        }
    }

    /// The connection is gone: the broker delivers everything unsettled again, in a new session.
    fn lose_session(&mut self) {
        self.engine.handle(
            self.now,
            Input::SessionLost {
                session: self.session,
            },
        );
        self.session += 1;
        self.next_tag = 1;
        let unacked = std::mem::take(&mut self.unacked);
        for (_, (id, event)) in unacked.into_iter().rev() {
            self.queue.push_front((
                id,
                Published {
                    redelivered: true,
                    ..event
                },
            ));
        }
    }

    fn assert_all_settled(&self) {
        assert!(
            self.queue.is_empty() && self.unacked.is_empty(),
            "{:?}",
            self.engine.status(self.now)
        );
        assert_eq!(self.acknowledged.len(), self.published);
        assert_eq!(self.engine.status(self.now).unsettled_deliveries, 0);
    }

    fn dead_lettered(&self) -> Vec<&str> {
        self.letters
            .iter()
            .flat_map(|letter| letter.users.iter().map(UserId::as_str))
            .collect()
    }

    fn busiest_second(&self) -> usize {
        let starts: Vec<Instant> = self.calls.iter().map(|(at, _, _)| *at).collect();
        let within = |first: &Instant| {
            starts
                .iter()
                .filter(|at| *at >= first && **at < *first + SECOND)
                .count()
        };
        starts.iter().map(within).max().unwrap_or(0)
    }
}

fn ok() -> Answer {
    Answer::Done { failed: Vec::new() }
}

fn refuse_if(users: &[UserId], bad: &[usize], code: i64) -> Answer {
    if users
        .iter()
        .any(|id| bad.iter().any(|number| user(*number) == *id))
    {
        Answer::Refused(code)
    } else {
        ok()
    }
}

// Ordinary flow.

#[test]
fn under_load_every_window_is_full_and_the_quota_is_kept() {
    let mut world = World::new(settings(), |_, _| ok());
    for number in 0..50_000 {
        world.publish([number]);
    }
    world.run_for(Duration::from_secs(6));
    world.assert_all_settled();
    assert!(world.calls.iter().all(|(_, users, _)| users.len() == 100));
    assert!(world.busiest_second() <= 100);
    let last = world.calls.last().unwrap().0 - world.start;
    assert!(
        last < Duration::from_millis(5_150),
        "500 calls took {last:?}"
    );
}

#[test]
fn an_idle_worker_calls_when_the_oldest_id_has_waited_for_max_wait() {
    let mut world = World::new(settings(), |_, _| ok());
    world.publish([1]);
    world.run_for(Duration::from_millis(100));
    world.publish([2]);
    world.run_for(SECOND);
    let (at, users, trigger) = &world.calls[0];
    assert_eq!((users.len(), *trigger), (2, Trigger::Expired));
    assert_eq!(*at - world.start, Duration::from_millis(500));
    world.assert_all_settled();
}

#[test]
fn a_duplicate_that_waits_shares_the_call_and_one_in_a_call_gets_a_call_of_its_own() {
    let mut world = World::new(settings(), |_, _| ok());
    world.publish([1]);
    world.publish([1]);
    world.run_for(Duration::from_millis(510));
    assert_eq!(world.calls.len(), 1);
    world.publish([1]);
    world.run_for(SECOND);
    assert_eq!(world.calls.len(), 2);
    world.assert_all_settled();
}

#[test]
fn an_event_with_thousands_of_users_stops_intake_until_calls_catch_up() {
    let mut world = World::new(settings(), |_, _| ok());
    world.publish(0..5_000);
    world.publish([9_999]);
    world.run_for(Duration::from_millis(1));
    assert_eq!(world.engine.status(world.now).tally.events_accepted, 1);
    world.run_for(SECOND * 2);
    world.assert_all_settled();
}

// Verdicts.

#[test]
fn one_rejected_id_among_100_costs_at_most_15_extra_calls_and_only_it_is_dead_lettered() {
    for bad in [0, 37, 99] {
        let mut world = World::new(settings(), move |_, users| refuse_if(users, &[bad], 90001));
        for number in 0..100 {
            world.publish([number]);
        }
        world.run_for(Duration::from_secs(5));
        world.assert_all_settled();
        assert!(world.calls.len() <= 1 + 15, "{} calls", world.calls.len());
        assert_eq!(world.dead_lettered(), [user(bad).as_str()]);
        assert_eq!(world.letters[0].reason, Reason::RejectedByApi);
        assert_eq!(world.letters[0].code, Some(90001));
    }
}

#[test]
fn the_error_list_is_the_truth_about_each_user() {
    let mut world = World::new(settings(), |world, users| {
        let codes = [(1, 70107), (2, 90001), (3, 70500)];
        let failing = codes
            .into_iter()
            .filter(|(number, code)| *code != 70500 || world.calls.is_empty() || *number != 3);
        Answer::Done {
            failed: failing
                .map(|(number, code)| (user(number), code))
                .filter(|(id, _)| users.contains(id))
                .collect(),
        }
    });
    world.publish([0, 1, 2, 3]);
    world.run_for(Duration::from_secs(5));
    world.assert_all_settled();
    let tally = world.engine.status(world.now).tally;
    assert_eq!((tally.users_cleared, tally.users_missing), (2, 1));
    assert_eq!(world.dead_lettered(), ["u2"]);
    assert_eq!(
        world.calls[1].1,
        [user(3)],
        "only the transient one is called again"
    );
}

#[test]
fn an_error_list_that_names_every_user_is_no_success() {
    let mut world = World::new(settings(), |_, users| Answer::Done {
        failed: users.iter().map(|id| (*id, 90045)).collect(),
    });
    world.publish([1]);
    world.publish([2]);
    world.run_for(SECOND * 30);
    assert!(world.letters.is_empty());
    assert!(world.engine.status(world.now).paused.is_some());
}

#[test]
fn a_missing_account_is_done_or_dead_lettered_as_the_configuration_says() {
    for (missing_account, letters) in [(MissingAccount::Done, 0), (MissingAccount::DeadLetter, 2)] {
        let mut world = World::new(
            Settings {
                missing_account,
                ..settings()
            },
            |_, users| refuse_if(users, &[1, 2], 70107),
        );
        world.publish([1]);
        world.publish([2]);
        world.publish([3]);
        world.run_for(SECOND * 5);
        world.assert_all_settled();
        assert_eq!(world.letters.len(), letters);
        assert!(
            world
                .letters
                .iter()
                .all(|letter| letter.reason == Reason::UnknownAccount)
        );
    }
}

#[test]
fn a_window_that_fails_while_others_succeed_is_split_and_only_the_guilty_user_is_dead_lettered() {
    let mut world = World::new(settings(), |_, users| refuse_if(users, &[5], 91000));
    for number in 0..10 {
        world.publish([number]);
    }
    for second in 0..400 {
        world.run_until(world.start + SECOND * second);
        world.publish([1000 + second as usize]);
    }
    world.run_for(SECOND * 60);
    world.assert_all_settled();
    assert_eq!(world.dead_lettered(), ["u5"]);
    assert_eq!(world.letters[0].reason, Reason::RetriesExhausted);
}

#[test]
fn throttling_slows_down_and_never_counts_as_an_attempt() {
    let until = Duration::from_secs(20);
    let mut world = World::new(settings(), move |world, _| {
        if world.elapsed() < until {
            Answer::Refused(60007)
        } else {
            ok()
        }
    });
    for number in 0..2_000 {
        world.publish([number]);
    }
    world.run_for(until);
    let during = world.calls.len();
    assert!(during < 60, "{during} calls into a closed door");
    world.run_for(Duration::from_secs(120));
    world.assert_all_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn an_expired_user_sig_is_renewed_once_and_then_it_is_the_configuration() {
    let mut world = World::new(settings(), |world, _| {
        if world.renewals == 0 {
            Answer::Refused(70001)
        } else {
            ok()
        }
    });
    world.publish([1]);
    world.run_for(SECOND);
    world.assert_all_settled();
    assert_eq!((world.renewals, world.calls.len()), (1, 2));

    let mut world = World::new(settings(), |_, _| Answer::Refused(70001));
    world.publish([1]);
    world.run_for(SECOND);
    assert_eq!(world.calls.len(), 2);
    assert!(matches!(
        world.notices[..],
        [Notice::Paused(PauseReason {
            class: Class::AuthRefresh,
            ..
        })]
    ));
}

#[test]
fn an_ambiguous_code_is_split_only_after_a_new_user_sig_and_with_a_witness() {
    let mut world = World::new(settings(), |_, users| refuse_if(users, &[3], 60004));
    world.publish([100]);
    world.run_for(SECOND);
    for number in 0..8 {
        world.publish([number]);
    }
    world.run_for(SECOND * 5);
    world.assert_all_settled();
    assert_eq!(world.dead_lettered(), ["u3"]);
    assert_eq!(world.renewals, 1);
}

#[test]
fn a_code_that_nobody_knows_is_never_dead_lettered_and_holds_up_nobody_else() {
    let mut world = World::new(settings(), |_, users| refuse_if(users, &[3], 12345));
    for second in 0..120 {
        world.run_until(world.start + SECOND * second);
        world.publish([second as usize]);
    }
    world.run_for(SECOND * 20);
    assert!(world.letters.is_empty());
    assert_eq!(world.unacked.len(), 1, "all but the riddle are done");
}

// Outages.

#[test]
fn a_wrong_key_pauses_dead_letters_nothing_and_goes_on_when_the_key_is_right() {
    let mended = Duration::from_secs(300);
    let mut world = World::new(settings(), move |world, _| {
        if world.elapsed() < mended {
            Answer::Refused(70009)
        } else {
            ok()
        }
    });
    for number in 0..3_000 {
        world.publish([number]);
    }
    world.run_for(mended);
    let probes = world.calls.len();
    assert!(probes < 16 + 12, "{probes} calls with a wrong key");
    assert!(world.renewals > 5, "a probe tries the key anew");
    world.run_for(Duration::from_secs(65));
    world.assert_all_settled();
    assert!(world.letters.is_empty());
    assert!(
        world
            .notices
            .iter()
            .any(|notice| matches!(notice, Notice::Resumed { .. }))
    );
}

#[test]
fn an_api_that_rejects_everything_for_a_minute_costs_no_user_and_few_calls() {
    let mended = Duration::from_secs(60);
    let mut world = World::new(settings(), move |world, _| {
        if world.elapsed() < mended {
            Answer::Refused(90001)
        } else {
            ok()
        }
    });
    for number in 0..3_000 {
        world.publish([number]);
    }
    world.run_for(mended);
    assert!(world.calls.len() < 40, "{} calls", world.calls.len());
    world.run_for(Duration::from_secs(120));
    world.assert_all_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn a_lone_rejected_user_is_dead_lettered_after_five_minutes_and_one_in_five() {
    let mut world = World::new(settings(), |_, _| Answer::Refused(90001));
    for number in 0..10 {
        world.publish([number]);
        world.run_for(SECOND);
    }
    world.run_until(world.start + Duration::from_secs(290));
    assert!(world.letters.is_empty());
    world.run_until(world.start + Duration::from_secs(3_600));
    let letters = world.letters.len();
    assert!((5..=12).contains(&letters), "{letters} letters in an hour");
    assert!(
        world.calls.len() < 120,
        "{} calls in an hour",
        world.calls.len()
    );
}

#[test]
fn an_api_that_turns_to_reject_everybody_costs_no_user_of_a_trickle() {
    let (broken, mended) = (Duration::from_secs(30), Duration::from_secs(90));
    for answer in [
        Answer::Refused(90001),
        Answer::Fault,
        Answer::Refused(91000),
    ] {
        let mut world = World::new(settings(), move |world, _| {
            if (broken..mended).contains(&world.elapsed()) {
                answer.clone()
            } else {
                ok()
            }
        });
        for second in 0..180 {
            world.run_until(world.start + SECOND * second);
            world.publish([second as usize]);
        }
        world.run_for(Duration::from_secs(120));
        world.assert_all_settled();
        assert!(world.letters.is_empty(), "{:?}", world.letters);
    }
}

#[test]
fn a_lone_user_whose_calls_fail_in_an_outage_right_after_a_success_is_kept() {
    let mut world = World::new(settings(), |world, _| {
        if world.calls.is_empty() {
            ok()
        } else {
            Answer::Fault
        }
    });
    world.publish([1]);
    world.run_for(SECOND);
    world.publish([2]);
    world.run_for(Duration::from_secs(3_600));
    assert!(world.letters.is_empty());
    assert_eq!(world.unacked.len() + world.queue.len(), 1);
}

#[test]
fn a_bad_user_in_a_silent_queue_is_convicted_as_soon_as_a_good_one_comes() {
    let mut world = World::new(settings(), |_, users| refuse_if(users, &[1], 90001));
    world.publish([1]);
    world.run_for(Duration::from_secs(20));
    assert!(world.letters.is_empty() && world.engine.status(world.now).paused.is_some());
    world.publish([2]);
    world.run_for(Duration::from_secs(70));
    world.assert_all_settled();
    assert_eq!(world.dead_lettered(), ["u1"]);
}

#[test]
fn an_outage_of_an_hour_dead_letters_nothing_and_hands_back_in_time() {
    let mended = Duration::from_secs(3_600);
    let mut world = World::new(settings(), move |world, _| {
        if world.elapsed() < mended {
            Answer::Fault
        } else {
            ok()
        }
    });
    for number in 0..2_500 {
        world.publish([number]);
    }
    world.run_for(mended);
    assert!(
        world.handed_back >= 5 * 1_800,
        "{} handed back",
        world.handed_back
    );
    assert!(world.calls.len() < 120, "{} calls", world.calls.len());
    world.run_for(Duration::from_secs(120));
    world.assert_all_settled();
    assert!(world.letters.is_empty());
}

#[test]
fn a_window_that_always_fails_cannot_block_the_queue_in_a_pause() {
    let mut world = World::new(settings(), |_, users| {
        if users.contains(&user(0)) {
            Answer::Fault
        } else {
            ok()
        }
    });
    world.publish([0]);
    world.run_for(Duration::from_secs(120));
    for number in 1..200 {
        world.publish([number]);
    }
    world.run_for(Duration::from_secs(300));
    assert_eq!(world.unacked.len() + world.letters.len(), 1);
}

// Letters, sessions, the end.

#[test]
fn a_refused_letter_keeps_its_delivery_stops_intake_and_is_sent_again() {
    let mut world = World::new(settings(), |_, _| ok());
    world.refuse_letters = true;
    world.publish([]);
    world.run_for(SECOND);
    world.publish([1]);
    world.run_for(SECOND * 60);
    assert_eq!(world.unacked.len(), 2);
    assert!(
        world.calls.is_empty(),
        "intake goes on though no letter could be written"
    );
    world.refuse_letters = false;
    world.run_for(SECOND * 31);
    world.assert_all_settled();
    assert_eq!(world.letters[0].reason, Reason::MalformedEvent);
}

#[test]
fn what_was_cleared_in_a_lost_session_is_not_called_again() {
    let mut world = World::new(settings(), |_, _| ok());
    world.latency = Duration::from_secs(3);
    world.publish([1]);
    world.publish([2, 3]);
    world.run_for(SECOND);
    world.lose_session();
    // The broker is back only after the answer.
    let queue = std::mem::take(&mut world.queue);
    world.run_for(SECOND * 5);
    world.queue = queue;
    world.run_for(SECOND * 5);
    world.assert_all_settled();
    assert_eq!(world.calls.len(), 1);
    assert_eq!(world.engine.status(world.now).tally.events_remembered, 2);
}

#[test]
fn a_new_reset_of_the_same_user_after_a_lost_session_gets_a_call_of_its_own() {
    let mut world = World::new(settings(), |_, _| ok());
    world.publish([1]);
    world.run_for(SECOND);
    world.lose_session();
    world.publish([1]);
    world.run_for(SECOND);
    assert_eq!(world.calls.len(), 2);
}

#[test]
fn a_delivery_that_is_held_up_does_not_hold_up_the_younger_ones() {
    let mut world = World::new(settings(), |_, users| {
        if users.contains(&user(0)) {
            Answer::Fault
        } else {
            ok()
        }
    });
    for number in 0..1_000 {
        world.publish([number]);
    }
    world.run_for(SECOND * 3);
    assert!(
        world.unacked.len() <= 100,
        "{} unacknowledged",
        world.unacked.len()
    );
}

#[test]
fn a_drain_makes_a_last_window_takes_no_more_and_ends() {
    let mut world = World::new(settings(), |_, _| ok());
    for number in 0..150 {
        world.publish([number]);
    }
    world.run_for(Duration::from_millis(1));
    world.engine.handle(world.now, Input::Drain);
    world.publish([500]);
    world.run_for(SECOND * 2);
    assert!(world.engine.is_drained());
    assert_eq!(
        world
            .calls
            .iter()
            .map(|(_, _, trigger)| *trigger)
            .collect::<Vec<_>>(),
        [Trigger::Full, Trigger::Drain]
    );
    assert_eq!(
        world.unacked.len(),
        1,
        "what came after the drain is left to the next worker"
    );
}

#[test]
fn a_drain_in_an_outage_ends_without_waiting_for_the_api() {
    let mut world = World::new(settings(), |_, _| Answer::Fault);
    for number in 0..3_000 {
        world.publish([number]);
    }
    world.run_for(SECOND * 5);
    world.engine.handle(world.now, Input::Drain);
    world.run_for(SECOND);
    assert!(world.engine.is_drained());
    assert!(world.letters.is_empty());
}

// Everything at once.

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<usize>),
    Run(u64),
    LoseSession,
    Weather(usize),
    Letters(bool),
    Sharing(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::collection::vec(0usize..400, 0..6).prop_map(Step::Publish),
        2 => proptest::collection::vec(0usize..400, 50..300).prop_map(Step::Publish),
        6 => (0u64..3_000).prop_map(Step::Run),
        1 => (3_000u64..900_000).prop_map(Step::Run),
        1 => Just(Step::LoseSession),
        2 => (0usize..9).prop_map(Step::Weather),
        1 => any::<bool>().prop_map(Step::Letters),
        1 => (1u32..4).prop_map(Step::Sharing),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The world asserts at each step that nothing is settled twice or early, that no window is too
    /// large or repeats an ID, and that no deadline spins; here come the end and the quota.
    #[test]
    fn whatever_happens_every_delivery_is_settled_once_and_the_quota_is_kept(
        steps in steps(),
        max_ids in 1usize..=100,
        calls_per_second in 1u32..=100,
        latency in 1u64..900,
        seed in any::<u64>(),
    ) {
        use std::cell::Cell;
        use std::rc::Rc;

        let weather = Rc::new(Cell::new(0));
        let seen = Rc::clone(&weather);
        let settings = Settings { max_ids, calls_per_second, seed, prefetch: 500, ..settings() };
        let mut world = World::new(settings, move |world, users| match seen.get() {
            0 => refuse_if(users, &[13], 90001),
            1 => Answer::Refused(91000),
            2 => Answer::Fault,
            3 => Answer::Refused(60007),
            4 => Answer::Refused(70009),
            5 => Answer::Refused(90001),
            6 => Answer::Done { failed: users.iter().step_by(3).map(|id| (*id, 70500)).collect() },
            7 => if world.calls.len() % 2 == 0 { Answer::Unclear } else { ok() },
            _ => refuse_if(users, &[7, 11, 200], 70107),
        });
        world.latency = Duration::from_millis(latency);
        for step in steps {
            match step {
                Step::Publish(users) => world.publish(users),
                Step::Run(millis) => world.run_for(Duration::from_millis(millis)),
                Step::LoseSession => world.lose_session(),
                Step::Weather(kind) => weather.set(kind),
                Step::Letters(refuse) => world.refuse_letters = refuse,
                Step::Sharing(workers) => {
                    world.engine.handle(world.now, Input::Sharing { workers });
                }
            }
        }
        prop_assert!(world.busiest_second() <= calls_per_second as usize);
        weather.set(8);
        world.refuse_letters = false;
        world.engine.handle(world.now, Input::Sharing { workers: 1 });
        world.run_for(Duration::from_secs(3 * 3_600));
        world.assert_all_settled();
    }
}
