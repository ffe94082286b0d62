//! Why an execution ended without success, whose fault that is, and whether another one is worth starting.

use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
use crate::limits;
use crate::state::RunEvent;

/// The closed list of reasons. Whoever ends an execution picks one; [`FailureClass::verdict`] is the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The environment names a secret that the vault does not have.
    SecretMissing,
    /// The environment was deleted while the run waited.
    EnvironmentMissing,
    /// The image cannot be pulled or started, or has no shell or git.
    ImageUnusable,
    /// Clone or set-up command.
    SetupFailed,
    /// The harness ended with a failure of its own.
    TaskFailed,
    /// The run's or the plan's deadline.
    DeadlineReached,
    /// The task used more memory, disk or processes than its plan gives.
    OutOfMemory,
    DiskFull,
    /// The launcher refused for a reason that another try does not mend.
    LaunchRefused,
    /// Started, but no agent ever claimed the execution.
    NeverClaimed,
    /// The agent was there and is gone, or silent past its lease.
    AgentLost,
    /// The agent was told to stop by the platform, not by the user.
    Interrupted,
    /// The agent's own code failed.
    AgentFailed,
    /// Past the deadline and no report.
    NoReport,
}

/// What a failure means for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// [`RunEvent::Failed`] or [`RunEvent::Errored`].
    pub event: RunEvent,
    pub code: Option<ErrorCode>,
    pub retried: bool,
}

impl FailureClass {
    pub const ALL: [Self; 14] = [
        Self::SecretMissing,
        Self::EnvironmentMissing,
        Self::ImageUnusable,
        Self::SetupFailed,
        Self::TaskFailed,
        Self::DeadlineReached,
        Self::OutOfMemory,
        Self::DiskFull,
        Self::LaunchRefused,
        Self::NeverClaimed,
        Self::AgentLost,
        Self::Interrupted,
        Self::AgentFailed,
        Self::NoReport,
    ];

    pub fn verdict(self) -> Verdict {
        use FailureClass as C;
        let failed = |code| Verdict { event: RunEvent::Failed, code, retried: false };
        let errored = |code, retried| Verdict { event: RunEvent::Errored, code: Some(code), retried };
        match self {
            C::SecretMissing | C::EnvironmentMissing => failed(Some(ErrorCode::ResourceNotFound)),
            C::ImageUnusable | C::SetupFailed => failed(Some(ErrorCode::EnvironmentSetupFailed)),
            // The task's own verdict needs no platform code.
            C::TaskFailed | C::DeadlineReached => failed(None),
            C::OutOfMemory | C::DiskFull => failed(Some(ErrorCode::BudgetExceeded)),
            C::LaunchRefused => errored(ErrorCode::ResourceUnavailable, false),
            C::NeverClaimed => errored(ErrorCode::ResourceUnavailable, true),
            C::AgentLost | C::Interrupted => errored(ErrorCode::InternalError, true),
            C::AgentFailed => errored(ErrorCode::AgentProcessFailed, false),
            C::NoReport => errored(ErrorCode::InfrastructureTimeout, false),
        }
    }

    /// Whether the run goes back to the queue after its `executions`-th execution ended this way.
    pub fn is_retried_after(self, executions: u32) -> bool {
        self.verdict().retried && executions < limits::EXECUTIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_verdict() {
        let table: Vec<String> = FailureClass::ALL
            .iter()
            .map(|class| {
                let verdict = class.verdict();
                let code = verdict.code.map_or("-", ErrorCode::as_str);
                format!("{class:?} {:?} {code} retried={}", verdict.event, verdict.retried)
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn the_platform_is_retried_twice_and_the_user_never() {
        assert!(FailureClass::AgentLost.is_retried_after(2));
        assert!(!FailureClass::AgentLost.is_retried_after(3));
        for class in FailureClass::ALL {
            let verdict = class.verdict();
            assert!(!(verdict.event == RunEvent::Failed && verdict.retried), "{class:?}");
            if let Some(code) = verdict.code {
                let state = if verdict.event == RunEvent::Failed { "FAILED" } else { "ERROR" };
                assert_eq!(code.run_state().as_str(), state, "{class:?} blames the same side as its code");
            }
        }
    }
}
