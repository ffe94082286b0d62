//! What an agent may do: claim its execution, start, write segments and outputs, read messages, report what it
//! made, finish. Every call is
//! fenced: an execution that is not its run's current one is stale, and its agent must stop.

mod claim;
mod credentials;
mod finish;
#[cfg(feature = "outbound")]
mod git_credentials;
mod pull_requests;
mod record;
mod workspace;

use ozma_domain::id::ExecutionId;
use ozma_domain::protocol::{Messages, Reply};
use ozma_domain::run::Run;
use ozma_domain::state::RunState;
use ozma_domain::subscription::Topic;
use ozma_domain::token::{ExecutionToken, InvalidToken};
use ozma_store::{StoreError, Written};

pub use claim::claim;
pub use credentials::aws_credentials;
pub use finish::finish;
#[cfg(feature = "outbound")]
pub use git_credentials::git_credentials;
pub use pull_requests::report_pull_request;
pub use record::{Beside, output, segment};
pub use workspace::{save_file, save_set, saved_file};

use crate::App;
use crate::metrics;
use crate::notify::send_changed;
use crate::ports::PortError;
use crate::settle::SettleError;

#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// 409: another execution is the current one, or this one is over.
    #[error("the execution {0} is not the current one of its run; stop")]
    Stale(ExecutionId),
    /// 401.
    #[error("the token is not the one of this execution")]
    Token,
    #[error("the token is malformed")]
    MalformedToken(#[from] InvalidToken),
    /// 409 with the number that would be next.
    #[error("segment {found} cannot come now: {expected} is the next")]
    OutOfOrder { expected: u32, found: u32 },
    /// 409: the number is taken by other content.
    #[error("number {0} was written before, with other content")]
    Conflict(u32),
    #[error("{0}")]
    Malformed(String),
    /// 404: there are no credentials to be had.
    #[error("{0}")]
    NoRole(String),
    /// 404: git has to do without.
    #[error("{0}")]
    NoToken(String),
    /// 404: no earlier execution saved it.
    #[error("there is no such file")]
    NoFile,
    #[error("more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the store did not answer")]
    Store(#[from] StoreError),
    #[error("the vault did not answer")]
    Port(#[from] PortError),
    #[error("the end could not be stored")]
    Settle(#[from] SettleError),
}

/// The harness starts: CLAIMED → INPROGRESS.
pub async fn start(app: &App, execution: ExecutionId, token: &str) -> Result<Reply, ExecutionError> {
    loop {
        let run = authorize(app, execution, token).await?;
        let Some(started) = run.started(app.now(), app.settings.lease_seconds) else { return Ok(reply(app, &run)) };
        if app.store.update_run_row(&run, &started).await? == Written::Now {
            let claimed_at = started.execution.as_ref().and_then(|current| current.claimed_at);
            send_changed(app, &started, started.subscribed, Topic::Started, started.updated_at).await;
            metrics::stage("Prepare", &started, claimed_at.unwrap_or(started.updated_at), started.updated_at);
            return Ok(reply(app, &started));
        }
    }
}

/// Messages after the one last seen; from the first where there is none.
pub async fn messages(app: &App, execution: ExecutionId, token: &str, after: &str) -> Result<Messages, ExecutionError> {
    authorize(app, execution, token).await?;
    if after.len() > 64 {
        return Err(ExecutionError::Malformed("after: not the id of a message".to_owned()));
    }
    Ok(Messages { messages: app.store.messages(execution.run, after, 100).await? })
}

/// The run, if the caller is the agent of its current execution.
async fn authorize(app: &App, execution: ExecutionId, token: &str) -> Result<Run, ExecutionError> {
    let run = app.store.run(execution.run).await?.ok_or(ExecutionError::Stale(execution))?;
    check_token(&run, execution, token)?;
    if !run.is_current(execution) {
        return Err(ExecutionError::Stale(execution));
    }
    Ok(run)
}

/// Whether the token is the execution's. One of an earlier execution is stale rather than wrong: its agent must stop,
/// not ask for another token.
fn check_token(run: &Run, execution: ExecutionId, token: &str) -> Result<(), ExecutionError> {
    let token: ExecutionToken = token.parse()?;
    let current = run.execution.as_ref().filter(|current| current.number == execution.number);
    let stored = current.ok_or(ExecutionError::Stale(execution))?.token_hash.as_deref();
    if stored.is_some_and(|stored| token.hash().is(stored)) { Ok(()) } else { Err(ExecutionError::Token) }
}

fn reply(app: &App, run: &Run) -> Reply {
    Reply {
        cancelled: run.state == RunState::Cancelled,
        watched: run.watched_until.is_some_and(|until| until > app.now()),
        messages: false,
        over_budget: None,
        receipt: None,
    }
}
