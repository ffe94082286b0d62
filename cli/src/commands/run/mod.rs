//! `oz run`: start a run, or look after runs.

mod artifacts;
mod cancel;
mod follow_up;
mod get;
mod list;
mod logs;
mod start;
mod wait;

use clap::{Args, Subcommand};
use ozma_domain::id::RunId;

use crate::args::Global;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  oz run --repo . --task 'cargo test'                  a script in a fresh clone of this repository
  oz run --repo acme/web --ref main -p 'npm test'      the same of a repository on GitHub
  oz run --env web --task - < script.sh                a longer script, in a defined environment
  RUN=$(oz run --detach --task 'make release')         start it and go on
  oz run logs $RUN -f; oz run wait $RUN                come back to it
  oz run --key acme/web#main --if-busy supersede -p …  the newest run of a branch replaces the one at work
  oz run --start-after 2h --budget-usd 1 -p …          later, and for a dollar at most

The harness `shell` runs the task as a bash script; it is the default until the harness `oz` is here.
The task's standard output goes to standard output, everything else to standard error.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    start: start::StartArgs,
    #[command(subcommand)]
    command: Option<RunCommand>,
}

#[derive(Debug, Subcommand)]
enum RunCommand {
    /// List runs, the last changed first
    List(Box<list::ListArgs>),
    /// Show a run
    Get { run: RunId },
    /// List or download what a run's agent left in its workspace
    Artifacts(artifacts::ArtifactsArgs),
    /// Cancel a run
    Cancel {
        run: RunId,
        /// The runs below it as well, even if it has ended itself
        #[arg(long)]
        cascade: bool,
    },
    /// Say something to a run; one that has ended goes on with it
    FollowUp(follow_up::FollowUpArgs),
    /// Print what a run's agent said and did
    Logs(logs::LogsArgs),
    /// Wait for runs to end; the exit code is that of the first that did not succeed
    Wait {
        #[arg(required = true)]
        runs: Vec<RunId>,
    },
}

pub(crate) async fn run(global: &Global, args: RunArgs) -> Result<Exit, Failure> {
    match args.command {
        None => start::run(global, args.start).await,
        Some(RunCommand::List(args)) => list::run(global, *args).await,
        Some(RunCommand::Get { run }) => get::run(global, run).await,
        Some(RunCommand::Cancel { run, cascade }) => cancel::run(global, run, cascade).await,
        Some(RunCommand::FollowUp(args)) => follow_up::run(global, args).await,
        Some(RunCommand::Artifacts(args)) => artifacts::run(global, args).await,
        Some(RunCommand::Logs(args)) => logs::run(global, args).await,
        Some(RunCommand::Wait { runs }) => wait::run(global, runs).await,
    }
}
