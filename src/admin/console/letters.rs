//! What is known of the dead letters, and the one thing that is done with them at a time.
//!
//! Reading disturbs the queue: on RabbitMQ before 4.3 it raises delivery counts, and meanwhile no command can read it.
//! So letters are read at most once a minute, only when their number has changed, and only while somebody looks.
//! An action works on what was shown: on the letters of one reading, by their IDs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::dead_letters::{Entry, Error, Filter, Group, Keep, Letters, Session, groups};
use crate::rabbitmq::{BrowseError, Options};
use crate::shell::View;

const MINUTE: Duration = Duration::from_secs(60);
/// The broker counts letters as gone while somebody reads them. A count that stays for so long is a change.
const STABLE: Duration = Duration::from_secs(4);
/// Letters of a group that are shown one by one.
const SHOWN: usize = 200;

/// The letters that a page shows or acts on: those of a reason and code in one reading, or a single one of them.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Chosen {
    #[serde(default)]
    pub(super) reading: u64,
    #[serde(default)]
    pub(super) reason: String,
    /// Empty: none.
    #[serde(default)]
    pub(super) code: String,
    /// One letter.
    #[serde(default)]
    pub(super) id: String,
    /// `show`: users are shown too.
    #[serde(default)]
    pub(super) users: String,
    /// Set by the box that says so: the letters may be removed without an export.
    #[serde(default)]
    pub(super) no_export: String,
}

/// The letters as they were read at one time.
pub(super) struct Reading {
    pub(super) number: u64,
    pub(super) at: SystemTime,
    pub(super) total: u64,
    pub(super) groups: Vec<Shown>,
}

/// The letters of one reason and code.
pub(super) struct Shown {
    pub(super) group: Group,
    /// With the size of each body, in bytes.
    ids: HashMap<String, u64>,
    /// Some of them.
    pub(super) entries: Vec<Entry>,
}

/// A set of letters that is acted on.
#[derive(Clone)]
pub(super) struct Set {
    pub(super) reason: String,
    pub(super) code: Option<i64>,
    pub(super) ids: HashSet<String>,
    /// Bytes of their bodies, at most.
    pub(super) bytes: u64,
}

/// What is being done with the letters.
pub(super) struct Job {
    /// `redrive`, `purge` or `export`.
    pub(super) action: &'static str,
    pub(super) of: u64,
    pub(super) over: AtomicU64,
    pub(super) stop: CancellationToken,
}

pub(super) struct Board {
    options: Options,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    latest: Option<Arc<Reading>>,
    /// The one before, on which somebody may still be about to act.
    before: Option<Arc<Reading>>,
    readings: u64,
    /// The counts when the letters were read last, and those of now with the time of their change.
    read: Option<Counts>,
    counted: Option<(Counts, Instant)>,
    tried: Option<Instant>,
    is_reading: bool,
    job: Option<Arc<Job>>,
    /// Why the letters could not be read, and what an action came to.
    trouble: Option<String>,
    outcome: Option<String>,
}

/// Letters in the queue, and how many this worker has written.
type Counts = (u32, u64);

/// What the page says of the letters.
pub(super) struct Known {
    pub(super) reading: Option<Arc<Reading>>,
    pub(super) trouble: Option<String>,
    pub(super) outcome: Option<String>,
    pub(super) job: Option<Arc<Job>>,
}

impl Board {
    pub(super) fn new(options: Options) -> Board {
        Board {
            options,
            state: Mutex::default(),
        }
    }

    pub(super) fn known(&self) -> Known {
        let state = self.state();
        Known {
            reading: state.latest.clone(),
            trouble: state.trouble.clone(),
            outcome: state.outcome.clone(),
            job: state.job.clone(),
        }
    }

    /// Somebody looks, and this is the worker's last word. Reads the letters if that is due.
    pub(super) fn look(self: &Arc<Self>, view: &View) {
        let Some(count) = view.queue.and_then(|queue| queue.dead_letters) else {
            return;
        };
        let counts = (count, view.engine.tally.letters.iter().sum());
        if self.state().is_due(counts, Instant::now()) {
            let board = Arc::clone(self);
            tokio::spawn(async move { board.read().await });
        }
    }

