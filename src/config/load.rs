//! Loading: values of all sources become [`Settings`], or a list of everything that is wrong.
//!
//! Each value is tried alone on top of the defaults, so that one wrong value hides no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::environment::Meaning;
use super::file;
use super::keys::{self, Key, Keys, Kind};
use super::problem::{Origin, Place, Problem, Problems};
use super::remedy::advice;
use super::rules::{self, Remedy};
use super::typed::typed;
use super::{Settings, Sources, environment, secret};

#[derive(Clone)]
struct Setting {
    value: Value,
    origin: Origin,
}

struct Loading {
    known: Keys,
    /// The sections that are asked for.
    needed: BTreeSet<String>,
    defaults: BTreeMap<String, Setting>,
    settings: BTreeMap<String, Setting>,
    problems: Vec<Problem>,
    /// Of keys with a list of tables: where each begins.
    items: BTreeMap<String, Vec<Place>>,
    /// Keys and sections of which it is not known what they were meant to be: refused, or probably misspelt.
    unclear: Vec<String>,
    /// Whether every source could be read. If not, rules would complain of what only seems to be missing.
    complete: bool,
}

pub(super) fn load<S: DeserializeOwned + JsonSchema>(sources: &Sources) -> Result<S, Problems> {
    let mut loading = Loading::of_defaults(keys::sections_in::<S>());
    for file in &sources.files {
        loading.add_file(file);
    }
    for (name, value) in &sources.environment {
        loading.add_variable(name, value);
    }
    for (key, value) in &sources.arguments {
        loading.add_argument(key, value);
    }
    loading.finish()
}

/// What holds where nothing is set; what is required is missing.
#[expect(
    clippy::expect_used,
    reason = "every section's type takes its own defaults"
)]
pub(super) fn defaults() -> Settings {
    let Loading { defaults, .. } = Loading::of_defaults(BTreeSet::new());
    serde_json::from_value(tree(&defaults)).expect("defaults fit")
}

impl Loading {
    fn of_defaults(needed: BTreeSet<String>) -> Loading {
        let known = keys::known();
        let default = |(name, key): (&String, &Key)| {
            let value = key.default.clone()?;
            let origin = Origin::Default;
            Some((name.clone(), Setting { value, origin }))
        };
        let defaults: BTreeMap<_, _> = known.iter().filter_map(default).collect();
        Loading {
            settings: defaults.clone(),
            defaults,
            known,
            needed,
            problems: Vec::new(),
            items: BTreeMap::new(),
            unclear: Vec::new(),
            complete: true,
        }
    }

    fn add_file(&mut self, path: &Path) {
        let entries = match file::read(path, &self.known) {
            Ok(entries) => entries,
            Err(problem) => {
                self.complete = false;
                return self.problems.push(problem);
            }
        };
        for entry in entries {
            let origin = Origin::File(entry.place);
            let section = entry.section;
            let is_known = keys::sections_of(&self.known).contains(section.as_str());
            let text = format!("is one section; write [{section}] and its keys below that");
            match (entry.key, &entry.value) {
                (Some(key), _) => {
                    let key = format!("{section}.{key}");
                    self.set(&key, entry.value, origin);
                    self.items.insert(key, entry.items);
                }
                (None, value) if !is_known && holds_keys(value) => {
                    self.unknown_section(&section, &origin);
                }
                (None, Value::Array(_)) if is_known => {
                    self.refuse(&format!("[[{section}]]"), None, &origin, text);
                }
                (None, _) if is_known => self.refuse(&section, None, &origin, text),
                (None, _) => self.key_without_section(&section, &origin),
            }
        }
    }

    fn add_variable(&mut self, name: &str, value: &str) {
        match environment::meaning(name, &self.known) {
            Meaning::Key(key) => self.set(&key, value.into(), Origin::Variable(name.to_owned())),
            Meaning::Foreign => {}
            Meaning::Unknown { nearest, text } => {
                self.unclear.extend(nearest);
                self.problems.push(Problem::of_source(name, text));
            }
        }
    }

