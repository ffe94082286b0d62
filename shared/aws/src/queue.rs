//! Work on SQS: ticks for the dispatcher in one queue, ended runs and what is told of runs in another. Standard queues with the
//! team as message group, or the subscription: they deliver fairly between groups, and still many messages of one at a time.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use ozma_app::ports::{PortError, Queue, QueueMessage};

#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    ticks_url: Option<String>,
    ends_url: Option<String>,
}

impl SqsQueue {
    /// A function that frees no slot has no queue for ticks, and one that tells of no run none for ends.
    pub fn new(client: Client, ticks_url: Option<String>, ends_url: Option<String>) -> Self {
        Self { client, ticks_url, ends_url }
    }

    /// Sends a message that nobody receives before `delay` is over: at most 15 minutes, in whole seconds.
    pub(crate) async fn send_after(&self, delay: Duration, message: &QueueMessage) -> Result<(), PortError> {
        let url = match message {
            QueueMessage::Tick { .. } => {
                let missing = || PortError::new("this function has no queue for ticks (OZ_TICKS_QUEUE_URL)");
                self.ticks_url.as_ref().ok_or_else(missing)?
            }
            QueueMessage::Complete { .. }
            | QueueMessage::Changed { .. }
            | QueueMessage::Answer { .. }
            | QueueMessage::Notify { .. }
            | QueueMessage::Reply { .. }
            | QueueMessage::Identify { .. }
            | QueueMessage::LookForLost { .. } => {
                let missing = || PortError::new("this function has no queue for ends (OZ_ENDS_QUEUE_URL)");
                self.ends_url.as_ref().ok_or_else(missing)?
            }
        };
        let body = body(message)?;
        let mut send = self.client.send_message().queue_url(url).message_group_id(group(message)).message_body(body);
        if !delay.is_zero() {
            send = send.delay_seconds(i32::try_from(delay.as_secs()).unwrap_or(i32::MAX));
        }
        send.send().await.map_err(|err| PortError::because("could not send to the queue", err))?;
        Ok(())
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, message: QueueMessage) -> Result<(), PortError> {
        self.send_after(Duration::ZERO, &message).await
    }
}

/// Whom a message is fair to others of: a team, or a receiver, which may be slow and then waits for itself.
pub(crate) fn group(message: &QueueMessage) -> &str {
    match message {
        QueueMessage::Notify { subscription, .. } => subscription.as_str(),
        QueueMessage::Tick { .. }
        | QueueMessage::Complete { .. }
        | QueueMessage::Changed { .. }
        | QueueMessage::Answer { .. }
        | QueueMessage::Reply { .. }
        | QueueMessage::Identify { .. }
        | QueueMessage::LookForLost { .. } => message.team().as_str(),
    }
}

pub(crate) fn body(message: &QueueMessage) -> Result<String, PortError> {
    serde_json::to_string(message).map_err(|err| PortError::because("could not write a message", err))
}
