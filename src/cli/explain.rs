//! `tagsweep explain`: what an error code, or a name that the worker uses, means, and what to do about it.

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::{FAILED, Failure, output};
use crate::engine::{Class, error_codes};
use crate::explain::{self as table, Explanation};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tagsweep explain 70009\n  tagsweep explain http-429\n  \
                  tagsweep explain retries-exhausted\n  tagsweep explain --list\n\n\
                  Exit codes: 0 explained, 1 unknown."
)]
pub(super) struct Arguments {
    /// An error code of the API (70009), an HTTP status (http-429), a class (config), a dead letter's reason
    /// (rejected-by-api), a state (standby), or what kept a call from being answered (timeout).
    #[arg(
        value_name = "CODE or NAME",
        allow_negative_numbers = true,
        required_unless_present = "list"
    )]
    name: Option<String>,
    /// List all names and error codes.
    #[arg(long, conflicts_with = "name")]
    list: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.name {
        Some(name) => explain(name, arguments.json),
        None if arguments.json => {
            let all = listed().map(|known| as_json(&known));
            output::print(serde_json::to_string_pretty(&Vec::from_iter(all))?)
        }
        None => list(),
    }
}

fn explain(name: &str, json: bool) -> Result<(), Failure> {
    let Some(explanation) = find(name) else {
        let distance = |known: &Explanation| strsim::levenshtein(&known.name, name);
        let typos = (name.len() / 2).min(3);
        let nearest = listed().min_by_key(distance);
        let hint = match nearest.filter(|known| distance(known) <= typos) {
            Some(nearest) => format!("did you mean {}?", nearest.name),
            None => "`tagsweep explain --list` shows all".to_owned(),
        };
        return Err(
            anyhow::anyhow!("{name:?} is no error code or name of tagsweep: {hint}").into(),
        );
    };
    match json {
        true => output::print(as_json(&explanation))?,
        false => output::print(in_words(&explanation))?,
    }
    match explanation.meaning {
        Some(_) => Ok(()),
        None => Err(Failure::Said(FAILED)),
    }
}

/// Names are taken in any case, and as metrics or code write them.
fn find(name: &str) -> Option<Explanation> {
    let name = name.trim().to_lowercase().replace('_', "-");
    if let Some(status) = name.strip_prefix("http-") {
        // A label may stand for a hundred of them.
        let status = match status {
            "2xx" => Some(200),
            "3xx" => Some(300),
            "4xx" => Some(400),
            "5xx" => Some(500),
            "other" => Some(600),
            status => status.parse().ok().filter(is_status),
        };
        return status.map(|status| table::of_status(name.clone(), status));
    }
    // No code of the API has three digits.
    match name.parse().ok() {
        Some(code) => match u16::try_from(code).ok().filter(is_status) {
            Some(status) => Some(table::of_status(format!("http-{status}"), status)),
            None => Some(table::of_code(code)),
        },
        None => table::of_name(&name),
    }
}

fn is_status(number: &u16) -> bool {
    (100..600).contains(number)
}

fn listed() -> impl Iterator<Item = Explanation> {
    let names = table::KINDS.iter().flat_map(|(kind, _)| {
        let lines = table::lines().filter(move |line| line.kind == *kind);
        lines.filter_map(|line| table::of_name(line.name))
    });
    let codes = error_codes().iter();
    names.chain(codes.map(|known| table::of_code(known.code)))
}

fn list() -> Result<(), Failure> {
    let mut text = String::new();
    for (kind, heading) in table::KINDS {
        text += &format!("{heading}\n");
        for known in listed().filter(|known| known.kind == kind) {
            text += &in_columns(&known.name, known.meaning);
        }
        text.push('\n');
    }
    text += "HTTP statuses (http-100 to http-599)\n\nError codes of the API\n";
    for known in listed().filter(|known| known.kind == "code") {
        let class = known.class.map_or("", Class::name);
        text += &in_columns(&format!("{}  {class}", known.name), known.meaning);
    }
    output::print(text.trim_end())
}

fn in_columns(name: &str, meaning: Option<&str>) -> String {
    const WIDTH: usize = 20;
    let meaning = output::hanging(meaning.unwrap_or_default(), 2 + WIDTH + 1);
    format!("  {name:<WIDTH$} {meaning}\n")
}

fn in_words(known: &Explanation) -> String {
    let class = match known.class {
        Some(class) => format!(" ({})", class.name()),
        None => String::new(),
    };
    let meaning = known.meaning.unwrap_or("in no published table");
    let mut lines = vec![format!("{}{class}: {meaning}", known.name)];
    let mut say = |what: &str, text: &str| {
        if !text.is_empty() {
            lines.push(format!("{what}: {text}"));
        }
    };
    say("What the worker does", known.reaction);
    say("What you should do", known.advice);
    say("Source", known.source.unwrap_or_default());
    let lines = lines.iter().map(|line| output::hanging(line, 0));
    Vec::from_iter(lines).join("\n")
}

fn as_json(known: &Explanation) -> Value {
    json!({
        "kind": known.kind,
        "name": known.name,
        "code": match known.kind {
            "code" => known.name.parse::<i64>().ok(),
            _ => None,
        },
        "known": known.meaning.is_some(),
        "class": known.class.map(Class::name),
        "meaning": known.meaning,
        "reaction": known.reaction,
        "advice": known.advice,
        "source": known.source,
    })
}
