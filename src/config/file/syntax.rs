//! Why a file is no TOML, in words for whoever wrote it.
//!
//! The parser says where it stopped and what it expected there. What was meant follows from the line and from the
//! key that it is about. A line is shown only where it cannot hold a secret.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use toml::de::Error;

use super::place;
use crate::config::keys::{self, Key, Keys, Kind};
use crate::config::problem::{Origin, Problem};
use crate::config::remedy::{meant, written};
use crate::config::secret;

/// The longest line that is shown.
const LONGEST: usize = 100;

/// The one problem of a file that cannot be parsed.
pub(super) fn problem(file: &Arc<Path>, text: &str, error: &Error, known: &Keys) -> Problem {
    if let Some(language) = other_language(text) {
        return Problem::of_source(file.display(), language);
    }
    let at = error.span().map_or(0, |span| span.start);
    let at = beginning(text, at, error.message());
    let line = Line::at(text, at, known);
    Problem {
        key: line.shown().unwrap_or_default(),
        value: None,
        origin: Origin::File(place(file, text, at)),
        text: line.advice(error.message(), text, at),
    }
}

/// What the first line of a file in another language looks like.
fn other_language(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(['#', '%']))?;
    let is_yaml_key = || {
        let (name, rest) = first.split_once(':')?;
        let plain = |next: char| next.is_ascii_alphanumeric() || "_-.\"'".contains(next);
        (name.chars().all(plain) && (rest.is_empty() || rest.starts_with(' '))).then_some(())
    };
    let language = if first.starts_with('{') || first == "[" || first.starts_with("[{") {
        "JSON"
    } else if first == "---" || first.starts_with("- ") || is_yaml_key().is_some() {
        "YAML"
    } else if first.starts_with('<') {
        "XML or HTML"
    } else if first.starts_with("export ") || first.starts_with("TAGSWEEP_") {
        return Some(
            "holds variables of the environment; give them to the program as such, or write [im] on one line and admin = \"administrator\" on the next"
                .into(),
        );
    } else {
        return None;
    };
    Some(format!(
        "looks like {language}; tagsweep reads TOML: [im] on one line and admin = \"administrator\" on the next"
    ))
}

/// Where that begins which has no end. The parser stops where it should have ended.
fn beginning(text: &str, at: usize, message: &str) -> usize {
    let before = text.get(..at).unwrap_or(text);
    let opening = if message.contains("multi-line") {
        before.rfind("\"\"\"").max(before.rfind("'''"))
    } else if message.contains("array") || message.contains("inline table") {
        before.rfind(['[', '{']).filter(|opening| {
            let opened = before.get(..*opening).unwrap_or_default();
            opened.trim_end().ends_with('=')
        })
    } else {
        None
    };
    opening.unwrap_or(at)
}

/// A line of the file, taken apart as far as it can be.
struct Line<'a> {
    whole: &'a str,
    /// The section that it stands in.
    section: &'a str,
    /// What stands before the `=`, or before the `:` or the first space where there is none.
    name: &'a str,
    separator: Option<char>,
    rest: &'a str,
    /// The key of that name, with its full name; else the one that is nearest.
    key: Option<(&'a str, &'a Key)>,
    nearest: Option<&'a str>,
    is_section: bool,
}

