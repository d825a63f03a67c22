//! A steady stream of events from a publisher that sends again what was not confirmed, and the book of all
//! that it published.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use im_simulator::Simulator;
use serde_json::json;
use testkit::amqp::{Amqp, Outgoing};
use testkit::eventually;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::stage::{EXCHANGE, PATIENCE};

/// 160 events a second for 320 users.
const TICK: Duration = Duration::from_millis(50);
const EVENTS_A_TICK: usize = 8;
/// Users that may wait to be cleared before the publisher waits too: a minute's work for a worker whose pace
/// a fault has slowed down, so that each row ends.
const MOST_USERS_AHEAD: usize = 10_000;

pub fn user(number: usize) -> String {
    format!("pii-{number:07}")
}

/// What is wrong with an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// It names nobody.
    Malformed,
    /// So does this, in so many bytes.
    Large(usize),
    /// Its first user is named in the answer's `ErrorList`.
    ListedUser,
    /// Its first user makes the API refuse the whole call.
    RejectedUser,
}

/// An event and its users, each of whom is in no other event.
#[derive(Clone)]
pub struct Event {
    pub number: usize,
    pub users: Range<usize>,
    pub flaw: Flaw,
}

impl Event {
    /// The user whom no call can clear.
    pub fn bad_user(&self) -> Option<usize> {
        let bad = matches!(self.flaw, Flaw::ListedUser | Flaw::RejectedUser);
        bad.then_some(self.users.start)
    }

    pub fn sound_users(&self) -> Range<usize> {
        self.users.start + usize::from(self.bad_user().is_some())..self.users.end
    }

    pub fn id(&self) -> String {
        format!("event-{}", self.number)
    }

    /// Published again it is the same event, with the same ID.
    pub fn outgoing(&self) -> Outgoing {
        let users: Vec<String> = self.users.clone().map(user).collect();
        let id = self.id();
        let body = match self.flaw {
            Flaw::Malformed => json!({}),
            Flaw::Large(bytes) => json!({ "padding": "x".repeat(bytes) }),
            _ => json!({ "type": "user.deleted", "user_ids": users, "id": id }),
        };
        let mut outgoing = Outgoing::json("user.deleted", body);
        outgoing.properties = outgoing.properties.with_message_id(id.into());
        outgoing
    }

    fn introduce(&self, simulator: &Simulator) {
        for number in self.users.clone() {
            simulator.set_tags(user(number), &["tag"]);
        }
        match self.flaw {
            Flaw::ListedUser => simulator.reject_user_in_error_list(user(self.users.start), 70402),
            Flaw::RejectedUser => simulator.reject_user(user(self.users.start), 90001),
            Flaw::None | Flaw::Malformed | Flaw::Large(_) => {}
        }
    }
}

/// What the publisher sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mix {
    /// One event in a hundred has a flaw. More bad users than the quota can judge beside the others would only pile up.
    Everything,
    Sound,
    Nothing,
}

/// A publisher at work.
pub struct Load {
    url: String,
    simulator: Arc<Simulator>,
    book: Arc<Mutex<Vec<Event>>>,
    mix: watch::Sender<Mix>,
    task: JoinHandle<()>,
}

impl Load {
    pub fn start(url: String, simulator: Arc<Simulator>) -> Load {
        let book = Arc::new(Mutex::new(Vec::new()));
        let (mix, wanted) = watch::channel(Mix::Everything);
        let task = tokio::spawn({
            let (url, simulator, book) = (url.clone(), Arc::clone(&simulator), Arc::clone(&book));
            async move { publish_steadily(&url, &simulator, &book, &wanted).await }
        });
        Load {
            url,
            simulator,
            book,
            mix,
            task,
        }
    }

    /// From now on events have no flaw.
    pub fn be_sound(&self) {
        self.mix.send_replace(Mix::Sound);
    }

    /// Returns when everything is confirmed.
    pub async fn stop(&mut self) {
        self.mix.send_replace(Mix::Nothing);
        let stopped = timeout(PATIENCE, &mut self.task).await;
        stopped.expect("the publisher gets its confirms").unwrap();
    }

    /// Everything that was published, confirmed or not.
    pub fn published(&self) -> Vec<Event> {
        lock(&self.book).clone()
    }

    /// So many events with this flaw at once; they are in the queue on return. Sound ones are for twice as
    /// many users.
    pub async fn publish_many(&self, count: usize, flaw: Flaw) {
        let events = write(&self.book, &self.simulator, count, |_| flaw);
        self.publish(&events).await;
    }

    /// Publishes events of the book once more.
    pub async fn publish(&self, events: &[Event]) {
        let mut amqp = None;
        eventually(PATIENCE, "events are published", async || {
            let confirmed = try_publish(&mut amqp, &self.url, events).await;
            confirmed.then_some(())
        })
        .await;
    }
}

async fn publish_steadily(
    url: &str,
    simulator: &Simulator,
    book: &Mutex<Vec<Event>>,
    mix: &watch::Receiver<Mix>,
) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut amqp = None;
    let mut sound_users = 0;
    loop {
        ticks.tick().await;
        let flaw = match *mix.borrow() {
            Mix::Everything => usual_flaw,
            Mix::Sound => |_| Flaw::None,
            Mix::Nothing => return,
        };
        let cleared = simulator.stats().distinct_users_cleared as usize;
        if sound_users > cleared + MOST_USERS_AHEAD {
            continue;
        }
        let events = write(book, simulator, EVENTS_A_TICK, flaw);
        sound_users += events
            .iter()
            .map(|event| event.sound_users().len())
            .sum::<usize>();
        while !try_publish(&mut amqp, url, &events).await {
            ticks.tick().await;
        }
    }
}

fn usual_flaw(number: usize) -> Flaw {
    match number % 400 {
        33 => Flaw::ListedUser,
        117 | 317 => Flaw::Malformed,
        250 => Flaw::RejectedUser,
        _ => Flaw::None,
    }
}

/// Writes the next events into the book, and their users into the app.
fn write(
    book: &Mutex<Vec<Event>>,
    simulator: &Simulator,
    count: usize,
    flaw: impl Fn(usize) -> Flaw,
) -> Vec<Event> {
    let mut book = lock(book);
    let first = book.len();
    for number in first..first + count {
        let flaw = flaw(number);
        let next_user = book.last().map_or(0, |event| event.users.end);
        let users = match flaw {
            Flaw::Malformed | Flaw::Large(_) => 0,
            _ => 1 + number % 3,
        };
        let event = Event {
            number,
            users: next_user..next_user + users,
            flaw,
        };
        event.introduce(simulator);
        book.push(event);
    }
    book[first..].to_vec()
}

/// False when not everything was confirmed: then all of it is to be published again, on a new connection.
async fn try_publish(amqp: &mut Option<Amqp>, url: &str, events: &[Event]) -> bool {
    if amqp.is_none() {
        *amqp = Amqp::connect(url).await.ok();
    }
    let Some(connection) = amqp else {
        return false;
    };
    let published = connection.publish(EXCHANGE, events.iter().map(Event::outgoing));
    let confirmed = published.await.is_ok();
    if !confirmed {
        *amqp = None;
    }
    confirmed
}

fn lock(book: &Mutex<Vec<Event>>) -> MutexGuard<'_, Vec<Event>> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
