//! Credentials of the environment's role, for the task: every SDK of AWS knows to ask an address in
//! `AWS_CONTAINER_CREDENTIALS_FULL_URI` for them, and to ask again before they expire. It is the agent who answers, on
//! loopback, with what the control plane gives out; the task never sees the agent's own token.
//!
//! What is handed out is masked from before it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ozma_domain::audit::event::Record;
use ozma_domain::protocol::AwsCredentials;
use serde_json::json;

use crate::agent::Agent;
use crate::kept::{Kept, Perishable};
use crate::loopback::{Loopback, Refusal};
use crate::recorder::Recorder;
use crate::variables::Variables;

const VARIABLES: [&str; 2] = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];

/// SDKs begin to ask for new ones up to 15 minutes before, and then ask at every call until they get some.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_mins(15);
const REFUSED_FOR: Duration = Duration::from_secs(1);

pub(crate) struct Endpoint {
    loopback: Loopback,
    kept: Kept<AwsCredentials>,
}

impl Perishable for AwsCredentials {
    fn expires_at(&self) -> Timestamp {
        self.expiration
    }

    fn is_for(&self, _question: &str) -> bool {
        true
    }
}

impl Endpoint {
    pub(crate) async fn open(recorder: &Recorder) -> io::Result<Self> {
        let loopback = Loopback::open(recorder, VARIABLES).await?;
        Ok(Self { loopback, kept: Kept::new(RENEWED_BEFORE, REFUSED_FOR) })
    }

    /// What tells a task where to ask.
    pub(crate) fn variables(&self) -> Variables {
        self.loopback.variables()
    }
}

/// Fetches the first credentials, before anybody asks; if there are none, the transcript says why.
pub(crate) async fn fetch_first(agent: &Agent, endpoint: &Endpoint) {
    if let Err(Refusal { message, .. }) = get(agent, endpoint).await {
        let text = format!("the task has no AWS credentials: {message}");
        agent.recorder.record(Record::Notice { text }).await;
    }
}

/// Answers the task's requests, for as long as it is polled.
pub(crate) async fn serve(agent: Arc<Agent>) {
    let Some(endpoint) = &agent.aws_credentials else { return };
    let agent = &*agent;
    endpoint.loopback.serve(|_| async move { get(agent, endpoint).await.map(|given| json!(given)) }).await;
}

/// Credentials that live for a while.
async fn get(agent: &Agent, endpoint: &Endpoint) -> Result<AwsCredentials, Refusal> {
    let fetch = async {
        let given = agent.client.aws_credentials().await?;
        agent.recorder.hide(&[given.secret_access_key.as_str().into(), given.token.as_str().into()]);
        Ok(given)
    };
    endpoint.kept.get("", fetch).await
}
