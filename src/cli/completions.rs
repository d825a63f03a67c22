//! `tagsweep completions SHELL`: completions for a shell.

use clap_complete::Shell;

use super::{Failure, output};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tagsweep completions bash > /etc/bash_completion.d/tagsweep\n  \
                  tagsweep completions zsh > ~/.zfunc/_tagsweep\n  \
                  tagsweep completions fish > ~/.config/fish/completions/tagsweep.fish"
)]
pub(super) struct Arguments {
    shell: Shell,
}

pub(super) fn run(&Arguments { shell }: &Arguments) -> Result<(), Failure> {
    let mut program = super::program();
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    output::print(String::from_utf8_lossy(&script).trim_end())
}
