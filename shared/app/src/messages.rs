//! Messages: a person says something to a run. One that waits or works hears it; one that has ended is reopened by it, for a
//! new execution that does what it says.

use ozma_domain::id::{RunId, TeamId};
use ozma_domain::limits;
use ozma_domain::subscription::Topic;
use ozma_store::{Owed, StoreError, Written};

use crate::App;
use crate::accept::announce;
use crate::app::after;
use crate::notify::send_changed;
use crate::queueing::{after_joining, placed};
use crate::settle::send_complete;

#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("there is no run {0}")]
    Unknown(RunId),
    /// 409, worth another try.
    #[error("the end of the run is still being recorded, or its agent is still stopping; try again in a moment")]
    Ending,
    /// As its concurrency policy has it, the run stays ended.
    #[error("the run was not reopened; {0}")]
    Skipped(String),
    #[error("the message is longer than {} bytes", limits::MESSAGE_BYTES)]
    TooLong,
    #[error("the message could not be stored")]
    Store(#[from] StoreError),
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The run hears it, at work or when it starts.
    ToRun,
    /// The run had ended, and is queued again.
    Reopened,
}

pub async fn send(app: &App, team: &TeamId, run_id: RunId, from: &str, text: &str) -> Result<Sent, MessageError> {
    if text.len() > limits::MESSAGE_BYTES {
        return Err(MessageError::TooLong);
    }
    let found = async || Ok::<_, StoreError>(app.store.run(run_id).await?.filter(|run| run.team == *team));
    let mut stored = None;
    loop {
        let run = found().await?.ok_or(MessageError::Unknown(run_id))?;
        if run.state.is_terminal() {
            // What is owed of this end is noted at its place in the index, which goes. Only who holds the audit seed may seal.
            // What is still to be told where it was asked for is told of what it is then.
            let ended = app.store.ended(&run).await?;
            let owed = ended.is_some_and(|ended| ended.owed.iter().any(|owed| *owed != Owed::Answer));
            if owed {
                send_complete(app, &run).await;
            }
            if run.held_slot().is_some() || owed {
                return Err(MessageError::Ending);
            }
        }
        // It may have ended while this was being stored: only what is there before a look at the run is surely heard.
        let Some(message) = &stored else {
            stored = Some(app.store.put_message(run_id, app.now(), from, text).await?);
            continue;
        };
        if !run.state.is_terminal() {
            return Ok(Sent::ToRun);
        }
        let request = app.store.request(team, run_id).await?.ok_or(MessageError::Unknown(run_id))?;
        let now = app.now();
        let deadline_at = request.limits.run_seconds.map(|seconds| after(now, seconds.cast_signed()));
        let Some(reopened) = run.followed_up(&message.id, now, deadline_at) else { return Err(MessageError::Ending) };
        let front = app.store.queue_front(team).await?;
        let (placed, step) = placed(app, reopened, &request.scheduling, front.as_ref()).await?;
        if placed.state.is_terminal() {
            return Err(MessageError::Skipped(placed.status.map(|status| status.message).unwrap_or_default()));
        }
        if app.store.reopen(&run, &placed, &step).await? == Written::Now {
            tracing::info!(run.id = %run_id, "reopened by a follow-up");
            after_joining(app, &placed, &step).await;
            announce(app, &placed).await;
            let is_subscribed = app.team(team).await.is_ok_and(|team| team.subscribed.is_some());
            send_changed(app, &placed, is_subscribed, Topic::Queued, placed.updated_at).await;
            return Ok(Sent::Reopened);
        }
    }
}