    async fn read(&self) {
        let letters = read(self.options.clone(), &Filter::default(), Keep::Entries).await;
        // Each look at a queue near its limit costs a return, and that one is for somebody to decide.
        let is_near_limit = matches!(&letters, Err(Error::Browse(BrowseError::NearLimit { .. })));
        let trouble = match letters {
            Ok((session, letters)) => {
                // Whatever becomes of the connection, the broker has the letters again.
                let _ = session.close().await;
                let groups = grouped(letters).await;
                self.state().keep(groups);
                None
            }
            Err(Error::Browse(BrowseError::Busy { .. })) => {
                Some("A command is working on the letters; they are read after it.".to_owned())
            }
            Err(error) => Some(format!("The letters cannot be read: {error}.")),
        };
        let mut state = self.state();
        if trouble.is_some() && !is_near_limit {
            // Tried again, as if they had changed.
            state.read = None;
        }
        state.trouble = trouble;
        state.is_reading = false;
    }

    /// The letters that are meant, if that reading is still known.
    pub(super) fn set(&self, chosen: &Chosen) -> Option<Set> {
        let reading = self.reading(chosen.reading)?;
        let shown = reading.group(chosen)?;
        let Group { reason, code, .. } = &shown.group;
        let is_meant = |id: &String| chosen.id.is_empty() || *id == chosen.id;
        let meant = || shown.ids.iter().filter(|(id, _)| is_meant(id));
        let set = Set {
            reason: reason.clone(),
            code: *code,
            ids: meant().map(|(id, _)| id.clone()).collect(),
            bytes: meant().map(|(_, bytes)| bytes).sum(),
        };
        (!set.ids.is_empty()).then_some(set)
    }

    pub(super) fn reading(&self, number: u64) -> Option<Arc<Reading>> {
        let state = self.state();
        let known = [&state.latest, &state.before].into_iter().flatten();
        let mut known = known.filter(|reading| reading.number == number);
        known.next().cloned()
    }

    /// Begins an action, if nothing else is done with the letters.
    pub(super) fn begin(&self, action: &'static str, of: usize) -> Option<Arc<Job>> {
        let mut state = self.state();
        if state.job.is_some() || state.is_reading {
            return None;
        }
        let job = Arc::new(Job {
            action,
            of: of as u64,
            over: AtomicU64::new(0),
            stop: CancellationToken::new(),
        });
        state.job = Some(Arc::clone(&job));
        state.outcome = None;
        Some(job)
    }

    /// The action is over. `gone`: these letters are no longer in the queue.
    pub(super) fn end(&self, outcome: String, gone: Option<&Set>) {
        let mut state = self.state();
        state.job = None;
        state.outcome = Some(outcome);
        // What is left is read again, a minute after the action.
        state.tried = Some(Instant::now());
        state.read = None;
        if let Some(gone) = gone
            && let Some(latest) = state.latest.clone()
        {
            state.readings += 1;
            let number = state.readings;
            state.before = state.latest.replace(Arc::new(latest.without(gone, number)));
        }
    }

