//! A connection, made: with the secret that it names, to an address that may be reached.

use ozma_domain::id::{TeamId, WebhookId};
use ozma_domain::provider::{Own, Provider};
use ozma_domain::receiver::ReceiverUrl;
use ozma_domain::webhook::{Connection, WebhookConfig};
use ozma_providers::{BaseUrl, Gitlab, Http, Linear, Slack};
use ozma_store::StoreError;
use secrecy::SecretString;

use super::Failure;
use crate::App;
use crate::outbound::reaching;

/// What a provider's client is made from.
pub(super) struct Link {
    pub(super) http: Http,
    pub(super) api: BaseUrl,
    pub(super) secret: SecretString,
    pub(super) connection: Connection,
    pub(super) own: Own,
}

/// None: the webhook was deleted.
pub(super) async fn webhook_config(
    app: &App,
    team: &TeamId,
    webhook: &WebhookId,
) -> Result<Option<WebhookConfig>, StoreError> {
    let found = app.store.webhook(webhook).await?.map(|saved| saved.webhook);
    Ok(found.filter(|webhook| webhook.team == *team).map(|webhook| webhook.config))
}

/// Of a webhook with that configuration.
pub(super) async fn link(
    app: &App,
    team: &TeamId,
    webhook: &WebhookId,
    config: Option<WebhookConfig>,
    provider: Provider,
) -> Result<Link, Failure> {
    let config = config.ok_or_else(|| Failure::never(format!("the webhook {webhook} was deleted")))?;
    let own = config.own();
    let connection =
        config.connection.ok_or_else(|| Failure::never(format!("the webhook {webhook} answers nobody")))?;
    let default = match provider {
        Provider::Github => Some("https://api.github.com"),
        Provider::Gitlab => Some(Gitlab::HOST),
        Provider::Jira => None,
        Provider::Linear => Some(Linear::API),
        Provider::Slack => Some(Slack::API),
    };
    let url: ReceiverUrl = match (&connection.url, default) {
        (Some(url), _) => url.clone(),
        (None, Some(url)) => url.parse().map_err(|err| Failure::never(format!("{url}: {err}")))?,
        (None, None) => return Err(Failure::never("the webhook's connection has no address of the site")),
    };
    let name = &connection.secret;
    let missing = || Failure::never(format!("there is no secret {name}; create it with `oz secret create {name}`"));
    let secret = app.vault.get(team, name).await.map_err(|err| Failure::because(&err))?.ok_or_else(missing)?;
    let (client, api) = reaching(&url, app.settings.receivers).await.map_err(|err| Failure::because(&err))?;
    let http = Http::new(client)?;
    let api = api.as_str().parse().map_err(|err| Failure::never(format!("{err}")))?;
    Ok(Link { http, api, secret, connection, own })
}
