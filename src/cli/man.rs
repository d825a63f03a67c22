//! `tagsweep man [DIR]`: man pages.

use std::path::PathBuf;

use anyhow::Context;
use clap_mangen::Man;

use super::{Failure, output};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tagsweep man | man -l -\n  tagsweep man /usr/local/share/man/man1"
)]
pub(super) struct Arguments {
    /// Directory to write one page per command to. Without it, the main page is printed
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let program = super::program();
    match &arguments.directory {
        Some(directory) => {
            let written = std::fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(program, directory));
            Ok(written.with_context(|| format!("cannot write to {}", directory.display()))?)
        }
        None => {
            let mut page = Vec::new();
            Man::new(program).render(&mut page)?;
            output::print(String::from_utf8_lossy(&page).trim_end())
        }
    }
}
