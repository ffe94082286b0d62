//! Messages: a person says something to a run. One that waits or works hears it; one that has ended is reopened by it, for a
//! new execution that does what it says.

use ozma_domain::id::{RunId, TeamId};
use ozma_domain::limits;
use ozma_domain::subscription::Topic;
use ozma_store::{Owed, SentRow, StoreError, Written};

use crate::App;
use crate::accept::announce;
use crate::app::after;
use crate::notify::send_changed;
use crate::queueing::{QueueState, after_joining, placed};
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
    loop {
        if let Some(sent) = attempt(app, team, run_id, from, text, None).await? {
            return Ok(sent);
        }
    }
}

/// The same for what may be said again: under one name a run gets one message, however often it is sent, and is reopened by
/// it once. None: it has it already.
pub async fn send_once(
    app: &App,
    team: &TeamId,
    run_id: RunId,
    from: &str,
    text: &str,
    name: &str,
) -> Result<Option<Sent>, MessageError> {
    let expires = after(app.now(), limits::DELIVERY_SECONDS).as_second();
    let row = SentRow { name: name.to_owned(), id: String::new(), expires };
    loop {
        if app.store.is_sent(run_id, name).await? {
            return Ok(None);
        }
        if let Some(sent) = attempt(app, team, run_id, from, text, Some(&row)).await? {
            return Ok(Some(sent));
        }
    }
}

/// The message is stored together with what it does, so that a run that was at work then surely hears it, and one that had
/// ended is reopened by it. None: the run has changed meanwhile, or it has the message.
async fn attempt(
    app: &App,
    team: &TeamId,
    run_id: RunId,
    from: &str,
    text: &str,
    sent: Option<&SentRow>,
) -> Result<Option<Sent>, MessageError> {
    if text.len() > limits::MESSAGE_BYTES {
        return Err(MessageError::TooLong);
    }
    let unknown = || MessageError::Unknown(run_id);
    let run = app.store.run(run_id).await?.filter(|run| run.team == *team).ok_or_else(unknown)?;
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
    let message = app.store.next_message(run_id, app.now(), from, text).await?;
    let sent = sent.map(|sent| SentRow { id: message.id.clone(), ..sent.clone() });
    if !run.state.is_terminal() {
        let written = app.store.put_message(&run, &message, sent.as_ref()).await?;
        return Ok((written == Written::Now).then_some(Sent::ToRun));
    }
    let request = app.store.request(team, run_id).await?.ok_or_else(unknown)?;
    let now = app.now();
    let deadline_at = request.limits.run_seconds.map(|seconds| after(now, seconds.cast_signed()));
    let Some(reopened) = run.followed_up(&message.id, now, deadline_at) else { return Err(MessageError::Ending) };
    let queue = QueueState::read(app, team).await?;
    let (placed, step) = placed(app, reopened, &request.scheduling, &queue).await?;
    if placed.state.is_terminal() {
        return Err(MessageError::Skipped(placed.status.map(|status| status.message).unwrap_or_default()));
    }
    if app.store.reopen(&run, &placed, &step, &message, sent.as_ref()).await? == Written::Lost {
        return Ok(None);
    }
    tracing::info!(run.id = %run_id, "reopened by a follow-up");
    after_joining(app, &placed, &step).await;
    announce(app, &placed).await;
    let is_subscribed = app.team(team).await.is_ok_and(|team| team.subscribed.is_some());
    send_changed(app, &placed, is_subscribed, Topic::Queued, placed.updated_at).await;
    Ok(Some(Sent::Reopened))
}
