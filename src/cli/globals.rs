//! The options that every command takes, before and after its name.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Failure;
use crate::config::{self, Problems};

#[derive(clap::Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Globals {
    /// A TOML file with settings; repeatable, later ones win. TAGSWEEP__SECTION__KEY wins over all.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
}

impl Globals {
    /// These, which stand before the command's name, and those that stand after it.
    pub(super) fn and(mut self, later: Globals) -> Globals {
        self.config.extend(later.config);
        self
    }

    /// The configuration of this process, as far as the command needs it: [`Settings`](config::Settings), or a
    /// struct with some of its sections.
    pub(super) fn load<S: DeserializeOwned + JsonSchema>(&self) -> Result<S, Problems> {
        config::load_from_process(&self.config)
    }

    /// [`load`](Self::load), for a command that can do nothing without.
    pub(super) fn settings<S: DeserializeOwned + JsonSchema>(&self) -> Result<S, Failure> {
        self.load().map_err(Failure::Configuration)
    }
}
