//! `tagsweep explain CODE`: what an API error code means.

use serde_json::json;

use super::{FAILED, Failure, output};
use crate::engine::{Class, error_code};

/// What the worker does on the codes of each class, in words for an operator.
const CLASSES: &str = include_str!("explain/classes.tsv");

#[derive(clap::Args)]
#[command(after_help = "Example:\n  tagsweep explain 90009")]
pub(super) struct Arguments {
    /// An ErrorCode of the API, such as 70009.
    #[arg(allow_negative_numbers = true)]
    code: i64,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(&Arguments { code, json }: &Arguments) -> Result<(), Failure> {
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
