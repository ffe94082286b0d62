//! One run of one automation, for one event.

use ozma_domain::automation::{Automation, AutomationConfig};
use ozma_domain::delivery::{Delivery, DeliverySource, EventSnapshot, Owed, OwedState, Owes};
use ozma_domain::event_key;
use ozma_domain::lane::Lane;
use ozma_domain::limits;
use ozma_domain::prompt_template::{self, Rendered};
use ozma_domain::provider::{Occurrence, Provider};
use ozma_domain::run::RunSource;
use ozma_domain::text;
use ozma_store::StoreError;
use serde_json::Value;

use super::deliver::Refused;
use super::follow_up::{remember, say};
use crate::App;
use crate::accept::{AcceptError, NewRun, ObjectCap, accept};
use crate::automations::after_run;

/// What became of a run, and what whoever delivered its event is told if it was not made.
pub(super) struct Started {
    pub(super) state: OwedState,
    pub(super) refused: Option<Refused>,
}

/// Starts the run that a delivery owes, or finds that it is started; says what it owes to a run that there is.
pub(super) async fn start(
    app: &App,
    delivery: &Delivery,
    owed: &Owed,
    automation: Option<&Automation>,
    payload: &Value,
    occurrence: Option<&Occurrence>,
) -> Result<Started, StoreError> {
    let never = |reason: String| Started { state: OwedState::Refused { reason, again: false }, refused: None };
    if owed.owes == Owes::FollowUp {
        return Ok(Started { state: say(app, delivery, owed, occurrence).await?, refused: None });
    }
    let Some(automation) = automation else { return Ok(never("the automation was deleted".to_owned())) };
    let prompt = match rendered(&automation.config, delivery, payload) {
        Ok(prompt) => prompt.text,
        Err(reason) => {
            after_run(app, &automation.id, owed.run_id, false, app.now()).await?;
            return Ok(never(reason));
        }
    };
    let new = request(delivery, owed, automation.clone(), prompt, payload, occurrence);
    let (again, refused) = match accept(app, new).await {
        Ok(accepted) => {
            remember(app, delivery, owed, occurrence, delivery.id).await?;
            tracing::info!(
                automation.id = %automation.id, run.id = %accepted.run_id, delivery.id = %delivery.id,
                "an automation was triggered"
            );
            return Ok(Started { state: OwedState::Started, refused: None });
        }
        Err(AcceptError::Store(err)) => return Err(err),
        Err(AcceptError::ObjectFull { reason }) => return Ok(never(reason)),
        Err(AcceptError::TooMany { reason, retry_seconds }) => (true, Refused::TooMany { reason, retry_seconds }),
        Err(AcceptError::Missing(missing)) => {
            let kind = missing.kind;
            let reason = format!("the automation's {kind} is not there any more; give the automation another one");
            tracing::warn!(automation.id = %automation.id, error = %missing, "an automation could not start its run");
            (true, Refused::Environment { reason })
        }
        Err(err) => (false, Refused::Environment { reason: err.to_string() }),
    };
    let reason = match &refused {
        Refused::TooMany { reason, .. } | Refused::Environment { reason } => reason.clone(),
    };
    let reason = text::shorten(&reason, limits::STATUS_CHARS);
    Ok(Started { state: OwedState::Refused { reason, again }, refused: again.then_some(refused) })
}

/// The prompt of an automation for an event. An error is a sentence for its owner.
pub(super) fn rendered(config: &AutomationConfig, delivery: &Delivery, payload: &Value) -> Result<Rendered, String> {
    let template = config.prompt().map_err(|err| err.to_string())?;
    let Some(template) = template else {
        return Ok(Rendered { text: config.template.prompt.clone(), absent: Vec::new() });
    };
    let provider = delivery.provider.map(|provider| provider.to_string());
    let event = prompt_template::Event {
        payload,
        provider: provider.as_deref().unwrap_or("webhook"),
        event_name: &delivery.event,
        delivery_id: &delivery.sender_id,
        automation: &config.name,
        received_at: delivery.received_at,
        source_url: delivery.url.as_deref(),
    };
    template.render(&event).map_err(|err| err.to_string())
}

fn request(
    delivery: &Delivery,
    owed: &Owed,
    automation: Automation,
    prompt: String,
    payload: &Value,
    occurrence: Option<&Occurrence>,
) -> NewRun {
    let Automation { id, team, config, .. } = automation;
    let mut template = config.template;
    template.prompt = prompt;
    // The label by which runs are grouped, unless the template has one of its own.
    template.agent_config.entry("name").or_insert_with(|| config.name.clone().into());
    let keys = occurrence.map(|occurrence| &occurrence.keys);
    if let Some(mut concurrency) = template.scheduling.concurrency.take() {
        template.scheduling.concurrency = event_key::fill(&concurrency.key, payload, keys).map(|key| {
            concurrency.key = key;
            concurrency
        });
    }
    if let Some(occurrence) = occurrence {
        let subject = &occurrence.subject;
        if template.title.is_none()
            && let Some(title) = &subject.title
        {
            template.title = Some(format!("{}: {title}", config.name));
        }
        if let Some(item) = &occurrence.keys.item
            && template.metadata.len() + 2 <= limits::METADATA_KEYS
        {
            // What the contract calls automatic metadata of what a tracker triggers.
            template.metadata.entry("ticket_id".to_owned()).or_insert_with(|| item.clone());
            template.metadata.entry("ticket_source".to_owned()).or_insert_with(|| occurrence.provider.to_string());
        }
    }
    let event = EventSnapshot {
        delivery: delivery.id,
        source: delivery.source.clone(),
        automation: id.clone(),
        provider: delivery.provider,
        event: delivery.event.clone(),
        url: delivery.url.clone(),
        place: occurrence.and_then(|occurrence| occurrence.place.clone()),
        commit: occurrence.and_then(|occurrence| occurrence.subject.head_sha.clone()),
        without_secrets: !owed.secrets,
        unknown_origin: delivery.unknown().filter(|_| !owed.secrets).map(str::to_owned),
    };
    let cap = keys.map(|keys| ObjectCap { object: keys.object.clone(), most: config.trigger.runs_per_object() });
    NewRun {
        run_id: Some(owed.run_id),
        lane: Lane::Automation(id),
        weight: config.weight,
        runs_per_hour: config.runs_per_hour,
        object_cap: cap,
        automation_budget: config.budget,
        event: Some(event),
        ..NewRun::from_template(template, team, config.name, source(delivery))
    }
}

fn source(delivery: &Delivery) -> RunSource {
    match (delivery.provider, &delivery.source) {
        (Some(Provider::Github), _) => RunSource::GithubWebhook,
        (Some(Provider::Gitlab), _) => RunSource::GitlabWebhook,
        (Some(Provider::Jira), _) => RunSource::Jira,
        (Some(Provider::Linear), _) => RunSource::Linear,
        (Some(Provider::Slack), _) => RunSource::Slack,
        (None, DeliverySource::Account(_)) => RunSource::ScheduledAgent,
        (None, _) => RunSource::Api,
    }
}
