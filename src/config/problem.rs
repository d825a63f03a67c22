//! What is wrong with a configuration, in words that never hold a secret.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// One thing that is wrong: the key, its value, where that came from, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, as in `im.max_in_flight`. For a source that cannot be read at all, its name; for a line that is not
    /// TOML, as much of it as cannot be secret, which may be nothing.
    pub key: String,
    /// The value as it was given; `[redacted]` for a secret, `None` where there is none.
    pub value: Option<String>,
    pub origin: Origin,
    /// What is wrong, and what to do about it.
    pub text: String,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The built-in file, or nowhere.
    Default,
    File(Place),
    /// The environment variable of this name.
    Variable(String),
    /// `--set`.
    Argument,
}

/// A place in a file; line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<Path>,
    pub line: usize,
    pub column: usize,
}

impl Problem {
    /// A problem of a source as a whole.
    pub(super) fn of_source(name: impl ToString, text: impl Into<String>) -> Problem {
        Problem {
            key: name.to_string(),
            value: None,
            origin: Origin::Default,
            text: text.into(),
        }
    }
}

/// In the form of a compiler's message, which editors and terminals turn into a link: `config.toml:12:1: key = value: …`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Origin::File(place) = &self.origin {
            let Place { file, line, column } = place;
            write!(f, "{}:{line}:{column}: ", file.display())?;
        }
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        match &self.origin {
            Origin::Variable(name) => write!(f, " (from {name})")?,
            Origin::Argument => f.write_str(" (from --set)")?,
            Origin::Default | Origin::File(_) => {}
        }
        if !self.key.is_empty() {
            f.write_str(": ")?;
        }
        f.write_str(&self.text)
    }
}

/// Everything that is wrong with a configuration. `Display` is one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
