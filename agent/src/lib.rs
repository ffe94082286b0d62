//! What runs inside the container: claims an execution, prepares its workspace, runs the harness, reports.
//!
//! The agent is one small process beside a task that nobody trusts. It owns every process that the task starts, however
//! far they wander, and it owns the trail: what leaves goes through the `recorder`, masked, and from there in numbered
//! segments to the control plane. For its task it is a program too: git's credential helper. It reads nothing of the outside but the five variables of
//! [`ozma_domain::protocol::variable`] and `PATH`; in a container, the image's variables reach the task too.
//!
//! The program `oz-agent` (feature `program`) is the same agent for containers of any image: static, with a resolver and
//! certificates of its own, so that the image needs no more than a shell, and git where there is something to clone.
//!
//! Whatever ends a run early (a cancel, the deadline, a limit, SIGTERM, a lost lease) goes through `stop`: one place that
//! is asked to stop, and many that listen.

mod activity;
mod agent;
mod aws_credentials;
mod changes;
mod client;
mod clock;
mod clone;
mod command;
mod config;
mod disk;
mod git;
mod git_credentials;
mod harness;
mod identity;
mod kept;
mod loopback;
mod messages;
mod network;
mod output;
mod pace;
mod preflight;
mod processes;
mod pull_requests;
mod random;
mod recorder;
mod restoring;
mod saving;
mod segments;
mod setup;
mod stop;
mod tail;
mod tools;
mod usage;
mod utf8;
mod variables;
mod watchdog;
mod workspace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ozma_domain::run::Isolation;
use ozma_domain::text;

pub use crate::agent::{NotReported, run};
pub use crate::config::{AgentConfig, ControlUrl, InvalidConfig, Limits};
pub use crate::tools::tool;
pub use crate::workspace::PROGRAM;

/// Longer than any run.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The whole life of an agent process. `lookup` reads a variable. The caller has set up `tracing`.
///
/// Exit codes: 0 when the outcome was reported, whatever it was; 1 when there was no work to be had; 2 when the agent
/// stopped without a report, because another execution is, or may be, at work.
pub fn main_from(lookup: impl Fn(&str) -> Option<String>) -> ExitCode {
    match AgentConfig::read(lookup) {
        Ok(config) => block_on(AgentConfig { program: own_program(), ..config }),
        Err(err) => started_wrongly(&err),
    }
}

/// The same inside a container of any image, given all of its variables: tasks see what the image sets for whoever runs
/// in it, such as where a toolchain lies.
pub fn main_in_image(variables: BTreeMap<String, String>) -> ExitCode {
    match AgentConfig::read(|name| variables.get(name).cloned()) {
        Ok(mut config) => {
            if matches!(config.isolation, Isolation::Container | Isolation::Fargate) {
                config.image_variables = variables::of_image(variables);
            }
            block_on(AgentConfig { program: own_program(), ..config })
        }
        Err(err) => started_wrongly(&err),
    }
}

/// None: `/proc` is not there, or the file is not there any more.
fn own_program() -> Option<PathBuf> {
    std::env::current_exe().ok().filter(|file| file.is_file())
}

fn started_wrongly(err: &InvalidConfig) -> ExitCode {
    tracing::error!("the agent was started wrongly: {err}");
    ExitCode::from(1)
}

/// Runs an agent on a runtime of its own: one thread, as forty agents share a laptop.
pub fn block_on(config: AgentConfig) -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // The first thread for blocking work stays: when a task has used up all there are, no other could be had.
    let runtime = match builder.enable_all().max_blocking_threads(4).thread_keep_alive(FOREVER).build() {
        Ok(runtime) => runtime,
        Err(err) => {
            tracing::error!("the agent could not start: {err}");
            return ExitCode::from(1);
        }
    };
    runtime.spawn_blocking(|| ());
    let ended = runtime.block_on(run(config));
    // A walk of a large tree may still be under way; nobody waits for it.
    runtime.shutdown_background();
    match ended {
        Ok(outcome) => {
            tracing::info!(outcome = agent::word(&outcome), "reported");
            ExitCode::SUCCESS
        }
        Err(err) => {
            tracing::error!("{}", text::chain(&err));
            ExitCode::from(if err.had_begun() { 2 } else { 1 })
        }
    }
}
