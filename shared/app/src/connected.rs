//! A connection, made: with the secret that it names, to an address that may be reached.

use ozma_domain::id::{SecretName, TeamId};
use ozma_domain::provider::Provider;
use ozma_domain::receiver::{InvalidUrl, ReceiverUrl};
use ozma_domain::webhook::Connection;
use ozma_providers::{BaseUrl, Error, Gitlab, Http, Jira, Linear, Slack, github};
use secrecy::SecretString;

use crate::App;
use crate::outbound::{PostError, reaching};
use crate::ports::PortError;

/// What a provider's client is made from.
pub(crate) struct Connected {
    http: Http,
    api: BaseUrl,
    secret: SecretString,
    connection: Connection,
}

impl Connected {
    /// The App of GitHub that the connection is by.
    pub(crate) fn github_app(&self) -> Result<github::App, ConnectError> {
        let app_id = self.connection.app_id.ok_or(ConnectError::NoAppId)?;
        let app = github::App::new(self.http.clone(), self.api.clone(), app_id, &self.secret);
        app.map_err(|err| ConnectError::Key(self.connection.secret.clone(), err))
    }

    pub(crate) fn gitlab(&self) -> Gitlab {
        Gitlab::new(self.http.clone(), self.api.clone(), self.secret.clone())
    }

    pub(crate) fn jira(&self) -> Jira {
        let account = self.connection.account.as_deref().unwrap_or_default();
        Jira::new(self.http.clone(), self.api.clone(), account, self.secret.clone())
    }

    pub(crate) fn linear(&self) -> Linear {
        Linear::new(self.http.clone(), self.api.clone(), self.secret.clone())
    }

    pub(crate) fn slack(&self) -> Result<Slack, ConnectError> {
        let hooks = base(Slack::HOOKS)?;
        Ok(Slack::new(self.http.clone(), self.api.clone(), hooks, self.secret.clone()))
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the webhook's connection has no address of the site")]
    NoAddress,
    #[error("{0}: {1}")]
    Address(&'static str, InvalidUrl),
    #[error("{0}")]
    Base(String),
    #[error("there is no secret {0}; create it with `oz secret create {0}`")]
    NoSecret(SecretName),
    #[error("the webhook's connection has no app_id")]
    NoAppId,
    #[error("{0}: {1}")]
    Key(SecretName, github::InvalidKey),
    #[error("the vault did not answer")]
    Vault(#[from] PortError),
    #[error(transparent)]
    OutOfReach(#[from] PostError),
    #[error(transparent)]
    Http(#[from] Error),
}

/// Connects to a service of `provider` with a secret of the team.
pub(crate) async fn connect(
    app: &App,
    team: &TeamId,
    provider: Provider,
    connection: &Connection,
) -> Result<Connected, ConnectError> {
    let default = match provider {
        Provider::Github => Some("https://api.github.com"),
        Provider::Gitlab => Some(Gitlab::HOST),
        Provider::Jira => None,
        Provider::Linear => Some(Linear::API),
        Provider::Slack => Some(Slack::API),
    };
    let url: ReceiverUrl = match (&connection.url, default) {
        (Some(url), _) => url.clone(),
        (None, Some(url)) => url.parse().map_err(|err| ConnectError::Address(url, err))?,
        (None, None) => return Err(ConnectError::NoAddress),
    };
    let secret = app.vault.get(team, &connection.secret).await?;
    let secret = secret.ok_or_else(|| ConnectError::NoSecret(connection.secret.clone()))?;
    let (client, api) = reaching(&url, app.settings.receivers).await?;
    let http = Http::new(client)?;
    Ok(Connected { http, api: base(api.as_str())?, secret, connection: connection.clone() })
}

fn base(url: &str) -> Result<BaseUrl, ConnectError> {
    url.parse().map_err(|err| ConnectError::Base(format!("{err}")))
}
