//! The functions `match` and `search` of RFC 9535, with each pattern compiled once.
//!
//! Those of the library compile it at each call, which takes ten times as long as all else that a rule does.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use regex::{Regex, RegexBuilder};
use serde_json::Value;
use serde_json_path::functions::{LogicalType, ValueType};

/// More patterns than any configuration has.
const MANY: usize = 1_000;
/// Bytes of one compiled pattern.
const LARGEST: usize = 1 << 20;

/// By their patterns; nothing for what is no pattern.
type Compiled = LazyLock<RwLock<HashMap<String, Option<Regex>>>>;

static WHOLE: Compiled = LazyLock::new(Default::default);
static ANYWHERE: Compiled = LazyLock::new(Default::default);

#[serde_json_path::function(name = "match")]
fn matches(text: ValueType<'_>, pattern: ValueType<'_>) -> LogicalType {
    holds(&text, &pattern, &WHOLE, whole).into()
}

#[serde_json_path::function]
fn search(text: ValueType<'_>, pattern: ValueType<'_>) -> LogicalType {
    holds(&text, &pattern, &ANYWHERE, pattern_of).into()
}

fn holds(
    text: &ValueType<'_>,
    pattern: &ValueType<'_>,
    compiled: &Compiled,
    compile: fn(&str) -> Result<Regex, String>,
) -> bool {
    let (Some(Value::String(text)), Some(Value::String(pattern))) =
        (text.as_value(), pattern.as_value())
    else {
        return false;
    };
    let is_match = |regex: &Option<Regex>| regex.as_ref().is_some_and(|regex| regex.is_match(text));
    let known = compiled.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = known.get(pattern) {
        return is_match(regex);
    }
    drop(known);
    let regex = compile(pattern).ok();
    let holds = is_match(&regex);
    let mut known = compiled.write().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= MANY {
        known.clear();
    }
    known.insert(pattern.clone(), regex);
    holds
}

/// Compiles a pattern that may match anywhere, or says what is wrong with it.
pub(super) fn pattern_of(pattern: &str) -> Result<Regex, String> {
    let regex = RegexBuilder::new(pattern)
        // As RFC 9485 has it: a dot is neither \n nor \r.
        .crlf(true)
        .size_limit(LARGEST)
        .build();
    regex.map_err(|error| {
        // The error draws the pattern on several lines; the last one says what is wrong.
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        last.trim_start_matches("error: ").to_owned()
    })
}

fn whole(pattern: &str) -> Result<Regex, String> {
    pattern_of(pattern)?;
    pattern_of(&format!("^(?:{pattern})$"))
}
