//! The command line: one file a subcommand. Here they are named, and their ends become exit codes.

mod check;
mod config;
mod explain;
mod globals;
mod health;
mod output;
mod publish;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Problems;
use globals::Globals;

/// Something failed.
const FAILED: u8 = 1;
/// The configuration is refused (EX_CONFIG of sysexits.h).
const CONFIGURATION_REFUSED: u8 = 78;

/// Clears all tags of deleted or reset Tencent Cloud Chat users: events from RabbitMQ in,
/// im_remove_all_tags calls out, nothing lost.
#[derive(Parser)]
#[command(
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TAGSWEEP_COMMIT"), ")"),
    max_term_width = 100,
    after_help = "Example:\n  tagsweep --config /etc/tagsweep/config.toml run\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage, 78 configuration refused."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    globals: Globals,
}

/// The arguments of a command. What is global to clap itself would be lost before the command's name.
#[derive(clap::Args)]
struct With<A: clap::Args> {
    #[command(flatten)]
    arguments: A,
    #[command(flatten)]
    globals: Globals,
}

#[derive(Subcommand)]
enum Command {
    /// Run the worker.
    Run(With<run::Arguments>),
    /// Validate the configuration and test RabbitMQ and the API.
    Check(With<check::Arguments>),
    /// Asks the running worker at admin.listen whether it is live.
    Health(With<health::Arguments>),
    /// Publishes one event per user.
    Publish(With<publish::Arguments>),
    /// Explain an API error code.
    Explain(explain::Arguments),
    /// Prints the effective configuration, its JSON Schema, or the commented default file.
    Config(With<config::Arguments>),
}

/// Why a command did not do what it was asked for.
enum Failure {
    Configuration(Problems),
    Other(anyhow::Error),
    /// Everything was said already; the exit code is left.
    Said(u8),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Other(error.into())
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let Arguments { command, globals } = Arguments::parse();
    // Two TLS stacks are linked in, of which each would otherwise look for a provider by itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let end = match command {
        Command::Run(own) => run::run(&globals.and(own.globals), &own.arguments),
        Command::Check(own) => check::run(&globals.and(own.globals), &own.arguments),
        Command::Health(own) => health::run(&globals.and(own.globals), &own.arguments),
        Command::Publish(own) => publish::run(&globals.and(own.globals), own.arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Config(own) => config::run(&globals.and(own.globals), &own.arguments),
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said(code)) => ExitCode::from(code),
        Err(Failure::Other(error)) => {
            output::complain(&in_one_line(&error));
            ExitCode::from(FAILED)
        }
        Err(Failure::Configuration(problems)) => {
            output::complain(&refusal(&problems));
            ExitCode::from(CONFIGURATION_REFUSED)
        }
    }
}

/// One line a problem, below a line that says how many there are.
fn refusal(Problems(problems): &Problems) -> String {
    let count = match problems.len() {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    };
    let mut text = format!("invalid configuration ({count}):");
    for problem in problems {
        text += &format!("\n  {problem}");
    }
    text
}

/// An error and its causes. Some errors tell their cause themselves; it is not told again.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text += &format!(": {cause}");
        }
    }
    text
}

/// Runs a command's future to its end. One thread is enough: the work is waiting, and one thread
/// costs the least.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let end = runtime.block_on(future);
    // Dropping it would wait for a name lookup that hangs.
    runtime.shutdown_background();
    end
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Arguments::command().debug_assert();
    }

    /// Arguments are there for every user of the machine to read.
    #[test]
    fn no_option_takes_a_secret() {
        let program = super::Arguments::command();
        let commands = program.get_subcommands().chain([&program]);
        let options = commands.flat_map(clap::Command::get_opts);
        let names: BTreeSet<&str> = options.filter_map(|option| option.get_long()).collect();
        assert_eq!(
            Vec::from_iter(names),
            [
                "config",
                "declare",
                "default",
                "deny-warnings",
                "dry-run",
                "file",
                "json",
                "list",
                "offline",
                "ready",
                "reason",
                "schema"
            ]
        );
    }
}
