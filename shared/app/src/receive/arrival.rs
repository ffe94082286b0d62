//! What comes in, and whether it is what it says: verified over the bytes as they came, then read once.

use ozma_domain::audit::digest;
use ozma_domain::automation::Automation;
use ozma_domain::delivery::DeliverySource;
use ozma_domain::id::{AutomationId, DeliveryId, TeamId, WebhookId};
use ozma_domain::limits;
use ozma_domain::provider::{Own, Provider, slack};
use ozma_domain::webhook::{Payload, Webhook};
use ozma_domain::webhook_auth::{
    Attempt, Believed, DedupeId, DeliveryHeader, Header, Scheme, WebhookAuth, WebhookSecret,
};
use serde_json::Value;

use super::ReceiveError;
use super::body::{self, Said};
use super::deliver::{Delivered, deliver, reject};
use crate::App;
use crate::rate::{self, MINUTE};
use crate::webhooks;

/// What became of a request that is believed.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    Delivered(Box<Delivered>),
    /// The service asks whether somebody is here who has the secret: this is to be answered, and nothing happened.
    Challenge(String),
}

/// A request at an address for webhooks, as it came.
pub struct Request<'a, H> {
    /// Asked for headers by their lower-case names.
    pub header: H,
    /// What the path has after the address, if it has something.
    pub path_token: Option<&'a str>,
    pub body: &'a [u8],
}

/// An event that is believed.
pub(super) struct Arrival<'a> {
    pub(super) team: TeamId,
    pub(super) source: DeliverySource,
    pub(super) listeners: Listeners,
    pub(super) provider: Option<Provider>,
    pub(super) own: Own,
    /// Its kind, where something beside the payload says it.
    pub(super) event: Option<String>,
    /// By what its sender tells it apart.
    pub(super) sender_id: String,
    /// By what it is known when it comes again. If one is known, it is that delivery.
    pub(super) marks: Vec<String>,
    pub(super) body: &'a [u8],
    /// Whether the body is kept as it came: JSON, without what nobody is to have.
    pub(super) is_kept: bool,
    pub(super) payload: Value,
    pub(super) replay_of: Option<DeliveryId>,
}

impl Arrival<'_> {
    /// What is kept of its body: as it came, unless it came as a form or with what nobody is to have.
    pub(super) fn kept(&self) -> Vec<u8> {
        if self.is_kept { self.body.to_vec() } else { self.payload.to_string().into_bytes() }
    }
}

/// Whom an event may start.
pub(super) enum Listeners {
    /// Whoever listens to that webhook, or to its provider.
    All,
    /// The one that it is addressed to.
    One(Box<Automation>),
}

/// A webhook for the address `id`: a webhook's, or an automation's own.
///
/// Whoever cannot sign learns no more than that an address is one. What cannot be believed is logged up to a budget, without
/// its body.
pub async fn webhook<'a, H: Fn(&str) -> Header<'a>>(
    app: &App,
    id: &str,
    request: Request<'a, H>,
) -> Result<Taken, ReceiveError> {
    if let Ok(id) = id.parse::<WebhookId>() {
        let found = app.store.webhook(&id).await?.map(|saved| saved.webhook);
        let webhook = found.filter(|webhook| !webhook.config.paused && webhook.secrets.is_complete());
        return to_webhook(app, webhook.ok_or(ReceiveError::Nowhere)?, request).await;
    }
    let id: AutomationId = id.parse().map_err(|_| ReceiveError::Nowhere)?;
    let found = app.store.automation(&id).await?.map(|saved| saved.automation);
    let automation = found.filter(|automation| !automation.config.paused);
    let delivered = to_automation(app, automation.ok_or(ReceiveError::Nowhere)?, request).await?;
    Ok(Taken::Delivered(Box::new(delivered)))
}

