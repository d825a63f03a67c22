//! The options that every command takes, before and after its name.

use std::path::PathBuf;

use clap::{ArgAction, ColorChoice};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Failure;
use crate::config::{Problems, Sources};

#[derive(clap::Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Globals {
    /// Configuration file (TOML). Repeatable: later files win
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Set a configuration key, such as window.max_wait=1s. Repeatable; wins over files and environment
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
    /// Print and log only warnings and errors (log.level = warn)
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Log more (log.level = debug; twice: trace)
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Use colors: auto, always or never
    // What it says is looked up before: see `color_of`.
    #[arg(long, value_name = "WHEN", hide_possible_values = true)]
    color: Option<ColorChoice>,
}

impl Globals {
    /// These, which stand before the command's name, and those that stand after it.
    pub(super) fn and(mut self, later: Globals) -> Globals {
        self.config.extend(later.config);
        self.set.extend(later.set);
        self.quiet |= later.quiet;
        self.verbose = self.verbose.saturating_add(later.verbose);
        self
    }

    /// Whether only warnings and errors are printed.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// What this process takes its configuration from.
    pub(super) fn sources(&self) -> Result<Sources, Problems> {
        let level = match (self.quiet, self.verbose) {
            (true, _) => Some("warn"),
            (false, 0) => None,
            (false, 1) => Some("debug"),
            (false, _) => Some("trace"),
        };
        let level = level.map(|level| ("log.level".to_owned(), level.to_owned()));
        let arguments: Vec<_> = level.into_iter().chain(self.set.clone()).collect();
        Sources::of_process(&self.config, &arguments)
    }

    /// The configuration of this process, as far as the command needs it: [`Settings`](crate::config::Settings), or
    /// a struct with some of its sections.
    pub(super) fn settings<S: DeserializeOwned + JsonSchema>(&self) -> Result<S, Failure> {
        self.settings_and_sources().map(|(settings, _)| settings)
    }

    pub(super) fn settings_and_sources<S: DeserializeOwned + JsonSchema>(
        &self,
    ) -> Result<(S, Sources), Failure> {
        let refused = |problems, looked_for| Failure::Configuration {
            problems,
            looked_for,
        };
        let sources = self
            .sources()
            .map_err(|problems| refused(problems, vec![]))?;
        match sources.load() {
            Ok(settings) => Ok((settings, sources)),
            Err(problems) if sources.files.is_empty() => Err(refused(problems, sources.looked_for)),
            Err(problems) => Err(refused(problems, vec![])),
        }
    }
}

fn key_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text
        .split_once('=')
        .ok_or("write KEY=VALUE, such as window.max_wait=1s")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
