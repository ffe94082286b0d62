//! The hidden `oz agent`: what a launcher starts inside the workspace.

use std::process::ExitCode;

/// The whole life of an agent process. What it has to say besides its events goes to standard error.
pub(crate) fn run() -> ExitCode {
    ozma_boot::log::init(ozma_boot::log::Level::Warn);
    ozma_agent::main_from(ozma_boot::environment::of_process)
}
