//! Steps from a text that a rule selects to the user ID.

use std::borrow::Cow;

use regex::Regex;

use super::functions::pattern_of;
use super::php;
use super::problem::Fault;

#[derive(Debug)]
pub(super) enum Step {
    Take(Regex),
    Uuid,
    Lower,
    Prefix(String),
    StripPrefix(String),
    PercentDecode,
    /// Names, joined by dots.
    Php(String),
}

impl Step {
    pub(super) fn parse(text: &str) -> Result<Step, Fault> {
        let (name, argument) = match text.split_once(' ') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let wanting = |what| Err(Fault::new(text, what));
        match (name, argument) {
            ("take", Some(pattern)) => {
                let regex = pattern_of(pattern).map_err(|why| {
                    Fault::at(text, "take ".len(), format!("no regular expression: {why}"))
                })?;
                if regex.captures_len() < 2 {
                    let what = "has no group; put what is to be taken in parentheses: \"take ^users/(.+)$\"";
                    return Err(Fault::at(text, "take ".len(), what));
                }
                Ok(Step::Take(regex))
            }
            ("uuid", None) => Ok(Step::Uuid),
            ("lower", None) => Ok(Step::Lower),
            ("prefix", Some(prefix)) => Ok(Step::Prefix(prefix.to_owned())),
            ("strip_prefix", Some(prefix)) => Ok(Step::StripPrefix(prefix.to_owned())),
            ("percent_decode", None) => Ok(Step::PercentDecode),
            ("php", Some(path)) => Ok(Step::Php(path.to_owned())),
            ("take" | "prefix" | "strip_prefix" | "php", None) => {
                wanting("needs what follows it, such as \"strip_prefix auth0|\"")
            }
            ("uuid" | "lower" | "percent_decode", Some(_)) => {
                wanting("takes nothing behind its name")
            }
            _ => wanting(
                "no such step; there are take, uuid, lower, prefix, strip_prefix, percent_decode and php",
            ),
        }
    }

    /// Nothing where the step asks for what the text does not have.
    fn apply<'a>(&self, text: Cow<'a, str>) -> Option<Cow<'a, str>> {
        Some(match self {
            Step::Take(regex) => regex.captures(&text)?.get(1)?.as_str().to_owned().into(),
            Step::Uuid => match is_uuid(&text) {
                true => text.replace('-', "").to_ascii_lowercase().into(),
                false => text,
            },
            Step::Lower => text.to_lowercase().into(),
            // It would make a user of nobody.
            Step::Prefix(_) if text.is_empty() => return None,
            Step::Prefix(prefix) => format!("{prefix}{text}").into(),
            Step::StripPrefix(prefix) => match text.strip_prefix(prefix.as_str()) {
                Some(rest) => rest.to_owned().into(),
                None => text,
            },
            Step::PercentDecode => percent_decoded(&text)?.into(),
            Step::Php(path) => php::field(&text, path)?.to_owned().into(),
        })
    }
}

/// Applies the steps in turn.
pub(super) fn apply<'a>(steps: &[Step], text: Cow<'a, str>) -> Option<Cow<'a, str>> {
    steps.iter().try_fold(text, |text, step| step.apply(text))
}

/// With each `%7C` as the character that it stands for; nothing where a `%` stands for none.
fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then_some(())?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Of any version, in its usual form: 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| match HYPHENS.contains(&at) {
                true => byte == b'-',
                false => byte.is_ascii_hexdigit(),
            })
}
