//! Credentials: an agent asks for those of the role that its environment names.

use ozma_domain::id::ExecutionId;
use ozma_domain::protocol::AwsCredentials;

use super::{ExecutionError, authorize};
use crate::App;
use crate::launch::environment_of;

/// Credentials of the environment's role, in a session named after the run: what the task does in AWS can be found by it.
pub async fn aws_credentials(app: &App, execution: ExecutionId, token: &str) -> Result<AwsCredentials, ExecutionError> {
    let run = authorize(app, execution, token).await?;
    let request = app.store.request(&run.team, run.run_id).await?.ok_or(ExecutionError::Stale(execution))?;
    let environment = environment_of(app, &request).await?.unwrap_or_default();
    let role =
        environment.aws_role.ok_or_else(|| ExecutionError::NoRole("the environment names no role".to_owned()))?;
    let credentials = app.vault.assume(&role, &run.run_id.to_string()).await?;
    credentials.ok_or_else(|| {
        ExecutionError::NoRole(format!(
            "the role {role} could not be assumed. On AWS it must be among the stack's parameter AssumableRoleArns and \
             trust the role in its output ExecutionsRoleArn; on a laptop there is no account to assume it from"
        ))
    })
}
