//! Work on SQS: ticks for the dispatcher in one queue, ended runs in another. Standard queues with the team as message
//! group: they deliver fairly between teams, and still many messages of one team at a time.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use ozma_app::ports::{PortError, Queue, QueueMessage};

#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    ticks_url: String,
    ends_url: Option<String>,
}

impl SqsQueue {
    /// A function that ends no run has no queue for ends.
    pub fn new(client: Client, ticks_url: impl Into<String>, ends_url: Option<String>) -> Self {
        Self { client, ticks_url: ticks_url.into(), ends_url }
    }

    /// Sends a message that nobody receives before `delay` is over: at most 15 minutes, in whole seconds.
    pub(crate) async fn send_after(&self, delay: Duration, message: &QueueMessage) -> Result<(), PortError> {
        let (url, team) = match message {
            QueueMessage::Tick { team } => (Some(&self.ticks_url), team),
            QueueMessage::Complete { team, .. } => (self.ends_url.as_ref(), team),
        };
        let url = url.ok_or_else(|| PortError::new("this function has no queue for ends (OZ_ENDS_QUEUE_URL)"))?;
        let body = body(message)?;
        let mut send = self.client.send_message().queue_url(url).message_group_id(team.as_str()).message_body(body);
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

pub(crate) fn body(message: &QueueMessage) -> Result<String, PortError> {
    serde_json::to_string(message).map_err(|err| PortError::because("could not write a message", err))
}
