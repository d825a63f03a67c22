//! Loading: layers of values become [`Settings`], or a list of everything that is wrong.
//!
//! Each value is tried alone on top of the defaults, so that one wrong value hides no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::environment::Meaning;
use super::keys::{self, Key, Kind};
use super::problem::{Problem, Problems};
use super::{DEFAULT_FILE, Settings, environment, rules, secret};

/// The values of one source: section names or dotted keys, in a stable order.
type Layer = BTreeMap<String, Value>;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq)]
enum Origin {
    Default,
    File(PathBuf),
    Environment,
}

#[derive(Clone)]
struct Setting {
    value: Value,
    origin: Origin,
}

struct Loading {
    known: BTreeMap<String, Key>,
    /// The sections that are asked for.
    needed: BTreeSet<String>,
    defaults: BTreeMap<String, Setting>,
    settings: BTreeMap<String, Setting>,
    problems: Vec<Problem>,
    /// Whether every source could be read. If not, rules would complain of what only seems to be missing.
    complete: bool,
}

pub(super) fn load<S: DeserializeOwned + JsonSchema>(
    files: &[PathBuf],
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<S, Problems> {
    let mut loading = Loading::of_defaults(keys::sections::<S>());
    for file in files {
        loading.add_file(file);
    }
    loading.add_environment(environment);
    loading.finish()
}

impl Loading {
    #[expect(
        clippy::expect_used,
        reason = "the default file is compiled in, and every load parses it"
    )]
    fn of_defaults(needed: BTreeSet<String>) -> Loading {
        let mut loading = Loading {
            known: keys::known(),
            needed,
            defaults: BTreeMap::new(),
            settings: BTreeMap::new(),
            problems: Vec::new(),
            complete: true,
        };
        let layer = toml(DEFAULT_FILE).expect("a test parses the default file");
        for (section, keys) in layer {
            for (key, value) in keys.as_object().into_iter().flatten() {
                let setting = Setting {
                    value: value.clone(),
                    origin: Origin::Default,
                };
                loading.defaults.insert(format!("{section}.{key}"), setting);
            }
        }
        loading.settings = loading.defaults.clone();
        loading
    }

    fn add_file(&mut self, path: &PathBuf) {
        let layer = std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|error| format!("cannot be read ({error}); check the path given to --config"))
            .and_then(|text| toml(&text));
        let layer = match layer {
            Ok(layer) => layer,
            Err(text) => {
                self.complete = false;
                return self.problems.push(Problem {
                    key: path.display().to_string(),
                    value: None,
                    origin: None,
                    text,
                });
            }
        };
        let origin = Origin::File(path.clone());
        for (section, value) in layer {
            let is_known = sections(&self.known).contains(section.as_str());
            match value {
                Value::Object(keys) if is_known => {
                    for (key, value) in keys {
                        self.set(&format!("{section}.{key}"), value, &origin);
                    }
                }
                Value::Object(_) => self.unknown_section(&section, &origin),
                _ if is_known => {
                    let text = format!("is a section; write [{section}] and its keys below that");
                    self.refuse(&section, None, &origin, text);
                }
                _ => self.unknown_key(&section, &origin),
            }
        }
    }

    fn add_environment(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        // In a stable order, as problems are told in it.
        for (name, value) in environment.into_iter().collect::<BTreeMap<_, _>>() {
            match environment::meaning(&name, &self.known) {
                Meaning::Key(key) => self.set(&key, Value::String(value), &Origin::Environment),
                Meaning::Foreign => {}
                Meaning::Unknown(text) => self.problems.push(Problem {
                    key: name,
                    value: None,
                    origin: None,
                    text,
                }),
            }
        }
    }

    fn set(&mut self, key: &str, value: Value, origin: &Origin) {
        let Some(known) = self.known.get(key) else {
            return self.unknown_key(key, origin);
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
        let is_default = |default: &Setting| default.value == value;
        let tried = if self.defaults.get(key).is_some_and(is_default) {
            // The default file is a configuration file too, with a 0 in it that stands for "not set".
            Ok(value)
        } else {
            typed(key, known, value, origin).and_then(|value| self.try_alone(key, value))
        };
        match tried {
            Ok(value) => {
                let origin = origin.clone();
                self.settings
                    .insert(key.to_owned(), Setting { value, origin });
            }
            Err(text) => self.refuse(key, Some(shown), origin, text),
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
        let text = match (nearest, origin) {
            (Some(nearest), Origin::Environment) => {
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

    fn unknown_section(&mut self, section: &str, origin: &Origin) {
        let sections = sections(&self.known);
        let text = match keys::nearest(section, sections.iter().copied()) {
            Some(nearest) => format!("no such section; did you mean [{nearest}]?"),
            None => {
                let all: Vec<&str> = sections.into_iter().collect();
                format!("no such section; there are {}", all.join(", "))
            }
        };
        self.refuse(&format!("[{section}]"), None, origin, text);
    }

    fn refuse(&mut self, key: &str, value: Option<String>, origin: &Origin, text: String) {
        // A name may be empty; a line that begins with nothing would say nothing.
        let named = if key.is_empty() { "\"\"" } else { key };
        self.problems.push(Problem {
            key: named.to_owned(),
            value,
            origin: origin.shown(key),
            text,
        });
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

    /// A rule that looks at a refused value, or at a section that is not needed, sees a default instead; what it
    /// finds then is not told.
    fn apply_rules(&mut self, settings: &Settings) {
        let refused: BTreeSet<String> = self.problems.iter().map(|p| p.key.clone()).collect();
        for finding in rules::check(settings, &self.needed) {
            let unseen = |key: &&str| refused.contains(*key) || !self.is_needed(key);
            if finding.keys.iter().any(unseen) {
                continue;
            }
            let key = finding.keys.first().copied().unwrap_or_default();
            let setting = self.settings.get(key);
            let known = self.known.get(key);
            self.problems.push(Problem {
                key: key.to_owned(),
                value: known
                    .zip(setting)
                    .map(|(known, setting)| shown(known, &setting.value)),
                origin: setting.and_then(|setting| setting.origin.shown(key)),
                text: finding.text,
            });
        }
    }
}

impl Origin {
    fn shown(&self, key: &str) -> Option<String> {
        match self {
            Origin::Default => None,
            Origin::File(path) => Some(format!("in {}", path.display())),
            Origin::Environment => Some(format!("from {}", environment::variable(key))),
        }
    }
}

fn sections(known: &BTreeMap<String, Key>) -> BTreeSet<&str> {
    known
        .keys()
        .filter_map(|key| key.split_once('.'))
        .map(|(section, _)| section)
        .collect()
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

fn toml(text: &str) -> Result<Layer, String> {
    toml::from_str(text).map_err(|error| {
        // The parser quotes the line that it cannot read, and that line may hold a secret.
        let text = error.to_string();
        let lines = text.lines().enumerate();
        let kept: Vec<&str> = lines
            .filter(|(index, line)| *index == 0 || !line.contains('|'))
            .map(|(_, line)| line.trim())
            .collect();
        kept.join(": ")
    })
}

/// A value as a problem shows it. A URL with something before an `@` may hold a password, whatever
/// key it was written to.
fn shown(key: &Key, value: &Value) -> String {
    let text = value.to_string();
    if key.secret || (text.contains("://") && text.contains('@')) {
        return "[redacted]".into();
    }
    text
}

/// Brings a value into the form that its key has, or says what that form is. The environment has
/// only texts, so they are read as what the key wants; a file has types, and they must fit.
fn typed(name: &str, key: &Key, value: Value, origin: &Origin) -> Result<Value, String> {
    let kind = key.kind;
    let value = match value {
        Value::String(text) if *origin == Origin::Environment => {
            environment::value(name, key, text)?
        }
        value => value,
    };
    let fits = match kind {
        Kind::Integer { min, max } => value.as_u64().is_some_and(|n| (min..=max).contains(&n)),
        Kind::Boolean => value.is_boolean(),
        Kind::Duration | Kind::Text => value.is_string(),
        Kind::List => is_list(&value),
        Kind::TextOrList => value.is_string() || is_list(&value),
    };
    match kind {
        _ if fits => Ok(value),
        // A bare number is the usual slip; the duration's own parser has the words for it.
        Kind::Duration if value.is_number() => Ok(Value::String(value.to_string())),
        Kind::Integer { min, max } => Err(format!("must be a whole number from {min} to {max}")),
        Kind::Boolean => Err("must be true or false".into()),
        Kind::Duration => Err("must be a duration in quotes, such as \"10s\"".into()),
        Kind::Text => Err("must be a text in quotes".into()),
        Kind::List => Err("must be a list of texts, such as [\"a\", \"b\"]".into()),
        Kind::TextOrList => Err("must be a text in quotes, or a list of them".into()),
    }
}

fn is_list(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().all(Value::is_string))
}