async fn to_webhook<'a, H: Fn(&str) -> Header<'a>>(
    app: &App,
    webhook: Webhook,
    request: Request<'a, H>,
) -> Result<Taken, ReceiveError> {
    let source = DeliverySource::Webhook(webhook.id.clone());
    let secrets = webhook.secrets.valid(webhooks::owner(app, &webhook), app.now());
    let Webhook { id, team, config, .. } = webhook;
    let (most, provider) = (config.deliveries_per_minute(), config.provider());
    let rules = Rules { source: &source, auth: config.auth, provider, header: config.delivery_header.as_ref() };
    let read = read(app, rules, &secrets, &request);
    let Read { believed, sender_id, marks, payload, is_kept } = match read {
        Ok(read) => read,
        Err(err) => return Err(reject(app, &team, source, err).await),
    };
    if provider == Some(Provider::Slack)
        && let Some(challenge) = slack::challenge(&payload)
    {
        return Ok(Taken::Challenge(challenge.to_owned()));
    }
    within_rate(app, &team, id.as_str(), most).await?;
    let arrival = Arrival {
        team,
        source,
        listeners: Listeners::All,
        replay_of: None,
        provider,
        own: config.own(),
        event: believed.event,
        sender_id,
        marks,
        body: request.body,
        is_kept,
        payload,
    };
    Ok(Taken::Delivered(Box::new(deliver(app, arrival).await?)))
}

async fn to_automation<'a, H: Fn(&str) -> Header<'a>>(
    app: &App,
    automation: Automation,
    request: Request<'a, H>,
) -> Result<Delivered, ReceiveError> {
    const OWN: WebhookAuth = WebhookAuth::Signature { scheme: Scheme::StandardWebhooks };
    let source = DeliverySource::Automation(automation.id.clone());
    let secrets = automation.secrets(&app.settings.webhook_key, app.now());
    let secrets: Vec<WebhookSecret> = secrets.into_iter().map(WebhookSecret::from).collect();
    let team = automation.team.clone();
    let Read { sender_id, marks, payload, .. } =
        match read(app, Rules { source: &source, auth: OWN, provider: None, header: None }, &secrets, &request) {
            Ok(read) => read,
            Err(err) => return Err(reject(app, &team, source, err).await),
        };
    within_rate(app, &team, automation.id.as_str(), limits::WEBHOOK_DELIVERIES_PER_MINUTE).await?;
    let arrival = Arrival {
        team,
        source,
        listeners: Listeners::One(Box::new(automation)),
        provider: None,
        own: Own::default(),
        event: None,
        sender_id,
        marks,
        body: request.body,
        is_kept: true,
        payload,
        replay_of: None,
    };
    deliver(app, arrival).await
}

/// A planned event for the automation of that id, from inside the account. `occurrence` is the same whenever it is delivered
/// again, and `content` is what must then be the same as well.
pub async fn planned(
    app: &App,
    id: &AutomationId,
    occurrence: &str,
    content: &[u8],
) -> Result<Delivered, ReceiveError> {
    let payload = if content.is_empty() { Payload(Value::Null) } else { Payload::json(content)? };
    addressed(app, id, None, occurrence, content, payload.0).await
}

/// An event of the account, such as an alarm, for the automation of that id: with its own id and kind.
pub async fn account_event(
    app: &App,
    id: &AutomationId,
    event_id: &str,
    kind: Option<&str>,
    event: &Value,
) -> Result<Delivered, ReceiveError> {
    let body = event.to_string();
    addressed(app, id, kind, &format!("event\n{event_id}"), body.as_bytes(), event.clone()).await
}

async fn addressed(
    app: &App,
    id: &AutomationId,
    kind: Option<&str>,
    occurrence: &str,
    body: &[u8],
    payload: Value,
) -> Result<Delivered, ReceiveError> {
    let found = app.store.automation(id).await?.map(|saved| saved.automation);
    let automation = found.ok_or(ReceiveError::Nowhere)?;
    if automation.config.paused {
        return Err(ReceiveError::Paused(id.clone()));
    }
    let source = DeliverySource::Account(id.clone());
    let arrival = Arrival {
        team: automation.team.clone(),
        listeners: Listeners::One(Box::new(automation)),
        provider: None,
        own: Own::default(),
        event: kind.map(str::to_owned),
        sender_id: occurrence.replace('\n', " "),
        marks: vec![mark(&source, occurrence)],
        source,
        body,
        is_kept: true,
        payload,
        replay_of: None,
    };
    deliver(app, arrival).await
}

