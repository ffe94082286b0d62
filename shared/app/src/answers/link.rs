//! A connection, made: with the secret that it names, to an address that may be reached.

use ozma_domain::answer::Again;
use ozma_domain::id::{TeamId, WebhookId};
use ozma_domain::provider::{Own, Place, Provider};
use ozma_domain::receiver::ReceiverUrl;
use ozma_domain::text::chain;
use ozma_domain::webhook::Connection;
use ozma_providers::{BaseUrl, Gitlab, Http, Linear, Slack};
use secrecy::SecretString;

use super::{Failure, deleted};
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

/// None: the webhook has no connection.
pub(super) async fn link(
    app: &App,
    team: &TeamId,
    webhook: &WebhookId,
    place: &Place,
) -> Result<Option<Link>, Failure> {
    let found = match app.store.webhook(webhook).await {
        Ok(found) => found,
        Err(err) => return Err(Failure { reason: chain(&err).to_string(), again: Again::Soon }),
    };
    let config = found.filter(|saved| saved.webhook.team == *team).ok_or_else(|| deleted(webhook))?.webhook.config;
    let own = config.own();
    let Some(connection) = config.connection else { return Ok(None) };
    let provider = place.provider();
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
    let secret = match app.vault.get(team, &connection.secret).await {
        Ok(Some(secret)) => secret,
        Ok(None) => {
            let name = &connection.secret;
            return Err(Failure::never(format!("there is no secret {name}; create it with `oz secret create {name}`")));
        }
        Err(err) => return Err(Failure { reason: chain(&err).to_string(), again: Again::Soon }),
    };
    let unreachable = |reason: String| Failure { reason, again: Again::Soon };
    let (client, api) =
        reaching(&url, app.settings.receivers).await.map_err(|err| unreachable(chain(&err).to_string()))?;
    let http = Http::new(client).map_err(Failure::from)?;
    let api = api.as_str().parse().map_err(|err| Failure::never(format!("{err}")))?;
    Ok(Some(Link { http, api, secret, connection, own }))
}
