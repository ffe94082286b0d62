//! Harnesses: what does the thinking. The agent prepares, the harness works, the agent reports.

mod shell;

use std::path::Path;

use async_trait::async_trait;
use ozma_domain::failure::FailureClass;
use ozma_domain::harness::HarnessKind;
use ozma_domain::outcome::Outcome;

use crate::agent::{Agent, Ending};
use crate::preflight::Programs;
use crate::variables::Variables;

#[async_trait]
pub(crate) trait Harness: Send + Sync {
    /// Does the run's prompt. Returns how that ended; a stop in between is an [`Ending`].
    async fn work(&self, task: &Task<'_>) -> Result<Outcome, Ending>;
}

/// What a harness is given.
pub(crate) struct Task<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) programs: &'a Programs,
    pub(crate) cwd: &'a Path,
    pub(crate) variables: &'a Variables,
}

pub(crate) fn harness(kind: HarnessKind) -> Result<Box<dyn Harness>, Ending> {
    match kind {
        HarnessKind::Shell => Ok(Box::new(shell::Shell)),
        other => {
            let message =
                format!("this version runs the shell harness alone; \"{}\" is not available yet", other.as_str());
            Err(Ending::failed(FailureClass::AgentFailed, message))
        }
    }
}