/// A body was sent to an address that is more than [`limits::WEBHOOK_BYTES`], and was not read to its end.
pub async fn too_large(app: &App, id: &str) -> ReceiveError {
    let found = match (id.parse::<WebhookId>(), id.parse::<AutomationId>()) {
        (Ok(id), _) => {
            let found = app.store.webhook(&id).await;
            found.map(|found| found.map(|saved| (saved.webhook.team, DeliverySource::Webhook(id))))
        }
        (_, Ok(id)) => {
            let found = app.store.automation(&id).await;
            found.map(|found| found.map(|saved| (saved.automation.team, DeliverySource::Automation(id))))
        }
        _ => Ok(None),
    };
    match found {
        Ok(Some((team, source))) => reject(app, &team, source, ReceiveError::TooLarge).await,
        Ok(None) => ReceiveError::Nowhere,
        Err(err) => err.into(),
    }
}

/// What a request says, once it is believed.
struct Read {
    believed: Believed,
    sender_id: String,
    marks: Vec<String>,
    payload: Value,
    is_kept: bool,
}

/// How an address is to be read.
#[derive(Clone, Copy)]
struct Rules<'a> {
    source: &'a DeliverySource,
    auth: WebhookAuth,
    provider: Option<Provider>,
    /// By which its sender tells deliveries apart.
    header: Option<&'a DeliveryHeader>,
}

fn read<'a, H: Fn(&str) -> Header<'a>>(
    app: &App,
    rules: Rules<'_>,
    secrets: &[WebhookSecret],
    request: &Request<'a, H>,
) -> Result<Read, ReceiveError> {
    let Rules { source, auth, provider, header: delivery_header } = rules;
    let Request { header, path_token, body } = request;
    let attempt = Attempt { header, path_token: *path_token, body };
    let mut believed = auth.verify(&attempt, secrets, app.now())?;
    let content_type = match header("content-type") {
        Header::Once(value) => Some(value),
        Header::Missing | Header::Repeated | Header::Unreadable => None,
    };
    let Said { payload, kind, is_kept } = body::read(provider, content_type, body)?;
    believed.event = kind.or(believed.event);
    // Stripe, Vercel, PagerDuty and Slack say in the body which delivery it is.
    if believed.delivery_id.is_none() && matches!(auth, WebhookAuth::Signature { .. }) {
        let id = match provider {
            Some(Provider::Slack) => slack::delivery_id(&payload),
            _ => payload.get("id").and_then(Value::as_str),
        };
        believed.delivery_id = id.filter(|id| (1..=limits::DELIVERY_ID_BYTES).contains(&id.len())).map(str::to_owned);
    }
    let dedupe = attempt.dedupe_id(delivery_header, &believed)?;
    let sender_id = match &dedupe {
        DedupeId::Given(id) => id.clone(),
        DedupeId::Body(hash) => hash.clone(),
    };
    let marks = [Some(dedupe), auth.replay_guard(body)].into_iter().flatten().map(|id| mark(source, &id.to_string()));
    Ok(Read { believed, sender_id, marks: marks.collect(), payload, is_kept })
}

/// What hashes to the same is the same delivery: to the same address, and with the same id.
pub(super) fn mark(source: &DeliverySource, id: &str) -> String {
    let place = match source {
        DeliverySource::Webhook(id) => id.to_string(),
        DeliverySource::Automation(id) => id.to_string(),
        DeliverySource::Account(id) => format!("account\n{id}"),
    };
    digest(format!("{place}\n{id}").as_bytes()).to_string()
}

async fn within_rate(app: &App, team: &TeamId, address: &str, most: u32) -> Result<(), ReceiveError> {
    let over = rate::count(app, team, &format!("deliveries#{address}"), MINUTE, most).await?;
    let Some(retry_seconds) = over else { return Ok(()) };
    let reason = format!("this address takes {most} deliveries in a minute");
    Err(ReceiveError::TooMany { reason, retry_seconds })
}
