//! An end: what it owes is done, as far as it can be now.

use ozma_app::App;
use ozma_app::complete::complete;
use ozma_app::ports::QueueMessage;
use ozma_boot::aws::Disposition;
use ozma_domain::text::chain;

pub(crate) async fn handle(app: &App, message: &QueueMessage) -> Disposition {
    let QueueMessage::Complete { run, .. } = message else {
        return Disposition::Park { reason: "it is not an end: ticks belong into the other queue".to_owned() };
    };
    match complete(app, *run).await {
        // What is still owed waits for the agent's last words; their arrival is another message.
        Ok(_) => Disposition::Done,
        Err(err) => {
            tracing::error!(run.id = %run, trace_id = run.trace_id(), error = %chain(&err), "an end could not be completed");
            Disposition::Retry
        }
    }
}
