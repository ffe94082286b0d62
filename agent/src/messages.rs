//! Follow-up messages: fetched when the control plane says there are some, and handed to the task.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::sync::Arc;

use ozma_domain::audit::event::Record;
use ozma_domain::protocol::Message;

use crate::agent::Agent;
use crate::workspace;

/// Hands over every message once, in order, for as long as the agent lives.
pub(crate) async fn deliver(agent: Arc<Agent>) {
    loop {
        agent.client.messages_wait().await;
        let messages = match agent.client.messages().await {
            Ok(messages) => messages.messages,
            Err(err) => {
                tracing::warn!("messages to the run could not be fetched: {err}");
                continue;
            }
        };
        for message in messages {
            agent.client.heard_message(&message.id);
            if let Err(err) = append(&agent, &message) {
                let text = format!("a message could not be handed to the task: {err}");
                agent.recorder.record(Record::Notice { text }).await;
            }
            agent.activity.sign();
            let Message { id, from, text, .. } = message;
            agent.recorder.record(Record::Message { id, from, text }).await;
        }
    }
}

fn append(agent: &Agent, message: &Message) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut options = OpenOptions::new();
    workspace::open(&agent.workspace.messages(), options.append(true).create(true))?.write_all(&line)
}
