//! `oz completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  oz completions bash > ~/.local/share/bash-completion/completions/oz
  oz completions zsh > ~/.zfunc/_oz";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<Exit, Failure> {
    // In memory first: the generator panics on a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "oz", &mut script);
    output::raw(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Succeeded)
}
