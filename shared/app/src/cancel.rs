//! Cancel: in every state, at once for the user; the container is gone within seconds.

use ozma_domain::id::{ExecutionId, RunId, TeamId};
use ozma_domain::state::RunState;
use ozma_domain::text::chain;
use ozma_store::{StoreError, Written};

use crate::App;
use crate::queueing::end;

#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    #[error("there is no run {0}")]
    Unknown(RunId),
    #[error("the run has ended already: it is {0}")]
    Ended(RunState),
    #[error("the cancellation could not be stored")]
    Store(#[from] StoreError),
}

/// The same with every run below it. One that has ended may still have some that have not. Returns how many were cancelled;
/// may be repeated.
pub async fn cancel_all(app: &App, team: &TeamId, run_id: RunId, by: &str) -> Result<usize, CancelError> {
    let mut cancelled = 0;
    let mut below = vec![run_id];
    while let Some(next) = below.pop() {
        match cancel(app, team, next, by).await {
            Ok(()) => cancelled += 1,
            Err(CancelError::Ended(_)) => {}
            Err(CancelError::Unknown(run)) if run != run_id => {}
            Err(err) => return Err(err),
        }
        // After it was cancelled nobody is accepted below it any more.
        below.extend(app.store.children(next).await?);
    }
    Ok(cancelled)
}

pub async fn cancel(app: &App, team: &TeamId, run_id: RunId, by: &str) -> Result<(), CancelError> {
    loop {
        let run = app.store.run(run_id).await?.filter(|run| run.team == *team).ok_or(CancelError::Unknown(run_id))?;
        let Some(cancelled) = run.cancelled(by, app.now()) else { return Err(CancelError::Ended(run.state)) };
        // A live run keeps its slot until its container is gone: the cap counts containers, not wishes.
        if end(app, &run, &cancelled).await? == Written::Lost {
            continue;
        }
        tracing::info!(run.id = %run_id, was = %run.state, "cancelled");
        if let Some(execution) = cancelled.execution_id().filter(|_| cancelled.held_slot().is_some()) {
            stop(app, execution).await;
        }
        return Ok(());
    }
}

/// Should it be lost, the agent hears of it with its next segment, a minute later at most, and the sweep stops what nobody
/// owns.
async fn stop(app: &App, execution: ExecutionId) {
    for _ in 0..2 {
        match app.launcher.stop(execution).await {
            Ok(()) => return,
            Err(err) => {
                tracing::warn!(execution = %execution, error = %chain(&err), "could not stop a cancelled agent yet");
            }
        }
    }
}
