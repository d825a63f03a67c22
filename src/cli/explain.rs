//! `tagsweep explain CODE`: what an API error code means.

use serde_json::json;

use super::{FAILED, Failure, output};
use crate::engine::{Class, error_code};

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
            "reaction": class.reaction(),
            "source": known.map(|known| known.source),
        }))?;
    } else if let Some(known) = known {
        output::print(format_args!(
            "{code} ({}): {}\nWhat the worker does: {}\nSource: {}",
            class.name(),
            known.meaning,
            class.reaction(),
            known.source
        ))?;
    } else {
        output::complain(&format!(
            "error code {code} is in no published table\nWhat the worker does: {}",
            class.reaction()
        ));
    }
    known.map(|_| ()).ok_or(Failure::Said(FAILED))
}
