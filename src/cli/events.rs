//! `tagsweep events`: what the configuration makes of messages, and the presets.

mod presets;
mod test;

use super::{Failure, Globals, With};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tagsweep events presets\n  tagsweep events presets masstransit\n  \
                  tagsweep events test --routing-key user.deleted body.json"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show what the configuration makes of messages, and why
    Test(With<test::Arguments>),
    /// List the presets, or print the rules of one
    Presets(With<presets::Arguments>),
}

pub(super) fn run(globals: Globals, arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Test(own) => test::run(&globals.and(own.globals), &own.arguments),
        Command::Presets(own) => presets::run(&own.arguments),
    }
}
