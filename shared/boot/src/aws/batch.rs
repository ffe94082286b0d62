//! Batches of SQS: each message on its own. One that can never be handled is parked with the reason, one that may be
//! later comes back, and neither keeps the others waiting.

use std::collections::BTreeMap;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use futures_util::future::join_all;
use ozma_app::ports::QueueMessage;
use ozma_aws::parking::Parking;
use ozma_domain::text::chain;

/// What is to become of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    Done,
    /// It will be delivered again.
    Retry,
    /// It will never succeed: it is kept where a person looks.
    Park {
        reason: String,
    },
}

/// Hands each message of a batch to `handle`, and answers which of them have to come again. Messages that say the same
/// are handled once: what was done after the last of them arrived serves all.
pub async fn each_record(
    function: &str,
    parking: &Parking,
    event: SqsEvent,
    handle: impl AsyncFn(&QueueMessage) -> Disposition,
) -> SqsBatchResponse {
    let mut batch: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in event.records {
        // An empty id makes Lambda deliver the whole batch again: the safe reading of no id.
        batch.entry(record.body.unwrap_or_default()).or_default().push(record.message_id.unwrap_or_default());
    }
    let handled = batch.iter().map(async |(body, ids)| {
        let disposition = match serde_json::from_str::<QueueMessage>(body) {
            Ok(message) => handle(&message).await,
            Err(err) => Disposition::Park { reason: format!("it is not a message that {function} knows: {err}") },
        };
        match disposition {
            Disposition::Done => None,
            Disposition::Retry => Some(ids),
            Disposition::Park { reason } => match parking.park(function, &reason, body).await {
                Ok(()) => None,
                Err(err) => {
                    tracing::error!(error = %chain(&err), reason, "a message could not be parked; it comes again");
                    Some(ids)
                }
            },
        }
    });
    let mut response = SqsBatchResponse::default();
    for id in join_all(handled).await.into_iter().flatten().flatten() {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier.clone_from(id);
        response.batch_item_failures.push(failure);
    }
    response
}
