//! Work on SQS: a queue for each kind of taker. Standard queues with the team as message group, or the subscription: they
//! deliver fairly between groups, and still many messages of one at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use ozma_app::ports::{PortError, Queue, QueueMessage, QueueName};

#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    urls: BTreeMap<QueueName, String>,
}

impl SqsQueue {
    /// With the addresses of the queues that the function sends to, and of no others.
    pub fn new(client: Client, urls: impl IntoIterator<Item = (QueueName, String)>) -> Self {
        Self { client, urls: urls.into_iter().collect() }
    }

    /// Sends a message that nobody receives before `delay` is over: at most 15 minutes, in whole seconds.
    pub(crate) async fn send_after(&self, delay: Duration, message: &QueueMessage) -> Result<(), PortError> {
        let queue = message.queue();
        let missing = || PortError::new(format!("this function does not send to the queue of {queue}"));
        let url = self.urls.get(&queue).ok_or_else(missing)?;
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
        _ => message.team().as_str(),
    }
}

pub(crate) fn body(message: &QueueMessage) -> Result<String, PortError> {
    serde_json::to_string(message).map_err(|err| PortError::because("could not write a message", err))
}
