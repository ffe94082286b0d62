//! The `oz` command: runs agents and shows what they did. It contains the agent and the local control plane.
//!
//! A command is a file in `commands`; it connects, asks the API, and prints. What it prints is decided by pure functions
//! over the answers.

mod args;
mod ask;
mod client;
mod commands;
mod connect;
mod control_plane;
mod definitions;
mod exit;
mod follow;
mod interrupt;
mod output;
mod repo;
mod scheduling;
mod task;
mod transcript;
mod trigger;
mod values;
mod view;
mod workplace;

use std::process::ExitCode;

use clap::Parser;
use ozma_boot::log;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    if let Some(words) = commands::agent_process::called(std::env::args_os()) {
        return commands::agent_process::run(&words);
    }
    let cli = Cli::parse();
    if matches!(cli.command, Command::AgentProcess) {
        return commands::agent_process::run(&[]);
    }
    let debug = cli.global.debug;
    log::init(if debug { log::Level::Debug } else { log::Level::Warn });
    let exit = start(cli).unwrap_or_else(|failure| {
        output::failure(&failure, debug);
        failure.exit()
    });
    exit.into()
}

fn start(cli: Cli) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|err| Failure::new("cannot start the threads").because(err))?;
    let result = runtime.block_on(commands::run(cli));
    // A question that nobody answers must not keep the command alive.
    runtime.shutdown_background();
    result
}
