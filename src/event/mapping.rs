//! The mapping: rules of the operator's own and of presets, which say what becomes of messages in other forms.
//!
//! All rules see one document of a message. The first one that holds decides.

mod document;
mod expression;
mod functions;
mod php;
mod problem;
mod rule;
mod scan;
#[cfg(test)]
mod tests;
mod transform;

use std::sync::Arc;

use super::{Decoded, Message};

pub use problem::Problem;

use document::Document;
use rule::Rule;

/// A rule as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    /// An RFC 9535 filter on the document.
    pub when: String,
    /// RFC 9535 queries; the first one that selects anything gives the users.
    pub users: Vec<String>,
    /// Paths of texts that hold JSON.
    pub parse: Vec<String>,
    /// Steps from what was selected to the user ID.
    pub transform: Vec<String>,
    /// The path of the event's ID.
    pub id: Option<String>,
    /// The path of the time at which it happened.
    pub time: Option<String>,
    /// Users are reset, not deleted.
    pub reset: bool,
    /// Nobody is cleared.
    pub ignore: bool,
}

/// Rules that were found to be sound. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    rules: Arc<[Rule]>,
}

/// What the mapping says of a message.
pub(super) enum Mapped {
    Held {
        rule: usize,
        decoded: Decoded,
    },
    /// No rule holds.
    Open,
    /// No rule holds, and the body is not JSON.
    NotJson,
    /// No rule was tried: what they see would take too much memory.
    TooLarge,
}

/// Why a rule did not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhyNot<'a> {
    pub rule: &'a str,
    /// The part of its `when` that did not hold, with what stands there instead.
    pub part: String,
}

impl Mapping {
    /// Compiles rules.
    ///
    /// # Errors
    /// All that is wrong with them, in one go.
    pub fn compile(definitions: &[Definition]) -> Result<Mapping, Vec<Problem>> {
        let mut rules = Vec::new();
        let mut problems = Vec::new();
        for (index, definition) in definitions.iter().enumerate() {
            match Rule::compile(index, definition) {
                Ok(rule) => rules.push(rule),
                Err(found) => problems.extend(found),
            }
        }
        match problems.is_empty() {
            true => Ok(Mapping {
                rules: rules.into(),
            }),
            false => Err(problems),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules' names, in the order in which they are tried.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    /// The name of the rule of this index, and whether it says that users are reset.
    pub fn rule(&self, index: usize) -> Option<(&str, bool)> {
        let rule = self.rules.get(index)?;
        Some((&rule.name, rule.reset))
    }

    pub(super) fn read(&self, message: &Message<'_>) -> Mapped {
        if self.is_empty() {
            return Mapped::Open;
        }
        let Ok(document) = Document::of(message) else {
            return Mapped::TooLarge;
        };
        let rules = self.rules.iter().enumerate();
        for (index, rule) in rules {
            if let Some(decoded) = rule.read(&document, message) {
                return Mapped::Held {
                    rule: index,
                    decoded: decoded.unwrap_or_else(Decoded::Malformed),
                };
            }
        }
        match document.is_json {
            true => Mapped::Open,
            false => Mapped::NotJson,
        }
    }

    /// Why the rules did not hold, up to the first one that did. It shows what stands in the message.
    pub fn explain(&self, message: &Message<'_>) -> Vec<WhyNot<'_>> {
        if self.is_empty() {
            return Vec::new();
        }
        let Ok(document) = Document::of(message) else {
            return Vec::new();
        };
        let reasons = self.rules.iter().map_while(|rule| {
            let part = rule.why_not(&document)?;
            let rule = &rule.name;
            Some(WhyNot { rule, part })
        });
        reasons.collect()
    }
}
