//! A world in which the engine works: a broker, an API and a clock that only a test moves.

use super::*;

/// What the broker holds of one event.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) users: Vec<UserId>,
    pub(super) malformed: bool,
    pub(super) redelivered: bool,
    /// When it was first published: each of its users must be in a call that starts no earlier.
    pub(super) at: Instant,
}

/// How the API answers, told per world.
type Api = Box<dyn Fn(&World, &[UserId]) -> Answer>;
/// Which calls hang.
type Slow = Box<dyn Fn(&[UserId]) -> bool>;

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) latency: Duration,
    /// Whether a call hangs until it times out, though the API took it.
    pub(super) slow: Slow,
    pub(super) api: Api,
    pub(super) session: u32,
    pub(super) next_tag: u64,
    pub(super) prefetch: usize,
    /// Nothing was delivered since the consumer came.
    pub(super) newcomer: bool,
    pub(super) steps: u64,
    /// When the broker says next that nobody consumes.
    pub(super) ping: Instant,
    pub(super) queue: VecDeque<(usize, Published)>,
    pub(super) unacked: BTreeMap<Delivery, (usize, Published)>,
    pub(super) published: usize,
    /// Events that were acknowledged, how often; twice is right only after a lost session.
    pub(super) acknowledged: HashMap<usize, u32>,
    pub(super) calls: Vec<(Instant, Vec<UserId>, Trigger)>,
    pub(super) answers: BTreeMap<(Instant, WindowId), Answer>,
    /// When each user was last in a call that cleared it (the start of that call).
    pub(super) cleared: HashMap<UserId, Instant>,
    pub(super) starts: HashMap<WindowId, (Instant, Vec<UserId>)>,
    pub(super) letters: Vec<Letter>,
    pub(super) refuse_letters: bool,
    pub(super) notices: Vec<Notice>,
    pub(super) renewals: usize,
    pub(super) handed_back: usize,
    /// Whether what is handed back comes first again, as from a quorum queue.
    pub(super) requeue_at_head: bool,
    /// Whether the broker may drop what is handed back; in any other way, too.
    pub(super) near_limit: Option<bool>,
}

impl World {
    pub(super) fn new(
        settings: Settings,
        api: impl Fn(&World, &[UserId]) -> Answer + 'static,
    ) -> World {
        let now = Instant::now();
        // Long enough ago for another worker's calls to be no matter.
        let before = now - 2 * SECOND;
        let mut engine = Engine::new(settings.clone(), before);
        engine.handle(before, Input::TookOver);
        World {
            prefetch: settings.prefetch,
            newcomer: false,
            steps: 0,
            ping: now,
            engine,
            start: now,
            now,
            latency: Duration::from_millis(20),
            slow: Box::new(|_| false),
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
            requeue_at_head: false,
            near_limit: None,
        }
    }

    /// Runs until all is settled.
    pub(super) fn settle_within(&mut self, limit: Duration) -> Duration {
        let start = self.now;
        while self.acknowledged.len() < self.published {
            assert!(
                self.now - start < limit,
                "{} of {} settled after {limit:?}, {:?}",
                self.acknowledged.len(),
                self.published,
                self.engine.status(self.now)
            );
            self.run_for(SECOND);
        }
        self.now - start
    }

    pub(super) fn publish(&mut self, users: impl IntoIterator<Item = usize>) {
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

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Delivers, answers and polls until nothing more happens before `until`.
    pub(super) fn run_until(&mut self, until: Instant) {
        loop {
            // What is handed back is delivered again at once.
            while {
                self.deliver();
                self.perform();
                !self.queue.is_empty() && self.unacked.len() < self.prefetch
            } {}
            self.steps += 1;
            if self.steps.is_multiple_of(64) {
                self.engine.assert_consistent();
            }
            let next = self.engine.deadline(self.now);
            if let Some(next) = next {
                assert!(next > self.now, "a deadline in the past would spin");
            }
            let answer = self.answers.keys().next().map(|(at, _)| *at);
            self.ping = self.ping.max(self.now);
            let ping = (self.prefetch == 0).then_some(self.ping);
            let Some(next) = [next, answer, ping]
                .into_iter()
                .flatten()
                .min()
                .filter(|next| *next <= until)
            else {
                self.now = self.now.max(until);
                return;
            };
            self.now = self.now.max(next);
            if ping.is_some_and(|ping| ping <= self.now) {
                self.ping += SECOND;
                let since = self.now;
                self.engine.handle(since, Input::Unconsumed { since });
            }
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

    pub(super) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    pub(super) fn note_cleared(&mut self, window: WindowId, answer: &Answer) {
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

    pub(super) fn deliver(&mut self) {
        while self.unacked.len() < self.prefetch
            && let Some((id, event)) = self.queue.pop_front()
        {
            let delivery = Delivery {
                session: self.session,
                tag: self.next_tag,
            };
            self.next_tag += 1;
            if std::mem::take(&mut self.newcomer) {
                self.engine.handle(self.now, Input::TookOver);
            }
            self.engine.handle(
                self.now,
                Input::Delivered {
                    delivery,
                    redelivered: event.redelivered,
                },
            );
            if let Some(at_once) = self.near_limit {
                let input = Input::ReturnedTooOften { delivery, at_once };
                self.engine.handle(self.now, input);
            }
            self.unacked.insert(delivery, (id, event));
        }
    }

    pub(super) fn perform(&mut self) {
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
                            invalid: 0,
                            absent: 0,
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
                    let hangs = (self.slow)(&users);
                    let (latency, answer) = match hangs {
                        true => (SECOND * 10, Answer::Fault),
                        false => (self.latency, (self.api)(self, &users)),
                    };
                    self.calls.push((self.now, users.clone(), trigger));
                    self.starts.insert(window, (self.now, users));
                    self.answers.insert((self.now + latency, window), answer);
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
                    let redelivered = true;
                    let event = Published {
                        redelivered,
                        ..event
                    };
                    if self.requeue_at_head {
                        self.queue.push_front((id, event));
                    } else {
                        self.queue.push_back((id, event));
                    }
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
                Action::Consume { prefetch } => {
                    self.prefetch = prefetch;
                    self.newcomer = true;
                }
                Action::Notice(notice) => self.notices.push(notice),
            }
        }
    }

    /// Promise 1: only what is done or dead-lettered is acknowledged.
    pub(super) fn acknowledge(&mut self, delivery: Delivery, (id, event): (usize, Published)) {
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
    pub(super) fn lose_session(&mut self) {
        self.engine.handle(
            self.now,
            Input::SessionLost {
                session: self.session,
            },
        );
        self.session += 1;
        self.next_tag = 1;
        self.newcomer = true;
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

    pub(super) fn assert_all_settled(&self) {
        assert!(
            self.queue.is_empty() && self.unacked.is_empty(),
            "{:?}",
            self.engine.status(self.now)
        );
        assert_eq!(self.acknowledged.len(), self.published);
        let status = self.engine.status(self.now);
        assert_eq!(status.unsettled_deliveries, 0);
        let ended: u64 = status.tally.events.iter().sum();
        assert_eq!(ended, status.tally.events_received, "{:?}", status.tally);
    }

    pub(super) fn dead_lettered(&self) -> Vec<&str> {
        self.letters
            .iter()
            .flat_map(|letter| letter.users.iter().map(UserId::as_str))
            .collect()
    }

    pub(super) fn busiest_second(&self) -> usize {
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