impl<'a> Line<'a> {
    fn at(text: &'a str, at: usize, known: &'a Keys) -> Line<'a> {
        let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let end = after.find(['\n', '\r']).unwrap_or(after.len()) + at;
        let whole = text.get(start..end).unwrap_or_default().trim();
        let above = text.get(..start).unwrap_or_default();
        let section = above.lines().rev().find_map(header).unwrap_or_default();
        let separator = ['=', ':', ' ']
            .into_iter()
            .find(|sign| whole.contains(*sign));
        let parts = separator.and_then(|sign| whole.split_once(sign));
        let (name, rest) = parts.unwrap_or((whole, ""));
        let (name, rest) = (name.trim(), rest.trim());
        Line {
            whole,
            section,
            name,
            separator,
            rest,
            key: key(known, section, name),
            nearest: keys::nearest(
                &format!("{section}.{}", name.replace(' ', "_")),
                known.keys().map(String::as_str),
            ),
            is_section: keys::sections_of(known).contains(name.trim_matches(['[', ']', '<', '>'])),
        }
    }

    /// As much of it as cannot be secret: of a key that is or may be meant for one, not the value; of a line without a
    /// key that is known, nothing, because it may be a part of a longer text.
    fn shown(&self) -> Option<String> {
        let is_secret = |key: &Key| key.secret || secret::may_hold_one(self.whole);
        match self.key {
            Some((_, key)) if !is_secret(key) => {
                let shown: String = self.whole.chars().take(LONGEST).collect();
                let rest = if shown.len() < self.whole.len() {
                    "…"
                } else {
                    ""
                };
                Some(format!("`{shown}{rest}`"))
            }
            None if self.nearest.is_none() => None,
            Some(_) | None => Some(match self.separator {
                Some(' ') | None => format!("`{} …`", self.name),
                Some('=') => format!("`{} = …`", self.name),
                Some(separator) => format!("`{}{separator} …`", self.name),
            }),
        }
    }

    /// What is wrong, and what to write.
    fn advice(&self, message: &str, text: &str, at: usize) -> String {
        let says = |words: &str| message.contains(words);
        if says("duplicate key") {
            self.given_twice(text, at)
        } else if says("visible characters") || says("comment character") {
            "holds a control character; remove it".into()
        } else if says("carriage return") {
            "ends with a carriage return alone; save the file with line feeds".into()
        } else if says("recurs") {
            "is nested too deeply; no key needs that".into()
        } else if says("multi-line") {
            "a text that begins with three quotes needs three at its end; use one at each end"
                .into()
        } else if says("invalid basic string") || says("invalid literal string") {
            self.with_right("the closing quote is missing")
        } else if says("escape") || says("unicode") {
            self.with_backslash()
        } else if says("inline table") {
            self.with_right("the closing } is missing")
        } else if says("array") {
            let wrong = "a list needs commas between its items and a ] at its end";
            match self.rest.contains(']') {
                true => self.with_right(wrong),
                false => wrong.into(),
            }
        } else if says("extra `=`") {
            self.with_right("one = is enough")
        } else if says("unquoted key") && !self.name.is_empty() && !self.whole.starts_with('[') {
            self.did_you_mean("the name of a key has only letters from a to z, digits and _")
        } else if self.whole.starts_with('[') {
            self.broken_header()
        } else if self.separator == Some('=') && !self.name.is_empty() && !self.name.contains(' ') {
            self.broken_value()
        } else {
            self.no_assignment()
        }
    }

    fn given_twice(&self, text: &str, at: usize) -> String {
        let before = text.get(..at).unwrap_or(text);
        let before = before.rfind('\n').and_then(|end| before.get(..end));
        let name = header(self.whole);
        let section = name.unwrap_or(self.section);
        let mut current = "";
        let first = before.unwrap_or_default().lines().position(|line| {
            let found = header(line);
            current = found.unwrap_or(current);
            let given = line.split('=').next().unwrap_or_default().trim();
            match name {
                Some(name) => found == Some(name) || current.is_empty() && is_of(given, name),
                None => current == section && is_of(given, self.name),
            }
        });
        let first = first.map_or("above".to_owned(), |line| format!("in line {}", line + 1));
        match name {
            Some(name) => {
                format!("[{name}] is given twice, first {first}; put its keys in one place")
            }
            None => format!(
                "{} is given twice, first {first}; remove one of them",
                self.name
            ),
        }
    }

    fn broken_header(&self) -> String {
        let name = self.whole.trim_start_matches('[');
        let name = name.split([']', ' ', '#']).next().unwrap_or_default();
        let plain = |next: char| next.is_ascii_lowercase() || next == '_';
        match name.chars().all(plain) && !name.is_empty() {
            true => format!("a section stands on a line of its own, in brackets; write [{name}]"),
            false => "a section stands on a line of its own, in brackets, such as [im]".into(),
        }
    }

    /// There is a `=`, and what stands behind it is no value.
    fn broken_value(&self) -> String {
        let value = self.rest.trim_start_matches('=').trim_start();
        if ["null", "nil", "none", "~"].contains(&value.to_lowercase().as_str()) {
            return "TOML has no null; leave the line out to keep the default".into();
        }
        if value.is_empty() || value.starts_with('#') {
            return self.with_right("the value is missing");
        }
        if let Some(quote) = value.chars().next().filter(|next| "\"'".contains(*next)) {
            let behind = value.get(1..).and_then(|text| text.split_once(quote));
            let (_, behind) = behind.unwrap_or_default();
            let is_list = self
                .key
                .is_some_and(|(_, key)| matches!(key.kind, Kind::List | Kind::Presets));
            return match behind.trim_start().starts_with([';', ',']) {
                true if is_list => self.with_right("a list needs brackets"),
                true => self.with_right("nothing may follow a value but a # comment"),
                false => {
                    "must be one text in one pair of quotes; a text that contains ' stands in double quotes"
                        .into()
                }
            };
        }
        self.with_right(match self.key.map(|(_, key)| &key.kind) {
            Some(Kind::Integer { .. }) => "a number has digits only, and no zero in front",
            Some(Kind::Boolean) => "true and false are written in small letters",
            Some(Kind::List | Kind::Presets) => "a list needs brackets, and its items quotes",
            Some(Kind::Rules) => "rules are tables; write each below [[events.mapping]]",
            Some(Kind::Duration) => "a duration needs quotes",
            Some(Kind::Text | Kind::Choice(_) | Kind::Address | Kind::TextOrList) | None => {
                "a text needs quotes"
            }
        })
    }

    fn with_backslash(&self) -> String {
        let wrong = "a backslash in double quotes begins an escape";
        match self.key {
            Some((name, key)) if !key.secret && !secret::may_hold_one(self.whole) => {
                let text = self.rest.trim_matches('"');
                let key = keys::last_part(name);
                format!("{wrong}; write {key} = '{text}'")
            }
            _ => format!("{wrong}; write the text in single quotes"),
        }
    }

    /// There is no `=`, or no name before it.
    fn no_assignment(&self) -> String {
        if ["//", "/*", ";", "--"]
            .iter()
            .any(|sign| self.whole.starts_with(sign))
        {
            "a comment begins with #".into()
        } else if self.is_section && (self.key.is_none() || self.section.is_empty()) {
            let name = self.name.trim_matches(['[', ']', '<', '>']);
            format!("a section is written in brackets; write [{name}]")
        } else if self.whole.starts_with('=') {
            "the name of the key is missing before the =".into()
        } else if self.separator == Some('=') && self.name.contains(' ') {
            self.did_you_mean("the name of a key has no spaces")
        } else if self.key.is_some() {
            self.with_right("a key and its value are joined by =")
        } else {
            "is neither a [section], nor key = value, nor a # comment".into()
        }
    }

    fn did_you_mean(&self, wrong: &str) -> String {
        match self.nearest {
            Some(nearest) => format!("{wrong}; did you mean {}?", keys::last_part(nearest)),
            None => wrong.into(),
        }
    }

    /// `wrong`, with the right line where one can be told.
    fn with_right(&self, wrong: &str) -> String {
        let Some((name, key)) = self.key else {
            return wrong.into();
        };
        let value = self.rest.trim_start_matches('=').trim_start();
        let value = value.split(" #").next().unwrap_or_default();
        let default = || key.default.clone().filter(|_| !key.secret);
        let right: Option<Value> = match secret::may_hold_one(self.whole) {
            true => None,
            false => meant(key, value).or_else(default),
        };
        match right {
            Some(right) => format!("{wrong}; write {}", written(name, &Origin::Default, &right)),
            None => format!("{wrong}; write {} = \"…\"", keys::last_part(name)),
        }
    }
}

/// The name of a section, if the line is the header of one.
fn header(line: &str) -> Option<&str> {
    let (name, _) = line.trim().strip_prefix('[')?.split_once(']')?;
    Some(name.trim_matches(['[', ' ']))
}

/// Whether a key is `name`, or one below it.
fn is_of(key: &str, name: &str) -> bool {
    let rest = key.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The known key of a name: of this section, else of any. Where one of several is a secret, that one.
fn key<'a>(known: &'a Keys, section: &str, name: &str) -> Option<(&'a str, &'a Key)> {
    let full = [name.to_owned(), format!("{section}.{name}")];
    let exact = full.iter().find_map(|name| known.get_key_value(name));
    let same = known.iter().filter(|(key, _)| keys::last_part(key) == name);
    let found = exact.or_else(|| same.max_by_key(|(_, key)| key.secret));
    found.map(|(name, key)| (name.as_str(), key))
}