    /// Arguments are there for every user of the machine to read.
    fn add_argument(&mut self, key: &str, value: &str) {
        if !self.known.get(key).is_some_and(|known| known.secret) {
            return self.set(key, value.into(), Origin::Argument);
        }
        let variable = environment::variable(key);
        let file = format!("{key}_file");
        let instead = match self.known.contains_key(&file) {
            true => format!("{variable} or {file}"),
            false => variable,
        };
        let text = format!(
            "holds a secret, and every user of this machine can read arguments; use {instead}"
        );
        self.refuse(key, None, &Origin::Argument, text);
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        let Some(known) = self.known.get(key) else {
            return self.unknown_key(key, &origin);
        };
        if !self.is_needed(key) {
            return;
        }
        let value = match value {
            Value::String(text) if known.secret => secret::without_line_ends(&text).into(),
            value => value,
        };
        if value == "" && !self.defaults.contains_key(key) {
            self.settings.remove(key);
            return;
        }
        let shown = shown(known, &value);
        let typed = typed(key, known, value, &origin);
        match typed.and_then(|value| self.try_alone(key, value)) {
            Ok(value) => {
                self.settings
                    .insert(key.to_owned(), Setting { value, origin });
            }
            Err(text) => self.refuse(key, shown, &origin, text),
        }
    }

    fn is_needed(&self, key: &str) -> bool {
        let section = key.split_once('.').map_or(key, |(section, _)| section);
        self.needed.contains(section)
    }

    /// Whether the section's type takes the value, all other keys being at their defaults.
    fn try_alone(&self, key: &str, value: Value) -> Result<Value, String> {
        let mut tree = tree(&self.defaults);
        place(&mut tree, key, value.clone());
        match serde_json::from_value::<Settings>(tree) {
            Ok(_) => Ok(value),
            Err(error) => Err(error.to_string()),
        }
    }

    fn unknown_key(&mut self, key: &str, origin: &Origin) {
        let nearest = keys::nearest(key, self.known.keys().map(String::as_str));
        self.unclear.extend(nearest.map(str::to_owned));
        let text = match (nearest, origin) {
            (Some(nearest), Origin::Variable(_)) => {
                format!(
                    "no such key; did you mean {}?",
                    environment::variable(nearest)
                )
            }
            (Some(nearest), _) => format!("no such key; did you mean {nearest}?"),
            (None, _) => "no such key; `tagsweep config --default` shows them all".into(),
        };
        // The value is not shown: it may be a secret under a misspelt name.
        self.refuse(key, None, origin, text);
    }

    /// A key that stands above all sections of a file.
    fn key_without_section(&mut self, key: &str, origin: &Origin) {
        let names = self.known.keys();
        let names: Vec<String> = names
            .filter(|name| keys::last_part(name) == key)
            .cloned()
            .collect();
        if names.is_empty() {
            return self.unknown_key(key, origin);
        }
        let sections = names.iter().filter_map(|name| name.split_once('.'));
        let sections: Vec<String> = sections
            .map(|(section, _)| format!("[{section}]"))
            .collect();
        let text = format!(
            "stands above all sections; write it below {}",
            sections.join(" or ")
        );
        self.unclear.extend(names);
        self.refuse(key, None, origin, text);
    }

    fn unknown_section(&mut self, section: &str, origin: &Origin) {
        let sections = keys::sections_of(&self.known);
        let nearest = keys::nearest(section, sections.iter().copied());
        self.unclear.extend(nearest.map(str::to_owned));
        let text = match nearest {
            Some(nearest) => format!("no such section; did you mean [{nearest}]?"),
            None => {
                let all: Vec<String> = sections.iter().map(|name| format!("[{name}]")).collect();
                format!("no such section; there are {}", all.join(", "))
            }
        };
        self.refuse(&format!("[{section}]"), None, origin, text);
    }

