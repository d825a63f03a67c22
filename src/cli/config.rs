//! `tagsweep config`: the effective configuration, its schema, the default file.

use super::{Failure, Globals, output};
use crate::config::Settings;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tagsweep config                            what the worker would use, and where it comes from\n  \
                  tagsweep config --default > config.toml    every key with its default and a comment\n  \
                  tagsweep config --schema > schema.json     for editors that check and complete config.toml"
)]
pub(super) struct Arguments {
    /// Print the JSON Schema of a configuration file
    #[arg(long, conflicts_with = "default")]
    schema: bool,
    /// Print the commented default file.
    #[arg(long)]
    default: bool,
    /// Print the effective configuration as JSON.
    #[arg(long, conflicts_with_all = ["schema", "default"])]
    json: bool,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.default {
        return output::print(crate::config::DEFAULT_FILE.trim_end());
    }
    if arguments.schema {
        let schema = serde_json::to_string_pretty(&crate::config::schema())?;
        return output::print(schema);
    }
    let (settings, sources): (Settings, _) = globals.settings_and_sources()?;
    if arguments.json {
        return output::print(serde_json::to_string_pretty(&settings)?);
    }
    let mut text = String::new();
    for line in sources.description() {
        text += &format!("# {line}\n");
    }
    output::print(text + "\n" + settings.redacted().trim_end())
}
