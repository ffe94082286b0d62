//! Receive: something outside asks for a run of an automation's template. Whatever comes in may come in again: each
//! delivery is a key of [`accept`], so that it makes one run however often it is delivered, and after a crash as well.

use ozma_domain::audit::digest;
use ozma_domain::automation::Automation;
use ozma_domain::id::{AutomationId, RunId};
use ozma_domain::lane::Lane;
use ozma_domain::run::RunSource;
use ozma_domain::standard_webhooks::{Envelope, SigningSecret, Unverified};
use ozma_store::StoreError;

use crate::App;
use crate::accept::{AcceptError, AcceptedRun, Idempotency, NewRun, accept};

/// The run that answers a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub run_id: RunId,
    /// An earlier delivery of the same made the run.
    pub duplicate: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error(transparent)]
    Unverified(#[from] Unverified),
    #[error("there is no automation {0}")]
    Unknown(AutomationId),
    #[error("the automation {0} is paused")]
    Paused(AutomationId),
    #[error("the automation cannot start its run")]
    Accept(#[from] AcceptError),
    #[error("the automation could not be read")]
    Store(#[from] StoreError),
}

/// A signed webhook to the automation of that id.
///
/// Whoever cannot sign learns nothing, not even whether there is such an automation: the signature is checked first, and
/// for an id that nobody has against the secret that a new automation of that id would have. So a wrong signature is the
/// same refusal everywhere, after the same steps; what is said of an automation is said to those who have its secret. One
/// that is gone is told as such to whoever has its first secret; later ones went with it.
pub async fn webhook(app: &App, id: &str, envelope: &Envelope, body: &[u8]) -> Result<Received, ReceiveError> {
    let now = app.now();
    envelope.check_time(now)?;
    let id: AutomationId = id.parse().map_err(|_| Unverified::Signature)?;
    let found = app.store.automation(&id).await?.map(|saved| saved.automation);
    let key = &app.settings.webhook_key;
    let secrets =
        found.as_ref().map_or_else(|| vec![SigningSecret::derived(key, &id, 1)], |found| found.secrets(key, now));
    envelope.verify(body, &secrets, now)?;
    let automation = active(found, &id)?;
    let lane = Lane::Automation(id);
    start(app, automation, RunSource::Api, lane, &format!("webhook\n{}", envelope.id), body).await
}

/// A planned event for the automation of that id, from inside the account. `occurrence` is the same whenever it is
/// delivered again, and `content` is what must then be the same as well.
pub async fn planned(app: &App, id: &AutomationId, occurrence: &str, content: &[u8]) -> Result<Received, ReceiveError> {
    let found = app.store.automation(id).await?.map(|saved| saved.automation);
    let automation = active(found, id)?;
    let lane = Lane::Automation(id.clone());
    start(app, automation, RunSource::ScheduledAgent, lane, &format!("planned\n{occurrence}"), content).await
}

fn active(found: Option<Automation>, id: &AutomationId) -> Result<Automation, ReceiveError> {
    let automation = found.ok_or_else(|| ReceiveError::Unknown(id.clone()))?;
    if automation.config.paused { Err(ReceiveError::Paused(id.clone())) } else { Ok(automation) }
}

async fn start(
    app: &App,
    automation: Automation,
    source: RunSource,
    lane: Lane,
    occurrence: &str,
    content: &[u8],
) -> Result<Received, ReceiveError> {
    let Automation { id, team, config, .. } = automation;
    let mut template = config.template;
    // The label by which runs are grouped, unless the template has one of its own.
    template.agent_config.entry("name").or_insert_with(|| config.name.clone().into());
    // A header has no line ends, so that no key of an API client can be one of these.
    let key = format!("automation\n{id}\n{occurrence}");
    let new = NewRun {
        idempotency: Some(Idempotency { key, body_hash: digest(content).to_string() }),
        lane,
        weight: config.weight,
        runs_per_hour: config.runs_per_hour,
        automation_budget: config.budget,
        ..NewRun::from_template(template, team, config.name, source)
    };
    let AcceptedRun { run_id, created, .. } = accept(app, new).await?;
    tracing::info!(automation.id = %id, run.id = %run_id, duplicate = !created, "an automation was triggered");
    Ok(Received { run_id, duplicate: !created })
}
