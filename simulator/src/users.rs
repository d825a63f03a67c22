//! The accounts of the app and their tags, which calls really remove.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// What happens to user IDs that the app does not know. The real API's habit is not documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum UnknownAccounts {
    /// Answered as if they were known.
    Ignore,
    /// 70107 in `ErrorList` beside `ErrorCode` 0; the others are done. The Push sibling does this.
    #[default]
    ErrorList,
    /// 70107 for the whole request; nobody is done.
    FailAll,
}

/// How often a user's tags were cleared, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Clears {
    pub count: u32,
    /// Since the simulator's start.
    pub last: Option<Duration>,
}

#[derive(Default)]
struct Account {
    /// `false` for an ID that was only ever named in a call: its clears are counted, but the app
    /// does not know it.
    imported: bool,
    tags: Vec<String>,
    clears: Clears,
}

#[derive(Default)]
pub(crate) struct Users {
    accounts: HashMap<String, Account>,
}

impl Users {
    pub(crate) fn import(&mut self, id: String) {
        self.accounts.entry(id).or_default().imported = true;
    }

    /// Imports the user and replaces their tags.
    pub(crate) fn set_tags(&mut self, id: String, tags: Vec<String>) {
        let account = self.accounts.entry(id).or_default();
        account.imported = true;
        account.tags = tags;
    }

    pub(crate) fn is_known(&self, id: &str) -> bool {
        self.accounts
            .get(id)
            .is_some_and(|account| account.imported)
    }

    /// `None` if the app does not know the user.
    pub(crate) fn tags(&self, id: &str) -> Option<&[String]> {
        let account = self.accounts.get(id).filter(|account| account.imported)?;
        Some(&account.tags)
    }

    /// Adds the tags that a known user does not have yet.
    pub(crate) fn add_tags<'a>(&mut self, id: &str, tags: impl IntoIterator<Item = &'a str>) {
        let known = self.accounts.get_mut(id);
        let Some(account) = known.filter(|account| account.imported) else {
            return;
        };
        for tag in tags {
            if !account.tags.iter().any(|present| present == tag) {
                account.tags.push(tag.to_owned());
            }
        }
    }

    /// Clears all tags; true if it is the first time for this user.
    pub(crate) fn clear(&mut self, id: &str, at: Duration) -> bool {
        if !self.accounts.contains_key(id) {
            self.accounts.insert(id.to_owned(), Account::default());
        }
        let account = self
            .accounts
            .get_mut(id)
            .expect("inserted above when it was missing");
        account.tags.clear();
        account.clears.count += 1;
        account.clears.last = Some(at);
        account.clears.count == 1
    }

    pub(crate) fn clears(&self, id: &str) -> Clears {
        self.accounts
            .get(id)
            .map(|account| account.clears)
            .unwrap_or_default()
    }

    /// How many of the imported users were cleared how often: `{1: 5000}` says that all 5,000 were
    /// cleared exactly once.
    pub(crate) fn clear_counts(&self) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        for account in self.accounts.values().filter(|account| account.imported) {
            *counts.entry(account.clears.count).or_default() += 1;
        }
        counts
    }
}
