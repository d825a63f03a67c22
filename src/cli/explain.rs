//! `tagsweep explain CODE`: what an API error code, or an HTTP status, means.

use std::str::FromStr;

use serde_json::json;

use super::{FAILED, Failure, output};
use crate::engine::{Class, error_code, http_status};

/// What the worker does on the codes of each class, in words for an operator.
const CLASSES: &str = include_str!("explain/classes.tsv");

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tagsweep explain 90009\n  tagsweep explain http-429")]
pub(super) struct Arguments {
    /// An ErrorCode of the API, such as 70009, or an HTTP status, such as http-429.
    #[arg(allow_negative_numbers = true)]
    code: Code,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy)]
enum Code {
    Api(i64),
    Http(u16),
}

impl FromStr for Code {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Code, Self::Err> {
        let status = |text: &str| {
            let status = text.parse().ok()?;
            (100..600).contains(&status).then_some(Code::Http(status))
        };
        if let Some(text) = text.strip_prefix("http-") {
            return status(text).ok_or("an HTTP status has three digits, as in http-429");
        }
        // No code of the API has three digits.
        status(text)
            .or_else(|| text.parse().ok().map(Code::Api))
            .ok_or("a code is a number, such as 70009, or an HTTP status, such as http-429")
    }
}

pub(super) fn run(&Arguments { code, json }: &Arguments) -> Result<(), Failure> {
    let code = match code {
        Code::Api(code) => code,
        Code::Http(status) => return explain_http(status, json),
    };
    let known = error_code(code);
    let class = known.map_or(Class::Unknown, |known| known.class);
    if json {
        output::print(json!({
            "code": code,
            "known": known.is_some(),
            "class": class.name(),
            "meaning": known.map(|known| known.meaning),
            "reaction": reaction(class),
            "source": known.map(|known| known.source),
        }))?;
    } else if let Some(known) = known {
        output::print(format_args!(
            "{code} ({}): {}\nWhat the worker does: {}\nSource: {}",
            class.name(),
            known.meaning,
            reaction(class),
            known.source
        ))?;
    } else {
        output::complain(&format!(
            "error code {code} is in no published table\nWhat the worker does: {}",
            reaction(class)
        ));
    }
    known.map(|_| ()).ok_or(Failure::Said(FAILED))
}

/// What the worker does on a code of this class.
fn reaction(class: Class) -> &'static str {
    let mut lines = CLASSES.lines().filter_map(|line| line.split_once('\t'));
    let line = lines.find(|(name, _)| *name == class.name());
    line.map_or("", |(_, reaction)| reaction)
}

fn explain_http(status: u16, json: bool) -> Result<(), Failure> {
    let known = http_status(status, false);
    if json {
        return output::print(json!({
            "http_status": status,
            "class": known.class.name(),
            "meaning": known.meaning,
            "reaction": reaction(known.class),
        }));
    }
    let throttled = match http_status(status, true).class {
        Class::Throttle => {
            "\nWith Retry-After: the pace is halved, and no call is made before the time that it names (2 minutes at \
             most)."
        }
        _ => "",
    };
    output::print(format_args!(
        "HTTP status {status} ({}): {}\nWhat the worker does: {}{throttled}\nThe API itself answers with status 200: \
         any other comes from something in between.",
        known.class.name(),
        known.meaning,
        reaction(known.class)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_explained() {
        assert_eq!(CLASSES.lines().count(), 1 + Class::ALL.len());
        for class in Class::ALL {
            assert!(!reaction(class).is_empty(), "{class:?}");
        }
    }
}
