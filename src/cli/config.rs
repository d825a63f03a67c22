//! `tagsweep config`: the effective configuration, its schema, the default file.

use std::path::PathBuf;

use super::{Failure, print_out};

#[derive(clap::Args)]
#[command(after_help = "Example: tagsweep config --default > config.toml")]
pub(super) struct Arguments {
    /// Print the JSON Schema of a configuration file.
    #[arg(long, conflicts_with = "default")]
    schema: bool,
    /// Print the commented default file.
    #[arg(long)]
    default: bool,
    /// Print the effective configuration as JSON.
    #[arg(long, conflicts_with_all = ["schema", "default"])]
    json: bool,
}

pub(super) fn run(files: &[PathBuf], arguments: &Arguments) -> Result<(), Failure> {
    if arguments.default {
        print_out!("{}", crate::config::DEFAULT_FILE.trim_end());
    } else if arguments.schema {
        print_out!(
            "{}",
            serde_json::to_string_pretty(&crate::config::schema())?
        );
    } else {
        let settings = super::settings(files)?;
        if arguments.json {
            print_out!("{}", serde_json::to_string_pretty(&settings)?);
        } else {
            print_out!("{}", settings.redacted().trim_end());
        }
    }
    Ok(())
}
