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

const REASON_CHARS: usize = 1_000;

/// What a message of SQS holds.
const MESSAGE_BYTES: usize = 1024 * 1024;

impl Parking {
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// Keeps `body`, which `function` could not handle because of `reason`.
    pub async fn park(&self, function: &str, reason: &str, body: &str) -> Result<(), PortError> {
        let reason = shorten(reason, REASON_CHARS);
        let written = |body| json!({ "function": function, "reason": reason, "body": body }).to_string();
        // Quoted within JSON it may be several times as long as it was received; its beginning tells enough.
        let (mut body, mut message) = (body, written(body));
        while message.len() > MESSAGE_BYTES {
            body = &body[..body.floor_char_boundary(body.len() / 2)];
            message = written(body);
        }
        let send = self.client.send_message().queue_url(&self.url).message_body(message);
        send.send().await.map_err(|err| PortError::because("could not park a message", err))?;
        tracing::error!(function, reason = &*reason, "parked a message that can never be handled");
        Ok(())
    }
}
