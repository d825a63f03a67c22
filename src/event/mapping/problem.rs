//! What is wrong with a rule.

use std::fmt;

/// One thing that is wrong with a rule: where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The rule's index among those that were compiled.
    pub rule: usize,
    /// The rule's key that is wrong: `when`.
    pub key: &'static str,
    pub fault: Fault,
}

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The wrong text.
    pub text: String,
    /// The character at which it is wrong, counted from 1; nothing where it is wrong as a whole.
    pub column: Option<usize>,
    /// What is wrong, and what to write instead.
    pub what: String,
}

impl Fault {
    pub(super) fn new(text: &str, what: impl Into<String>) -> Fault {
        Fault {
            text: text.to_owned(),
            column: None,
            what: what.into(),
        }
    }

    /// At the byte `at` of `text`.
    pub(super) fn at(text: &str, at: usize, what: impl Into<String>) -> Fault {
        let before = text.get(..at).unwrap_or(text);
        Fault {
            column: Some(before.chars().count() + 1),
            ..Fault::new(text, what)
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(column) = self.column {
            write!(f, "at character {column} of {:?}: ", self.text)?;
        }
        f.write_str(&self.what)
    }
}
