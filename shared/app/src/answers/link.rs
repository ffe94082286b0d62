//! The connection of the webhook by which a run was asked for.

use ozma_domain::id::{TeamId, WebhookId};
use ozma_domain::provider::{Own, Provider};
use ozma_domain::webhook::WebhookConfig;
use ozma_store::StoreError;

use super::Failure;
use crate::App;
use crate::connected::{ConnectError, Connected, connect};

/// To whom, and as whom, it is said.
pub(super) struct Link {
    pub(super) to: Connected,
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
    Ok(Link { to: connect(app, team, provider, &connection).await?, own })
}

impl From<ConnectError> for Failure {
    fn from(err: ConnectError) -> Self {
        use ConnectError as E;
        match err {
            E::Http(err) => err.into(),
            E::Vault(_) | E::OutOfReach(_) => Self::because(&err),
            E::NoAddress | E::Address(..) | E::Base(_) | E::NoSecret(_) | E::NoAppId | E::Key(..) => {
                Self::never(err.to_string())
            }
        }
    }
}
