//! The parking queue: what can never be handled is kept where a person looks, with the reason, and holds up nothing.

use aws_sdk_sqs::Client;
use ozma_app::ports::PortError;
use ozma_domain::text::shorten;
use serde_json::json;

#[derive(Clone, Debug)]
pub struct Parking {
    client: Client,
    url: String,
}

/// A message of SQS holds 1 MiB; what was received fits, and the reason beside it.
const REASON_CHARS: usize = 1_000;
const BODY_BYTES: usize = 900 * 1024;

impl Parking {
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// Keeps `body`, which `function` could not handle because of `reason`.
    pub async fn park(&self, function: &str, reason: &str, body: &str) -> Result<(), PortError> {
        let mut end = body.len().min(BODY_BYTES);
        while !body.is_char_boundary(end) {
            end -= 1;
        }
        let message = json!({ "function": function, "reason": shorten(reason, REASON_CHARS), "body": &body[..end] });
        let send = self.client.send_message().queue_url(&self.url).message_body(message.to_string());
        send.send().await.map_err(|err| PortError::because("could not park a message", err))?;
        tracing::error!(function, reason, "parked a message that can never be handled");
        Ok(())
    }
}
