//! Messages: a person says something to a run that is at work.

use ozma_domain::id::{RunId, TeamId};
use ozma_domain::limits;
use ozma_domain::protocol::Message;
use ozma_domain::state::RunState;
use ozma_store::StoreError;

use crate::App;

#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("there is no run {0}")]
    Unknown(RunId),
    #[error("the run has ended ({0}): start a new one; reopening an ended run is not supported yet")]
    Ended(RunState),
    #[error("the message is longer than {} bytes", limits::MESSAGE_BYTES)]
    TooLong,
    #[error("the message could not be stored")]
    Store(#[from] StoreError),
}

pub async fn send(app: &App, team: &TeamId, run_id: RunId, from: &str, text: String) -> Result<(), MessageError> {
    if text.len() > limits::MESSAGE_BYTES {
        return Err(MessageError::TooLong);
    }
    let run = app.store.run(run_id).await?.filter(|run| run.team == *team).ok_or(MessageError::Unknown(run_id))?;
    if run.state.is_terminal() {
        return Err(MessageError::Ended(run.state));
    }
    let now = app.now();
    let message = Message { id: app.new_sortable_id(now), sent_at: now, from: from.to_owned(), text };
    Ok(app.store.put_message(run_id, &message).await?)
}
