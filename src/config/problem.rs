//! What is wrong with a configuration, in words that never hold a secret.

use std::fmt;

/// One thing that is wrong: the key, its value, where that came from, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, as in `im.max_in_flight`; for a source that cannot be read at all, its name.
    pub key: String,
    /// The value as it was given; `[redacted]` for a secret, `None` where there is none.
    pub value: Option<String>,
    /// `in FILE` or `from VARIABLE`; `None` for a built-in default.
    pub origin: Option<String>,
    /// What is wrong, and what to do about it.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        write!(f, ": {}", self.text)
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
