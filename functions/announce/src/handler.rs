//! An end: what it owes is done, as far as it can be now. A change of a run: who subscribed to it is notified. A delivery:
//! whoever caused it is looked up where that decides what it starts, and told what came of it.

use std::error::Error;

use ozma_app::App;
use ozma_app::answers::{look_for_lost, tell};
use ozma_app::complete::complete;
use ozma_app::deliver::deliver;
use ozma_app::notify::changed;
use ozma_app::ports::QueueMessage;
use ozma_app::receive::identify;
use ozma_app::reply;
use ozma_boot::aws::Disposition;
use ozma_domain::text::chain;

pub(crate) async fn handle(app: &App, message: &QueueMessage) -> Disposition {
    match message {
        QueueMessage::Tick { .. } => {
            Disposition::Park { reason: "it is not an end: ticks belong into the other queue".to_owned() }
        }
        // What is still owed waits for the agent's last words; their arrival is another message.
        QueueMessage::Complete { run, .. } => match complete(app, *run).await {
            Ok(_) => Disposition::Done,
            Err(err) => {
                tracing::error!(run.id = %run, trace_id = run.trace_id(), error = %chain(&err), "an end could not be completed");
                Disposition::Retry
            }
        },
        QueueMessage::Changed { run, execution, topic, at, .. } => {
            retried(changed(app, *run, *execution, *topic, *at).await, message)
        }
        QueueMessage::Answer { run, .. } => retried(tell(app, *run).await, message),
        QueueMessage::Notify { team, subscription, notification } => {
            retried(deliver(app, team, subscription, notification).await, message)
        }
        QueueMessage::Reply { team, delivery } => retried(reply::post(app, team, *delivery).await, message),
        QueueMessage::LookForLost { team, webhook } => retried(look_for_lost(app, team, webhook).await, message),
        QueueMessage::Identify { team, delivery } => retried(identify(app, team, *delivery).await, message),
    }
}

fn retried(result: Result<(), impl Error + 'static>, message: &QueueMessage) -> Disposition {
    let Err(err) = result else { return Disposition::Done };
    tracing::error!(?message, error = %chain(&err), "what is told others could not be handled");
    Disposition::Retry
}
