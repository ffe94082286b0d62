//! What a provider is asked and not told: who somebody is, and whose code it is.

use ozma_domain::id::{TeamId, WebhookId};
use ozma_domain::provider::{Origin, Provider};

use super::link::{link, webhook_config};
use super::{Failure, github, in_time};
use crate::App;

/// The address of somebody, as the provider of a webhook has it. None: they have none, or it is not shown.
pub(crate) async fn address_of(
    app: &App,
    team: &TeamId,
    webhook: &WebhookId,
    person: &str,
) -> Result<Option<String>, Failure> {
    let asked = async {
        let config = webhook_config(app, team, webhook).await.map_err(|err| Failure::because(&err))?;
        let link = link(app, team, webhook, config, Provider::Slack).await?;
        Ok(link.to.slack()?.email_of(person).await?)
    };
    in_time(asked).await
}

/// Whose code a pull request brings, as the provider of a webhook has it.
pub(crate) async fn origin_of(
    app: &App,
    team: &TeamId,
    webhook: &WebhookId,
    repository: &str,
    number: u64,
) -> Result<Origin, Failure> {
    let asked = async {
        let config = webhook_config(app, team, webhook).await.map_err(|err| Failure::because(&err))?;
        let link = link(app, team, webhook, config, Provider::Github).await?;
        github::origin(&link, repository, number, app.now()).await
    };
    in_time(asked).await
}
