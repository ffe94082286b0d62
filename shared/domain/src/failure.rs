//! Why an execution ended without success, whose fault that is, and whether another one is worth starting.

use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
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
    /// The task gave no sign of life for longer than its run allows.
    IdleTooLong,
    /// What the run may cost is used up.
    BudgetReached,
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
    /// The pauses before the second execution, the third, and so on, in seconds; after as many the failure is final.
    pub retries: &'static [i64],
}

impl FailureClass {
    pub const ALL: [Self; 16] = [
        Self::SecretMissing,
        Self::EnvironmentMissing,
        Self::ImageUnusable,
        Self::SetupFailed,
        Self::TaskFailed,
        Self::DeadlineReached,
        Self::IdleTooLong,
        Self::BudgetReached,
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
        let failed = |code| Verdict { event: RunEvent::Failed, code, retries: &[] };
        let errored = |code, retries| Verdict { event: RunEvent::Errored, code: Some(code), retries };
        match self {
            C::SecretMissing | C::EnvironmentMissing => failed(Some(ErrorCode::ResourceNotFound)),
            C::ImageUnusable | C::SetupFailed => failed(Some(ErrorCode::EnvironmentSetupFailed)),
            // The task's own verdict needs no platform code.
            C::TaskFailed | C::DeadlineReached | C::IdleTooLong => failed(None),
            C::OutOfMemory | C::DiskFull | C::BudgetReached => failed(Some(ErrorCode::BudgetExceeded)),
            C::LaunchRefused => errored(ErrorCode::ResourceUnavailable, &[]),
            // What just failed to start needs a moment.
            C::NeverClaimed => errored(ErrorCode::ResourceUnavailable, &[1, 10]),
            C::AgentLost => errored(ErrorCode::InternalError, &[1, 10]),
            // Nobody's fault, and likely to come again where capacity is lent: the work was saved, and goes on.
            C::Interrupted => errored(ErrorCode::InternalError, &[1, 1, 10, 60]),
            C::AgentFailed => errored(ErrorCode::AgentProcessFailed, &[]),
            C::NoReport => errored(ErrorCode::InfrastructureTimeout, &[]),
        }
    }

    /// The pause, in seconds, before the run is tried again, when its `attempt`-th execution (from 1) has ended this way.
    /// None: it is not.
    pub fn retry_pause(self, attempt: u32) -> Option<i64> {
        let pauses = self.verdict().retries;
        pauses.get(usize::try_from(attempt).ok()?.checked_sub(1)?).copied()
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
                format!("{class:?} {:?} {code} retries={:?}", verdict.event, verdict.retries)
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn the_platform_is_retried_and_the_user_never() {
        let pauses = |class: FailureClass| (1..).map_while(|attempt| class.retry_pause(attempt)).collect::<Vec<_>>();
        assert_eq!(pauses(FailureClass::AgentLost), [1, 10]);
        assert_eq!(pauses(FailureClass::Interrupted), [1, 1, 10, 60]);
        assert_eq!(FailureClass::AgentLost.retry_pause(0), None);
        for class in FailureClass::ALL {
            let verdict = class.verdict();
            assert!(verdict.event != RunEvent::Failed || verdict.retries.is_empty(), "{class:?}");
            if let Some(code) = verdict.code {
                let state = if verdict.event == RunEvent::Failed { "FAILED" } else { "ERROR" };
                assert_eq!(code.run_state().as_str(), state, "{class:?} blames the same side as its code");
            }
        }
    }
}
