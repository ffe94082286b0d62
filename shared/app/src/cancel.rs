//! Cancel: in every state, at once for the user; the container is gone within seconds.

use ozma_domain::id::{RunId, TeamId};
use ozma_domain::state::RunState;
use ozma_domain::text::chain;
use ozma_store::{Owed, StoreError, Written};

use crate::App;
use crate::settle::send_complete;

#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    #[error("there is no run {0}")]
    Unknown(RunId),
    #[error("the run has ended already: it is {0}")]
    Ended(RunState),
    #[error("the cancellation could not be stored")]
    Store(#[from] StoreError),
}

pub async fn cancel(app: &App, team: &TeamId, run_id: RunId, by: &str) -> Result<(), CancelError> {
    loop {
        let run = app.store.run(run_id).await?.filter(|run| run.team == *team).ok_or(CancelError::Unknown(run_id))?;
        let Some(cancelled) = run.cancelled(by, app.now()) else { return Err(CancelError::Ended(run.state)) };
        // A live run keeps its slot until its container is gone: the cap counts containers, not wishes.
        if app.store.end_run(&run, &cancelled, None, &[Owed::Publish, Owed::Seal]).await? == Written::Lost {
            continue;
        }
        tracing::info!(run.id = %run_id, was = %run.state, "cancelled");
        send_complete(app, &cancelled).await;
        if let Some(execution) = cancelled.execution_id().filter(|_| cancelled.held_slot().is_some())
            && let Err(err) = app.launcher.stop(execution).await
        {
            // The sweep stops what nobody owns.
            tracing::warn!(execution = %execution, error = %chain(&err), "could not stop a cancelled agent yet");
        }
        return Ok(());
    }
}
