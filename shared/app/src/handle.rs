//! Messages, handed to the use cases that do what they say. There is a function for each queue, because a program is linked
//! with what it calls: of those who take messages, clients of services outside are for whoever takes errands.

use crate::App;
use crate::complete::{CompleteError, complete};
use crate::dispatch::{DispatchError, drain};
use crate::notify::{NotifyError, changed};
use crate::ports::{QueueMessage, QueueName};
#[cfg(feature = "outbound")]
use crate::{
    answers::{AnswerError, look_for_lost, tell},
    deliver::{DeliverError, deliver},
    receive::{ReceiveError, identify},
    reply::{self, ReplyError},
};

/// Why a message is to come again.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    #[error(transparent)]
    Tick(#[from] DispatchError),
    #[error(transparent)]
    Complete(#[from] CompleteError),
    #[error(transparent)]
    Changed(#[from] NotifyError),
    #[cfg(feature = "outbound")]
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[cfg(feature = "outbound")]
    #[error(transparent)]
    Notify(#[from] DeliverError),
    #[cfg(feature = "outbound")]
    #[error(transparent)]
    Reply(#[from] ReplyError),
    #[cfg(feature = "outbound")]
    #[error("whoever caused a delivery could not be looked up")]
    Identify(#[from] ReceiveError),
    #[cfg(feature = "outbound")]
    #[error("what was lost could not be looked for")]
    LookForLost(#[source] ozma_store::StoreError),
    /// Whoever takes from a queue asks first which one a message belongs to.
    #[error("a message of the queue of {0} was handled as one of another")]
    Misplaced(QueueName),
}

/// Whatever queue it belongs to: where one process takes from all of them.
#[cfg(feature = "outbound")]
pub async fn message(app: &App, message: &QueueMessage) -> Result<(), HandleError> {
    match message.queue() {
        QueueName::Ticks => tick(app, message).await,
        QueueName::Ends => end(app, message).await,
        QueueName::Errands => errand(app, message).await,
    }
}

pub async fn tick(app: &App, message: &QueueMessage) -> Result<(), HandleError> {
    match message {
        QueueMessage::Tick { team } => drain(app, team).await.map(drop)?,
        _ => return Err(HandleError::Misplaced(message.queue())),
    }
    Ok(())
}

pub async fn end(app: &App, message: &QueueMessage) -> Result<(), HandleError> {
    match message {
        // What is still owed waits for the agent's last words; their arrival is another message.
        QueueMessage::Complete { run, .. } => complete(app, *run).await.map(drop)?,
        QueueMessage::Changed { run, execution, topic, at, .. } => changed(app, *run, *execution, *topic, *at).await?,
        _ => return Err(HandleError::Misplaced(message.queue())),
    }
    Ok(())
}

#[cfg(feature = "outbound")]
pub async fn errand(app: &App, message: &QueueMessage) -> Result<(), HandleError> {
    match message {
        QueueMessage::Answer { run, .. } => tell(app, *run).await?,
        QueueMessage::Notify { team, subscription, notification } => {
            deliver(app, team, subscription, notification).await?;
        }
        QueueMessage::Reply { team, delivery } => reply::post(app, team, *delivery).await?,
        QueueMessage::Identify { team, delivery } => identify(app, team, *delivery).await?,
        QueueMessage::LookForLost { team, webhook } => {
            look_for_lost(app, team, webhook).await.map_err(HandleError::LookForLost)?;
        }
        // Listed, so that a message that is new is forgotten nowhere.
        QueueMessage::Tick { .. } | QueueMessage::Complete { .. } | QueueMessage::Changed { .. } => {
            return Err(HandleError::Misplaced(message.queue()));
        }
    }
    Ok(())
}
