//! What is to be said of each name that the worker uses: `explanations.tsv`, which docs/OPERATIONS.md is written from
//! too. What error codes and HTTP statuses mean is in the engine's tables, beside the classes that it decides by.

use crate::engine::{Class, error_code, http_status};

const TABLE: &str = include_str!("explain/explanations.tsv");

/// The kinds of names, in the order in which they are listed, with their headings.
pub const KINDS: [(&str, &str); 5] = [
    (
        "class",
        "Classes of error codes (the worker pauses for a class)",
    ),
    (
        "call",
        "Calls without an answer of the API (label code of tagsweep_api_calls_total)",
    ),
    ("reason", "Reasons of dead letters (header tagsweep-reason)"),
    (
        "letter",
        "Dead letters that tagsweep did not write (reasons of `tagsweep dead-letters`)",
    ),
    ("state", "States of the worker (tagsweep_state)"),
];

/// A line of the table.
#[derive(Clone, Copy)]
pub struct Line {
    pub kind: &'static str,
    /// Of kind `code`, several with spaces between them.
    pub name: &'static str,
    pub meaning: &'static str,
    pub reaction: &'static str,
    pub advice: &'static str,
}

pub fn lines() -> impl Iterator<Item = Line> {
    TABLE.lines().skip(1).filter_map(|line| {
        let mut fields = line.split('\t');
        Some(Line {
            kind: fields.next()?,
            name: fields.next()?,
            meaning: fields.next()?,
            reaction: fields.next()?,
            advice: fields.next()?,
        })
    })
}

/// What can be said of a code, a status or a name.
#[derive(Clone)]
pub struct Explanation {
    pub kind: &'static str,
    pub name: String,
    /// Of a code or a status.
    pub class: Option<Class>,
    /// None: the code is in no published table.
    pub meaning: Option<&'static str>,
    pub reaction: &'static str,
    pub advice: &'static str,
    /// Who says what the code means.
    pub source: Option<&'static str>,
}

pub fn of_name(name: &str) -> Option<Explanation> {
    let is_named = |line: &Line| line.name.replace('_', "-") == name.replace('_', "-");
    let line = lines().find(|line| line.kind != "code" && is_named(line))?;
    Some(Explanation {
        kind: line.kind,
        name: line.name.to_owned(),
        class: None,
        meaning: Some(line.meaning),
        reaction: line.reaction,
        advice: line.advice,
        source: None,
    })
}

pub fn of_code(code: i64) -> Explanation {
    let name = code.to_string();
    let own = lines()
        .find(|line| line.kind == "code" && line.name.split(' ').any(|listed| listed == name));
    if code == 0 {
        return Explanation {
            kind: "code",
            name,
            class: None,
            meaning: Some("success"),
            reaction: "It counts the users as cleared, and acknowledges their events.",
            advice: own.map_or("", |line| line.advice),
            source: None,
        };
    }
    let known = error_code(code);
    let class = known.map_or(Class::Unknown, |known| known.class);
    let general = of_class(class);
    Explanation {
        kind: "code",
        name,
        class: Some(class),
        meaning: known.map(|known| known.meaning),
        reaction: general.reaction,
        advice: own.unwrap_or(general).advice,
        source: known.map(|known| known.source),
    }
}

/// Of a status that the API itself never answers with. `name` may stand for several.
pub fn of_status(name: String, status: u16) -> Explanation {
    let known = http_status(status, false);
    let general = of_class(known.class);
    let throttled = http_status(status, true).class == Class::Throttle;
    Explanation {
        kind: "http",
        name,
        class: Some(known.class),
        meaning: Some(known.meaning),
        reaction: match throttled {
            true => {
                "It repeats the call with backoff. With Retry-After, no call is made before the time that this names \
                 (2 minutes at most), unless others show that it concerns one user or one server of several."
            }
            false => general.reaction,
        },
        advice: match known.class {
            Class::Config => {
                "Find out what answers in place of the API, which uses status 200 only: check im.base_url, im.path, \
                 im.proxy_url and the firewall."
            }
            _ => general.advice,
        },
        source: None,
    }
}

fn of_class(class: Class) -> Line {
    let mut classes = lines().filter(|line| line.kind == "class");
    let line = classes.find(|line| line.name == class.name());
    line.unwrap_or(Line {
        kind: "class",
        name: class.name(),
        meaning: "",
        reaction: "",
        advice: "",
    })
}
