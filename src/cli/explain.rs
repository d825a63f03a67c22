//! `tagsweep explain CODE`: what an API error code means.

use super::{Failure, print_out};
use crate::engine::error_code;

#[derive(clap::Args)]
#[command(after_help = "Example: tagsweep explain 90009")]
pub(super) struct Arguments {
    /// An ErrorCode of the API, such as 70009.
    code: i64,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Some(known) = error_code(arguments.code) else {
        return Err(anyhow::anyhow!(
            "error code {} is in no published table; the worker tries such a window a few times more and \
             then pauses, and dead-letters nothing for it",
            arguments.code
        )
        .into());
    };
    let (class, reaction) = (known.class.name(), known.class.reaction());
    if arguments.json {
        let object = serde_json::json!({
            "code": known.code,
            "class": class,
            "meaning": known.meaning,
            "reaction": reaction,
            "source": known.source,
        });
        print_out!("{object}");
    } else {
        print_out!("{} ({class}): {}", known.code, known.meaning);
        print_out!("What the worker does: {reaction}");
        print_out!("Source: {}", known.source);
    }
    Ok(())
}
