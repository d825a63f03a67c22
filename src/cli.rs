//! The command line: one file a subcommand. Here they are named, and their ends become exit codes.

mod check;
mod completions;
mod config;
mod dead_letters;
mod events;
mod explain;
mod globals;
mod health;
mod man;
mod output;
mod publish;
mod run;
mod sweep;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{Origin, Problems};
use globals::Globals;

/// Something failed.
const FAILED: u8 = 1;
/// The configuration is refused (EX_CONFIG of sysexits.h).
const CONFIGURATION_REFUSED: u8 = 78;

/// Clear all tags of deleted Tencent Cloud Chat users, driven by RabbitMQ events
#[derive(Parser)]
#[command(
    name = "tagsweep",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TAGSWEEP_COMMIT"), ")"),
    max_term_width = 100,
    after_help = "Examples:\n  tagsweep config --default > config.toml    write a commented configuration file\n  \
                  tagsweep --config config.toml check        test it\n  \
                  tagsweep --config config.toml run          run the worker\n\n\
                  Configuration: built-in defaults, then files, then environment variables such as\n\
                  TAGSWEEP__WINDOW__MAX_WAIT=1s, then --set. Without --config, the first of\n\
                  /etc/tagsweep/config.toml and ~/.config/tagsweep/config.toml that exists is read.\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done in part (sweep, events test), 78 invalid\n\
                  configuration."
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
    /// Run the worker
    Run(With<run::Arguments>),
    /// Validate the configuration and test RabbitMQ and the API
    Check(With<check::Arguments>),
    /// Publish one event per user
    Publish(With<publish::Arguments>),
    /// Test how messages are read, and list the presets for well-known producers
    Events(With<events::Arguments>),
    /// Show, export, redrive or purge dead letters
    #[command(visible_alias = "dlq")]
    DeadLetters(With<dead_letters::Arguments>),
    /// Clear the users of a list, without RabbitMQ
    Sweep(With<sweep::Arguments>),
    /// Ask the running worker whether it is healthy
    Health(With<health::Arguments>),
    /// Explain an API error code, or another name that tagsweep uses
    Explain(With<explain::Arguments>),
    /// Show the effective configuration, its JSON Schema or the commented defaults
    Config(With<config::Arguments>),
    /// Print completions for a shell
    Completions(With<completions::Arguments>),
    /// Print the manual page, or write one page per command
    Man(With<man::Arguments>),
}

/// Why a command did not do what it was asked for.
enum Failure {
    Configuration {
        problems: Problems,
        /// Where a configuration file was looked for, if none was named or found.
        looked_for: Vec<PathBuf>,
    },
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
    let color = color_of(std::env::args_os());
    output::set_color(color);
    let matches = program().color(color).get_matches();
    let Arguments { command, globals } =
        Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // Two TLS stacks are linked in, of which each would otherwise look for a provider by itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let end = match command {
        Command::Run(own) => run::run(&globals.and(own.globals), &own.arguments),
        Command::Check(own) => check::run(&globals.and(own.globals), &own.arguments),
        Command::Publish(own) => publish::run(&globals.and(own.globals), own.arguments),
        Command::Events(own) => events::run(globals.and(own.globals), own.arguments),
        Command::DeadLetters(own) => dead_letters::run(globals.and(own.globals), own.arguments),
        Command::Sweep(own) => sweep::run(&globals.and(own.globals), own.arguments),
        Command::Health(own) => health::run(&globals.and(own.globals), &own.arguments),
        Command::Explain(own) => explain::run(&own.arguments),
        Command::Config(own) => config::run(&globals.and(own.globals), &own.arguments),
        Command::Completions(own) => completions::run(&own.arguments),
        Command::Man(own) => man::run(&own.arguments),
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said(code)) => ExitCode::from(code),
        Err(Failure::Other(error)) => {
            output::complain(&in_one_line(&error));
            ExitCode::from(FAILED)
        }
        Err(Failure::Configuration {
            problems,
            looked_for,
        }) => {
            output::complain(&refusal(&problems, &looked_for));
            ExitCode::from(CONFIGURATION_REFUSED)
        }
    }
}

fn program() -> clap::Command {
    Arguments::command()
}

/// What `--color` says, before the arguments are parsed: help and errors about arguments are printed while they are.
fn color_of(arguments: impl Iterator<Item = OsString>) -> ColorChoice {
    let mut color = ColorChoice::default();
    let mut arguments = arguments.filter_map(|argument| argument.into_string().ok());
    while let Some(argument) = arguments.next() {
        let value = match argument.strip_prefix("--color") {
            Some("") => arguments.next(),
            Some(value) => value.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        color = value.and_then(|value| value.parse().ok()).unwrap_or(color);
    }
    color
}

/// One line a problem, below a line that says how many there are. Who misses something may have expected a file to be
/// read.
fn refusal(Problems(problems): &Problems, looked_for: &[PathBuf]) -> String {
    let count = match problems.len() {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    };
    let mut text = format!("invalid configuration ({count}):");
    for problem in problems {
        text += &format!("\n  {problem}");
    }
    let missing = problems
        .iter()
        .any(|problem| problem.origin == Origin::Default);
    if missing && !looked_for.is_empty() {
        let paths: Vec<_> = looked_for
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        text += &format!(
            "\nno --config is given, and there is no {}",
            paths.join(" and no ")
        );
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

    use super::*;
    #[test]
    fn the_command_line_is_well_formed() {
        program().debug_assert();
    }

    #[test]
    fn the_last_color_that_is_asked_for_counts_wherever_it_stands() {
        for (arguments, expected) in [
            ("tagsweep --color always check", ColorChoice::Always),
            (
                "tagsweep --color=always check --color never",
                ColorChoice::Never,
            ),
            ("tagsweep check --color", ColorChoice::Auto),
            ("tagsweep check", ColorChoice::Auto),
        ] {
            let arguments = arguments.split(' ').map(OsString::from);
            assert_eq!(color_of(arguments), expected);
        }
    }

    /// Arguments are there for every user of the machine to read.
    #[test]
    fn no_option_takes_a_secret() {
        fn options(command: &clap::Command, names: &mut BTreeSet<String>) {
            let own = command.get_opts().filter_map(|option| option.get_long());
            names.extend(own.map(str::to_owned));
            for command in command.get_subcommands() {
                options(command, names);
            }
        }
        let mut names = BTreeSet::new();
        options(&program(), &mut names);
        assert_eq!(
            Vec::from_iter(names),
            [
                "all",
                "calls-per-second",
                "code",
                "color",
                "column",
                "config",
                "declare",
                "default",
                "deny-warnings",
                "dry-run",
                "each",
                "export",
                "failed",
                "file",
                "force",
                "format",
                "header",
                "id",
                "journal",
                "json",
                "list",
                "no-export",
                "offline",
                "out",
                "quiet",
                "rate",
                "ready",
                "reason",
                "routing-key",
                "schema",
                "set",
                "since",
                "until",
                "user",
                "users",
                "verbose",
                "yes",
            ]
        );
    }
}
