//! The dead-letter queue as a set of letters: what the commands and the console do with it.
//!
//! A [`Session`] holds every message of the queue unacknowledged, so the set that an action works on is fixed: it is
//! what was shown. What is not acted on goes back in order. Whatever ends the process, no letter is lost: one is
//! acknowledged only when its event is in the queue again, or when a person asked for its removal.
//!
//! This module prints, asks and logs nothing, and writes no file.

mod entry;
mod export;
mod filter;
mod groups;
mod redrive;

use std::collections::{BTreeMap, HashMap};

use tokio_util::sync::CancellationToken;

use crate::rabbitmq::{BrowseError, Browser, HeldMessage, Loss, Options};

pub use entry::{BROKER, Entry, FOREIGN, UNRECOGNISED, Writer};
pub use export::{export_line, whole};
pub use filter::Filter;
pub use groups::{Explanation, Group, explain, groups};
pub use redrive::{Redriven, redrivable};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Browse(#[from] BrowseError),
    #[error("nothing was redriven: {0}")]
    Publish(#[source] Loss),
}

/// Whether the messages of what matches are kept, for [`export_line`] and [`Session::redrive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Entries,
    Messages,
}

/// The queue, held by one command at a time.
pub struct Session {
    browser: Browser,
}

/// What a session holds. The `tagsweep-check` message counts as no letter.
#[derive(Debug, Default)]
pub struct Letters {
    pub queue: String,
    /// All letters in the queue.
    pub total: u64,
    /// Those that match, in the order of the queue.
    pub matched: Vec<Entry>,
    /// How many of all letters have which reason.
    pub reasons: BTreeMap<String, u64>,
    /// In how many parts the queue was read: the broker has at most 65,535 messages out at a time with one consumer.
    pub ranges: usize,
    /// The highest delivery count of any letter, before it was read.
    pub highest_delivery_count: u32,
    /// While other programs consume the queue, not every letter is seen.
    pub other_consumers: u32,
}

/// What became of letters that were to be removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    pub matched: u64,
    pub purged: u64,
    /// It was asked to stop.
    pub stopped: bool,
}

impl Session {
    /// Connects and takes the lock.
    ///
    /// # Errors
    /// When another command has it, or the queue cannot be read.
    pub async fn open(options: Options) -> Result<Session, Error> {
        let browser = Browser::open(options).await?;
        Ok(Session { browser })
    }

    /// Takes all letters, and keeps those that match. `force`: also of a queue that may soon drop them. `progress` is
    /// told how many were read.
    ///
    /// May be cancelled: what was taken goes back with [`close`](Self::close).
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub async fn read(
        &mut self,
        filter: &Filter,
        keep: Keep,
        force: bool,
        mut progress: impl FnMut(u64),
    ) -> Result<Letters, Error> {
        let mut letters = Letters {
            queue: self.browser.queue(),
            ..Letters::default()
        };
        let mut copies = HashMap::new();
        let read = self.browser.read(force, |held| {
            letters.add(held, filter, keep, &mut copies);
            progress(letters.total);
        });
        letters.ranges = read.await?;
        letters.other_consumers = self.browser.other_consumers();
        Ok(letters)
    }

    /// Publishes what matched to the queue of events, at most `rate` a second, and acknowledges each letter once its
    /// event is confirmed. `progress` is told how far it came. After `stop`, it finishes what is on its way.
    ///
    /// # Errors
    /// When there is no connection for it. What goes wrong later is in the result.
    pub async fn redrive(
        &mut self,
        letters: &Letters,
        rate: Option<u32>,
        stop: &CancellationToken,
        progress: impl FnMut(&Redriven),
    ) -> Result<Redriven, Error> {
        redrive::redrive(&mut self.browser, &letters.matched, rate, stop, progress).await
    }

    /// Removes what matched.
    ///
    /// # Errors
    /// When the connection is lost: what was not removed is in the queue.
    pub async fn purge(
        &mut self,
        letters: &Letters,
        stop: &CancellationToken,
        mut progress: impl FnMut(&Purged),
    ) -> Result<Purged, (Purged, Error)> {
        let mut purged = Purged {
            matched: letters.matched.len() as u64,
            ..Purged::default()
        };
        for entry in &letters.matched {
            if stop.is_cancelled() {
                purged.stopped = true;
                break;
            }
            let acknowledged = self.browser.acknowledge(entry.place).await;
            acknowledged.map_err(|loss| (purged, BrowseError::Lost(loss).into()))?;
            purged.purged += 1;
            progress(&purged);
        }
        Ok(purged)
    }

    /// Gives back in order what was not acknowledged, and closes the connection.
    ///
    /// # Errors
    /// When the connection is lost: the broker gives the letters back itself.
    pub async fn close(self) -> Result<(), Error> {
        Ok(self.browser.close().await?)
    }
}

impl Letters {
    /// `copies`: how many letters had an ID before. Of equal messages each has its own, or an action on one of them
    /// would be one on all.
    fn add(
        &mut self,
        held: HeldMessage,
        filter: &Filter,
        keep: Keep,
        copies: &mut HashMap<String, u32>,
    ) {
        self.highest_delivery_count = self.highest_delivery_count.max(held.returned);
        let Some(mut entry) = Entry::read(&held) else {
            return;
        };
        let copy = copies.entry(entry.id.clone()).or_default();
        *copy += 1;
        if *copy > 1 {
            entry.id = format!("{}.{copy}", entry.id);
        }
        self.total += 1;
        *self.reasons.entry(entry.reason.clone()).or_default() += 1;
        if filter.matches(&entry) {
            entry.message = (keep == Keep::Messages).then_some(held.message);
            self.matched.push(entry);
        }
    }

    /// Users that the letters name, each counted once.
    pub fn users(&self) -> usize {
        groups::distinct_users(&self.matched)
    }
}
