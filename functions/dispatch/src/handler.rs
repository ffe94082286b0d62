//! A tick: the team may have both work and a free slot.

use ozma_app::App;
use ozma_app::dispatch::drain;
use ozma_app::ports::QueueMessage;
use ozma_boot::aws::Disposition;
use ozma_domain::text::chain;

pub(crate) async fn handle(app: &App, message: &QueueMessage) -> Disposition {
    let QueueMessage::Tick { team } = message else {
        return Disposition::Park { reason: "it is not a tick: ends belong into the other queue".to_owned() };
    };
    match drain(app, team).await {
        Ok(_) => Disposition::Done,
        Err(err) => {
            tracing::error!(%team, error = %chain(&err), "a tick could not be handled");
            Disposition::Retry
        }
    }
}
