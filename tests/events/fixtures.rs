//! The fixtures: messages, and what must become of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tagsweep::config::Events;
use tagsweep::event::{self, Decoded, Read, Rules, Written};

/// What `expected.toml` says of a message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The section of the configuration.
    events: Option<String>,
    pub users: Vec<String>,
    #[serde(default)]
    pub never: Vec<String>,
    pub default: Default,
    /// What must be as it is for the message to say that somebody was deleted.
    #[serde(default)]
    pub decides: Vec<String>,
    /// Where the body says who.
    #[serde(default)]
    pub names: Vec<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Default {
    Users(Vec<String>),
    Other(String),
}

pub struct Fixture {
    pub name: String,
    pub message: Vec<u8>,
    /// Nothing where the defaults read it.
    pub events: Option<String>,
    pub expected: Expected,
}

/// All of them, by name.
pub fn all() -> Vec<Fixture> {
    let text = std::fs::read_to_string(folder().join("expected.toml")).expect("the table");
    let mut table: BTreeMap<String, Expected> = toml::from_str(&text).expect("a table");
    let names: Vec<String> = table.keys().cloned().collect();
    assert_eq!(
        names,
        messages(),
        "a message without a line, or a line without"
    );
    let sections: BTreeMap<String, Option<String>> = table
        .iter()
        .map(|(name, expected)| (name.clone(), expected.events.clone()))
        .collect();
    let fixture = |name: String| {
        let own = name.strip_suffix(".must-not-act").unwrap_or(&name);
        Fixture {
            message: std::fs::read(folder().join(format!("{name}.message"))).expect("a message"),
            events: sections[own].clone(),
            expected: table.remove(&name).expect("its line"),
            name,
        }
    };
    names.into_iter().map(fixture).collect()
}

impl Fixture {
    pub fn rules(&self) -> Rules {
        rules(self.events.as_deref().unwrap_or_default())
    }

    pub fn written(&self) -> Written<'_> {
        Written::parse(&self.message).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// What it is under its configuration.
    pub fn read(&self) -> Read {
        read(&self.written(), &self.rules())
    }

    /// What stands beside it and must not be acted on.
    pub fn is_sibling(&self) -> bool {
        self.name.ends_with(".must-not-act")
    }
}

/// The rules of a section.
pub fn rules(events: &str) -> Rules {
    let defaults = [
        "format = 'auto'",
        "types = ['user.deleted', 'user.reset']",
        "unmatched = 'ignore'",
        "presets = []",
    ];
    let is_given = |line: &&str| {
        let (key, _) = line.split_once('=').expect("a key and its value");
        events.lines().any(|given| given.starts_with(key))
    };
    let defaults = defaults.into_iter().filter(|line| !is_given(line));
    let section = defaults.chain([events]).collect::<Vec<_>>().join("\n");
    let events: Events = toml::from_str(&section).expect("a section");
    events.rules().unwrap_or_else(|errors| panic!("{errors:?}"))
}

pub fn read(written: &Written<'_>, rules: &Rules) -> Read {
    written.message(|message| event::read(message, rules))
}

/// Those who are cleared.
pub fn users(decoded: &Decoded) -> Vec<&str> {
    match decoded {
        Decoded::Event(event) => event.users.iter().map(event::UserId::as_str).collect(),
        _ => Vec::new(),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events")
}

fn messages() -> Vec<String> {
    let files = std::fs::read_dir(folder()).expect("the fixtures");
    let names = files.filter_map(|file| {
        let name = file.expect("a file").file_name();
        Some(name.to_str()?.strip_suffix(".message")?.to_owned())
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
