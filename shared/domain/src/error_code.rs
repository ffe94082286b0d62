//! The error codes of the API contract: what each means over HTTP and what it makes of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::state::RunState;

/// The 16 codes of an HTTP error, and the two that only a run's status carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    InsufficientCredits,
    FeatureNotAvailable,
    ExternalAuthenticationRequired,
    NotAuthorized,
    InvalidRequest,
    ResourceNotFound,
    BudgetExceeded,
    IntegrationDisabled,
    IntegrationNotConfigured,
    OperationNotSupported,
    EnvironmentSetupFailed,
    ContentPolicyViolation,
    Conflict,
    AuthenticationRequired,
    ResourceUnavailable,
    InternalError,
    /// On a run only: the agent's process died.
    AgentProcessFailed,
    /// On a run only: past every limit without a report.
    InfrastructureTimeout,
}

impl ErrorCode {
    pub const ALL: [Self; 18] = [
        Self::InsufficientCredits,
        Self::FeatureNotAvailable,
        Self::ExternalAuthenticationRequired,
        Self::NotAuthorized,
        Self::InvalidRequest,
        Self::ResourceNotFound,
        Self::BudgetExceeded,
        Self::IntegrationDisabled,
        Self::IntegrationNotConfigured,
        Self::OperationNotSupported,
        Self::EnvironmentSetupFailed,
        Self::ContentPolicyViolation,
        Self::Conflict,
        Self::AuthenticationRequired,
        Self::ResourceUnavailable,
        Self::InternalError,
        Self::AgentProcessFailed,
        Self::InfrastructureTimeout,
    ];

    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status. `resource_unavailable` is 429 when it is capacity, which is what this API answers.
    pub fn http_status(self) -> u16 {
        self.row().1
    }

    pub fn is_retryable(self) -> bool {
        self.row().2
    }

    /// The state that a run ends in with this code: whose fault it is.
    pub fn run_state(self) -> RunState {
        self.row().3
    }

    /// What people read above the detail.
    pub fn title(self) -> &'static str {
        self.row().4
    }

    fn row(self) -> (&'static str, u16, bool, RunState, &'static str) {
        use RunState::{Error, Failed};
        match self {
            Self::InsufficientCredits => ("insufficient_credits", 403, false, Failed, "Insufficient credits"),
            Self::FeatureNotAvailable => ("feature_not_available", 403, false, Failed, "Feature not available"),
            Self::ExternalAuthenticationRequired => {
                ("external_authentication_required", 401, false, Failed, "External authentication required")
            }
            Self::NotAuthorized => ("not_authorized", 403, false, Failed, "Not authorized"),
            Self::InvalidRequest => ("invalid_request", 400, false, Failed, "Invalid request"),
            Self::ResourceNotFound => ("resource_not_found", 404, false, Failed, "Resource not found"),
            Self::BudgetExceeded => ("budget_exceeded", 403, false, Failed, "Budget exceeded"),
            Self::IntegrationDisabled => ("integration_disabled", 403, false, Failed, "Integration disabled"),
            Self::IntegrationNotConfigured => {
                ("integration_not_configured", 400, false, Failed, "Integration not configured")
            }
            Self::OperationNotSupported => ("operation_not_supported", 422, false, Failed, "Operation not supported"),
            Self::EnvironmentSetupFailed => {
                ("environment_setup_failed", 500, false, Failed, "Environment set-up failed")
            }
            Self::ContentPolicyViolation => {
                ("content_policy_violation", 403, false, Failed, "Content policy violation")
            }
            Self::Conflict => ("conflict", 409, true, Failed, "Conflict"),
            Self::AuthenticationRequired => ("authentication_required", 401, false, Error, "Authentication required"),
            Self::ResourceUnavailable => ("resource_unavailable", 429, true, Error, "Resource unavailable"),
            Self::InternalError => ("internal_error", 500, true, Error, "Internal error"),
            Self::AgentProcessFailed => ("agent_process_failed", 500, false, Error, "Agent process failed"),
            Self::InfrastructureTimeout => ("infrastructure_timeout", 500, false, Error, "Infrastructure time-out"),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_contracts() {
        let table: Vec<String> = ErrorCode::ALL
            .iter()
            .map(|code| {
                assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
                format!("{code} {} {} {}", code.http_status(), code.is_retryable(), code.run_state())
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