    /// Takes the letters of a set, with their messages, and holds them until the session is closed.
    pub(super) async fn take(&self, set: &Set) -> Result<(Session, Letters), Error> {
        let filter = Filter {
            reasons: vec![set.reason.clone()],
            codes: set.code.into_iter().collect(),
            ..Filter::default()
        };
        let (session, mut letters) = read(self.options.clone(), &filter, Keep::Messages).await?;
        letters
            .matched
            .retain(|letter| set.ids.contains(&letter.id));
        Ok((session, letters))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beside the worker's loop, as there may be many.
async fn grouped(letters: Letters) -> Vec<Shown> {
    let shown = move || {
        let of_group = |group: Group| {
            let all = letters.matched.iter();
            let of = || {
                let is_in =
                    |letter: &&Entry| letter.reason == group.reason && letter.code == group.code;
                all.clone().filter(is_in)
            };
            Shown {
                ids: of()
                    .map(|letter| (letter.id.clone(), letter.held_bytes()))
                    .collect(),
                entries: of().take(SHOWN).cloned().collect(),
                group,
            }
        };
        groups(&letters.matched).into_iter().map(of_group).collect()
    };
    tokio::task::spawn_blocking(shown).await.unwrap_or_default()
}

/// Reads, and gives everything back where that fails.
async fn read(options: Options, filter: &Filter, keep: Keep) -> Result<(Session, Letters), Error> {
    let mut session = Session::open(options).await?;
    match session.read(filter, keep, false, |_| {}).await {
        Ok(letters) => Ok((session, letters)),
        Err(error) => {
            let _ = session.close().await;
            Err(error)
        }
    }
}

impl State {
    /// Whether the letters are to be read now. If so, they count as being read.
    fn is_due(&mut self, counts: Counts, now: Instant) -> bool {
        if self.is_reading || self.job.is_some() {
            return false;
        }
        if self.counted.is_none_or(|(known, _)| known != counts) {
            self.counted = Some((counts, now));
        }
        let since = self.counted.map_or(now, |(_, since)| since);
        let is_first = self.latest.is_none();
        let is_news = self.read != Some(counts) && (is_first || now >= since + STABLE);
        if !is_news {
            return false;
        }
        if counts.0 == 0 {
            self.read = Some(counts);
            self.trouble = None;
            self.keep(Vec::new());
            return false;
        }
        if self.tried.is_some_and(|tried| now < tried + MINUTE) {
            return false;
        }
        self.read = Some(counts);
        self.tried = Some(now);
        self.is_reading = true;
        true
    }

    fn keep(&mut self, groups: Vec<Shown>) {
        self.readings += 1;
        let reading = Reading {
            number: self.readings,
            at: SystemTime::now(),
            total: groups.iter().map(|shown| shown.group.count).sum(),
            groups,
        };
        self.before = self.latest.replace(Arc::new(reading));
    }
}

impl Reading {
    pub(super) fn group(&self, chosen: &Chosen) -> Option<&Shown> {
        let code = match chosen.code.as_str() {
            "" => None,
            code => Some(code.parse().ok()?),
        };
        let is_meant =
            |shown: &&Shown| shown.group.reason == chosen.reason && shown.group.code == code;
        self.groups.iter().find(is_meant)
    }

    fn without(&self, gone: &Set, number: u64) -> Reading {
        let left = |shown: &Shown| {
            let is_left = |id: &String| !gone.ids.contains(id);
            let ids = shown.ids.iter().filter(|(id, _)| is_left(id));
            let ids: HashMap<_, _> = ids.map(|(id, bytes)| (id.clone(), *bytes)).collect();
            let entries = shown.entries.iter().filter(|entry| is_left(&entry.id));
            let group = Group {
                count: ids.len() as u64,
                ..shown.group.clone()
            };
            (!ids.is_empty()).then(|| Shown {
                group,
                entries: entries.cloned().collect(),
                ids,
            })
        };
        let groups: Vec<Shown> = self.groups.iter().filter_map(left).collect();
        Reading {
            number,
            at: self.at,
            total: groups.iter().map(|shown| shown.group.count).sum(),
            groups,
        }
    }
}

impl Job {
    pub(super) fn over(&self) -> u64 {
        self.over.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn letters_are_read_at_the_first_look_and_then_once_a_minute_when_their_number_has_changed() {
        let mut state = State::default();
        let start = Instant::now();
        let look = |state: &mut State, seconds: u32, count| {
            let is_due = state.is_due((count, 0), start + SECOND * seconds);
            if is_due {
                state.is_reading = false;
                state.keep(Vec::new());
            }
            is_due
        };
        assert!(look(&mut state, 0, 5));
        for seconds in 1..200 {
            assert!(!look(&mut state, seconds, 5), "nothing has changed");
        }
        assert!(!look(&mut state, 200, 6), "somebody may be reading");
        assert!(look(&mut state, 204, 6));
        for seconds in 205..264 {
            assert!(!look(&mut state, seconds, 7), "within a minute");
        }
        assert!(look(&mut state, 264, 7));
    }

    #[test]
    fn a_reader_that_makes_the_letters_vanish_for_a_moment_causes_no_reading() {
        let mut state = State::default();
        let start = Instant::now();
        assert!(state.is_due((5, 0), start));
        state.is_reading = false;
        state.keep(Vec::new());
        for round in 0..20_u32 {
            let at = |seconds: u32| start + SECOND * (100 * (round + 1) + seconds);
            assert!(!state.is_due((0, 0), at(0)));
            assert!(!state.is_due((0, 0), at(3)));
            assert!(!state.is_due((5, 0), at(4)));
            assert!(!state.is_due((5, 0), at(9)));
        }
        assert_eq!(state.readings, 1);
    }

    #[test]
    fn an_empty_queue_is_not_read() {
        let mut state = State::default();
        assert!(!state.is_due((0, 0), Instant::now()));
        assert_eq!(state.latest.map(|reading| reading.total), Some(0));
    }
}
