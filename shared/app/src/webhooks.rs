//! Webhooks: create, change, give a secret, delete. What is refused says which field and why.

use ozma_domain::id::{TeamId, WebhookId};
use ozma_domain::redelivery::Look;
use ozma_domain::template::InvalidField;
use ozma_domain::text::chain;
use ozma_domain::webhook::{Connection, Owner, Secrets, Webhook, WebhookConfig};
use ozma_domain::webhook_auth::WebhookSecret;
use ozma_store::{Saved, SavedWebhook, StoreError, Written};

use crate::App;
use crate::ports::PortError;

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("there is no webhook {0}")]
    Unknown(String),
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    #[error("there is a webhook named \"{0}\" already; choose another name or update that one")]
    NameTaken(String),
    #[error("the webhook was changed or deleted at the same moment; look at it again")]
    Lost,
    #[error("the webhook could not be stored")]
    Store(#[from] StoreError),
    #[error("the vault did not answer")]
    Vault(#[from] PortError),
}

/// With the secret that its service has shown, or one that is made here if it is ours to make.
pub async fn create(
    app: &App,
    team: &TeamId,
    config: WebhookConfig,
    secret: Option<&str>,
) -> Result<Webhook, WebhookError> {
    check(app, team, &config).await?;
    let webhook = made(app, team, WebhookId::new(app.random_bits()), config, secret)?;
    let webhook = saved(app.store.create_webhook(&webhook).await?, webhook)?;
    look_after(app, &webhook).await;
    Ok(webhook)
}

/// A new one, to be stored.
pub(crate) fn made(
    app: &App,
    team: &TeamId,
    id: WebhookId,
    config: WebhookConfig,
    secret: Option<&str>,
) -> Result<Webhook, InvalidField> {
    let now = app.now();
    let secrets = Secrets::default();
    let mut webhook = Webhook { id, team: team.clone(), config, secrets, created_at: now, last_updated: now };
    webhook.secrets = next(app, &webhook, secret)?;
    Ok(webhook)
}

/// Every webhook of the team, by name.
pub async fn list(app: &App, team: &TeamId) -> Result<Vec<Webhook>, WebhookError> {
    Ok(app.store.webhooks(team).await?.into_iter().map(|saved| saved.webhook).collect())
}

/// By id or, where the text is no id of a webhook there is, by name.
pub async fn find(app: &App, team: &TeamId, id_or_name: &str) -> Result<Webhook, WebhookError> {
    Ok(read(app, team, id_or_name).await?.webhook)
}

/// Replaces what a user sets. The secret stays, unless how it is shown changes: then it is as for a new webhook.
pub async fn update(
    app: &App,
    team: &TeamId,
    id_or_name: &str,
    config: WebhookConfig,
) -> Result<Webhook, WebhookError> {
    check(app, team, &config).await?;
    let old = read(app, team, id_or_name).await?;
    let new = changed(app, &old.webhook, config)?;
    let new = saved(app.store.update_webhook(&old, &new).await?, new)?;
    look_after(app, &new).await;
    Ok(new)
}

/// Sees to it that its service is asked from now on what it could not deliver, if it is one that can be asked. The sweep does
/// so only for teams that are known to have such a webhook.
pub(crate) async fn look_after(app: &App, webhook: &Webhook) {
    if webhook.config.is_looked_after()
        && let Err(err) = app.store.mark_sought(&webhook.team, app.now()).await
    {
        tracing::warn!(webhook.id = %webhook.id, error = %chain(&err), "what is lost is not looked for; save the webhook again");
    }
}

/// The same as a user wants it.
pub(crate) fn changed(app: &App, old: &Webhook, config: WebhookConfig) -> Result<Webhook, InvalidField> {
    let mut new = Webhook { config, last_updated: app.now(), ..old.clone() };
    if new.config.auth != old.config.auth {
        new.secrets = new.secrets.forgotten();
        new.secrets = next(app, &new, None)?;
    }
    Ok(new)
}

/// Gives it a new secret: the one that its service has shown, or one that is made here. The one before works for a day more.
pub async fn rotate(app: &App, team: &TeamId, id_or_name: &str, secret: Option<&str>) -> Result<Webhook, WebhookError> {
    let old = read(app, team, id_or_name).await?;
    let secrets = next(app, &old.webhook, secret)?;
    if !secrets.is_complete() {
        let reason = "needed: the service makes the secret of this webhook; bring the one that it shows";
        return Err(InvalidField::new("secret", reason).into());
    }
    let new = Webhook { secrets, last_updated: app.now(), ..old.webhook.clone() };
    saved(app.store.update_webhook(&old, &new).await?, new)
}

pub async fn delete(app: &App, team: &TeamId, id_or_name: &str) -> Result<(), WebhookError> {
    let old = read(app, team, id_or_name).await?;
    match app.store.delete_webhook(&old).await? {
        Written::Now => Ok(()),
        Written::Lost => Err(WebhookError::Lost),
    }
}

/// What its service could not deliver, when somebody last looked. None: nobody did.
pub async fn look(app: &App, webhook: &Webhook) -> Result<Option<Look>, WebhookError> {
    match webhook.config.is_looked_after() {
        true => Ok(app.store.look(&webhook.id).await?),
        false => Ok(None),
    }
}

/// The secret to be shown once, if it was made here.
pub fn made_here(app: &App, webhook: &Webhook) -> Option<WebhookSecret> {
    webhook.secrets.made_here(owner(app, webhook))
}

/// Whether this could be stored and used here.
pub(crate) async fn check(app: &App, team: &TeamId, config: &WebhookConfig) -> Result<(), WebhookError> {
    config.check()?;
    let Some(Connection { secret, url, .. }) = &config.connection else { return Ok(()) };
    if let Some(Err(err)) = url.as_ref().map(|url| url.check(app.settings.receivers)) {
        return Err(InvalidField::new("connection.url", err.to_string()).into());
    }
    if app.vault.find(team, secret).await?.is_none() {
        let reason = format!("there is no secret {secret}; create it first, with `oz secret create {secret}`");
        return Err(InvalidField::new("connection.secret", reason).into());
    }
    Ok(())
}

pub(crate) fn owner<'a>(app: &'a App, webhook: &'a Webhook) -> Owner<'a> {
    Owner { key: &app.settings.webhook_key, webhook: &webhook.id, auth: webhook.config.auth }
}

fn next(app: &App, webhook: &Webhook, secret: Option<&str>) -> Result<Secrets, InvalidField> {
    let next = webhook.secrets.with_next(owner(app, webhook), secret, app.clock.random(), app.now());
    next.map_err(|err| {
        let reason = err.to_string();
        InvalidField::new("secret", reason.trim_start_matches("secret: "))
    })
}

async fn read(app: &App, team: &TeamId, id_or_name: &str) -> Result<SavedWebhook, WebhookError> {
    let unknown = || WebhookError::Unknown(id_or_name.chars().take(80).collect());
    let of_team = |found: Option<SavedWebhook>| found.filter(|saved| saved.webhook.team == *team);
    if let Ok(id) = id_or_name.parse::<WebhookId>()
        && let Some(saved) = of_team(app.store.webhook(&id).await?)
    {
        return Ok(saved);
    }
    // Names are at most this long, and a key of a row is at most a KB.
    if id_or_name.is_empty() || id_or_name.len() > 400 {
        return Err(unknown());
    }
    let id = app.store.webhook_named(team, id_or_name).await?.ok_or_else(unknown)?;
    of_team(app.store.webhook(&id).await?).ok_or_else(unknown)
}

fn saved(saved: Saved, webhook: Webhook) -> Result<Webhook, WebhookError> {
    match saved {
        Saved::Now => Ok(webhook),
        Saved::NameTaken => Err(WebhookError::NameTaken(webhook.config.name)),
        Saved::Lost => Err(WebhookError::Lost),
    }
}
