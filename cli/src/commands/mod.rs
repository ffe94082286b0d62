//! One file per command: its arguments, what it asks the API, how it prints the answer.

pub(crate) mod agent;
pub(crate) mod agent_process;
pub(crate) mod agents;
pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod automation;
pub(crate) mod completions;
pub(crate) mod delivery;
pub(crate) mod environment;
pub(crate) mod run;
pub(crate) mod runner;
pub(crate) mod schedule;
pub(crate) mod secret;
pub(crate) mod subscription;
pub(crate) mod team;
pub(crate) mod up;
pub(crate) mod webhook;
pub(crate) mod whoami;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Failure};

pub(crate) async fn run(Cli { global, command }: Cli) -> Result<Exit, Failure> {
    match command {
        Command::Up(args) => up::run(&global, args).await,
        Command::Run(args) => run::run(&global, *args).await,
        Command::Agent(command) => agent::run(&global, command).await,
        Command::Agents(command) => agents::run(&global, command).await,
        Command::Apply(args) => apply::run(&global, args).await,
        Command::Export(args) => apply::export(&global, args).await,
        Command::Automation(command) => automation::run(&global, command).await,
        Command::Delivery(command) => delivery::run(&global, command).await,
        Command::Environment(command) => environment::run(&global, command).await,
        Command::Runner(command) => runner::run(&global, command).await,
        Command::Audit(command) => audit::run(&global, command).await,
        Command::Schedule(command) => schedule::run(&global, command).await,
        Command::Secret(command) => secret::run(&global, command).await,
        Command::Subscription(command) => subscription::run(&global, command).await,
        Command::Team(args) => team::run(&global, args).await,
        Command::Stop(args) => team::stop(&global, args).await,
        Command::Resume => team::resume(&global).await,
        Command::Webhook(command) => webhook::run(&global, command).await,
        Command::Whoami => whoami::run(&global).await,
        Command::Completions(args) => completions::run(&args),
        // It has a runtime of its own, and was started before ours.
        Command::AgentProcess => unreachable!("main runs the agent"),
    }
}