    fn refuse(&mut self, key: &str, value: Option<String>, origin: &Origin, text: String) {
        // A name may be empty; a line that begins with nothing would say nothing.
        let named = if key.is_empty() { "\"\"" } else { key };
        self.unclear.push(key.trim_matches(['[', ']']).to_owned());
        self.problems.push(Problem {
            key: named.to_owned(),
            value,
            origin: origin.clone(),
            text,
        });
    }

    fn is_unclear(&self, key: &str) -> bool {
        let section = key.split_once('.').map_or(key, |(section, _)| section);
        self.unclear
            .iter()
            .any(|name| name == key || name == section)
    }

    #[expect(
        clippy::expect_used,
        reason = "each value was tried, and no section's type couples two of its keys"
    )]
    fn finish<S: DeserializeOwned>(mut self) -> Result<S, Problems> {
        let url_is_default = self
            .settings
            .get("rabbitmq.url")
            .is_some_and(|url| url.origin == Origin::Default);
        if url_is_default && self.settings.contains_key("rabbitmq.url_file") {
            self.settings.remove("rabbitmq.url");
        }
        let tree = tree(&self.settings);
        let fits = "values that were tried one by one fit together";
        if self.complete {
            self.apply_rules(&serde_json::from_value(tree.clone()).expect(fits));
        }
        if self.problems.is_empty() {
            Ok(serde_json::from_value(tree).expect(fits))
        } else {
            Err(Problems(self.problems))
        }
    }

    /// A rule that looks at a value that is refused, misspelt or in a section that is not needed, sees a default instead;
    /// what it finds then is not told.
    fn apply_rules(&mut self, settings: &Settings) {
        for finding in rules::check(settings, &self.needed) {
            let unseen = |key: &&str| self.is_unclear(key) || !self.is_needed(key);
            if finding.keys.iter().any(unseen) {
                continue;
            }
            let key = finding.keys.first().copied().unwrap_or_default();
            let setting = self.settings.get(key);
            let known = self.known.get(key);
            let origin = setting.map_or(Origin::Default, |setting| setting.origin.clone());
            let origin = match (
                origin,
                finding.item.and_then(|item| self.items.get(key)?.get(item)),
            ) {
                (Origin::File(place), Some(item)) if item.file == place.file => {
                    Origin::File(item.clone())
                }
                (origin, _) => origin,
            };
            let right = match finding.remedy {
                Remedy::InText => None,
                Remedy::Default => known.and_then(|known| known.default.clone()),
                Remedy::Value(value) => Some(value),
            };
            self.problems.push(Problem {
                key: key.to_owned(),
                value: known
                    .zip(setting)
                    .and_then(|(known, setting)| shown(known, &setting.value)),
                text: finding.text + &advice(key, &origin, right),
                origin,
            });
        }
    }
}

/// Whether it is a table or a list of tables.
fn holds_keys(value: &Value) -> bool {
    let first = value.as_array().and_then(|items| items.first());
    first.unwrap_or(value).is_object()
}

fn tree(settings: &BTreeMap<String, Setting>) -> Value {
    let mut tree = Value::Null;
    for (key, setting) in settings {
        place(&mut tree, key, setting.value.clone());
    }
    tree
}

#[expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "only known keys are placed, and all of them have a section"
)]
fn place(tree: &mut Value, key: &str, value: Value) {
    let (section, key) = key.split_once('.').expect("known keys have two parts");
    tree[section][key] = value;
}

/// A value as a problem shows it. A URL with something before an `@` may hold a password, whatever
/// key it was written to. Of rules the text names the one that is wrong.
fn shown(key: &Key, value: &Value) -> Option<String> {
    if matches!(key.kind, Kind::Rules | Kind::Presets) && holds_keys(value) {
        return None;
    }
    let text = value.to_string();
    if key.secret || secret::may_hold_one(&text) {
        return Some("[redacted]".into());
    }
    Some(text)
}
