//! Connections: how Ozma speaks at the service whose events a webhook takes.

use serde::{Deserialize, Serialize};

use super::Webhook;
use crate::id::{SecretName, WebhookId};
use crate::limits;
use crate::provider::Provider;
use crate::receiver::ReceiverUrl;
use crate::template::InvalidField;

/// As whom Ozma answers there, and with which secret.
///
/// | provider | `secret` holds | besides |
/// | --- | --- | --- |
/// | GitHub | the private key of an App, as the PEM file that GitHub gave | `app_id`; `url` of an Enterprise Server's API |
/// | GitLab | an access token with the scope `api` | `url` of an instance of one's own |
/// | Jira | an API token | `account`, `url` of the site |
/// | Linear | a token of an app | |
/// | Slack | the token of a bot | |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// A secret of the team, by its name.
    pub secret: SecretName,
    /// Of a GitHub App.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub app_id: Option<u64>,
    /// The e-mail address of whom an API token of Jira is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<String>,
    /// Where its API begins, where that is not the provider's own: `https://acme.atlassian.net`,
    /// `https://git.example.com/api/v3`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<ReceiverUrl>,
}

impl Connection {
    /// Whether this could be a connection to `provider`.
    pub fn check(&self, provider: Option<Provider>) -> Result<(), InvalidField> {
        let invalid = |field: &str, reason: &str| Err(InvalidField::new(format!("connection.{field}"), reason));
        let Some(provider) = provider else {
            return Err(InvalidField::new("connection", "only where a provider's events come; give the provider too"));
        };
        match (provider, self.app_id) {
            (Provider::Github, None | Some(0)) => {
                return invalid("app_id", "needed: the number that GitHub shows as the App's ID");
            }
            (Provider::Github, Some(_)) | (_, None) => {}
            (_, Some(_)) => return invalid("app_id", "only GitHub's apps have one here"),
        }
        match (provider, &self.account) {
            (Provider::Jira, Some(account)) if is_address(account) => {}
            (Provider::Jira, _) => {
                return invalid("account", "needed: the e-mail address of the account whose API token it is");
            }
            (_, None) => {}
            (_, Some(_)) => return invalid("account", "only Jira's tokens are used with an account"),
        }
        let Some(url) = &self.url else {
            return match provider {
                Provider::Jira => invalid("url", "needed: the address of the site, such as https://acme.atlassian.net"),
                _ => Ok(()),
            };
        };
        if url.as_str().contains('?') {
            return invalid("url", "without a query");
        }
        match provider {
            Provider::Github | Provider::Gitlab | Provider::Jira => Ok(()),
            Provider::Linear | Provider::Slack if url.is_loopback() => Ok(()),
            Provider::Linear | Provider::Slack => invalid("url", "this service has one address; leave it out"),
        }
    }

    /// Where the repositories are whose API it is, of a connection to GitHub: `https://github.com`, or the origin of an
    /// Enterprise Server. Enterprise Cloud with data residency has its API at `api.` before the host of its repositories.
    pub fn github_origin(&self) -> String {
        let url = self.url.as_ref().map_or("https://api.github.com", ReceiverUrl::as_str);
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
        let authority = authority.strip_suffix(if scheme == "https" { ":443" } else { ":80" }).unwrap_or(&authority);
        let host = match authority.strip_prefix("api.") {
            Some(host) if host == "github.com" || host.ends_with(".ghe.com") => host,
            _ => authority,
        };
        format!("{scheme}://{host}")
    }
}

/// The connections that may give tokens for GitHub's repositories at `origin` (`https://github.com`), in the order in which
/// they are to be tried: that of the webhook which started the run first, then by the webhooks' names. An App with its key
/// is there once.
pub fn github_apps<'a>(
    webhooks: impl IntoIterator<Item = &'a Webhook>,
    started_by: Option<&WebhookId>,
    origin: &str,
) -> Vec<&'a Connection> {
    let mut found: Vec<(bool, &str, &Connection)> = webhooks
        .into_iter()
        .filter(|webhook| webhook.config.provider() == Some(Provider::Github))
        .filter_map(|webhook| {
            let connection = webhook.config.connection.as_ref()?;
            Some((started_by != Some(&webhook.id), webhook.config.name.as_str(), connection))
        })
        .filter(|(_, _, connection)| connection.app_id.is_some() && connection.github_origin() == origin)
        .collect();
    found.sort_by_key(|(other, name, _)| (*other, *name));
    let mut apps: Vec<&Connection> = Vec::new();
    for (_, _, connection) in found {
        let known = |app: &&Connection| app.app_id == connection.app_id && app.secret == connection.secret;
        if !apps.iter().any(known) {
            apps.push(connection);
        }
    }
    apps
}

fn is_address(text: &str) -> bool {
    let (name, host) = text.split_once('@').unwrap_or_default();
    let plain = text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains(':');
    plain && text.len() <= limits::LOGIN_BYTES * 2 && !name.is_empty() && host.contains('.') && !host.contains('@')
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::Own;
    use crate::webhook::{Secrets, WebhookConfig};
    use crate::webhook_auth::{Scheme, WebhookAuth};

    #[track_caller]
    fn check(provider: Option<Provider>, value: Value, expected: &str) {
        let connection: Connection = serde_json::from_value(value).unwrap();
        let told = connection.check(provider).map_or_else(|err| err.field, |()| "ok".to_owned());
        assert_eq!(told, expected);
    }

    #[test]
    fn what_a_provider_needs_is_asked_for_by_field() {
        let (github, gitlab, jira) = (Some(Provider::Github), Some(Provider::Gitlab), Some(Provider::Jira));
        check(None, json!({"secret": "TOKEN"}), "connection");
        check(github, json!({"secret": "KEY", "app_id": 7}), "ok");
        check(github, json!({"secret": "KEY", "app_id": 7, "url": "https://git.example.com/api/v3"}), "ok");
        check(github, json!({"secret": "KEY", "app_id": 7, "url": "https://git.example.com/?a=b"}), "connection.url");
        check(github, json!({"secret": "KEY"}), "connection.app_id");
        check(github, json!({"secret": "KEY", "app_id": 0}), "connection.app_id");
        check(github, json!({"secret": "KEY", "app_id": 7, "account": "a@b.example"}), "connection.account");
        check(gitlab, json!({"secret": "TOKEN"}), "ok");
        check(gitlab, json!({"secret": "TOKEN", "app_id": 7}), "connection.app_id");
        let site = "https://acme.atlassian.net";
        check(jira, json!({"secret": "TOKEN", "account": "ann@acme.example", "url": site}), "ok");
        check(jira, json!({"secret": "TOKEN", "account": "ann", "url": site}), "connection.account");
        check(jira, json!({"secret": "TOKEN", "account": "ann:b@acme.example", "url": site}), "connection.account");
        check(jira, json!({"secret": "TOKEN", "account": "ann@acme.example"}), "connection.url");
        check(Some(Provider::Slack), json!({"secret": "TOKEN"}), "ok");
        check(Some(Provider::Slack), json!({"secret": "TOKEN", "url": "https://slack.example"}), "connection.url");
        check(Some(Provider::Linear), json!({"secret": "TOKEN", "url": "http://127.0.0.1:9/"}), "ok");
    }
    #[test]
    fn a_connection_is_to_the_host_whose_api_it_knows() {
        #[track_caller]
        fn check(url: Option<&str>, expected: &str) {
            let connection: Connection = serde_json::from_value(json!({"secret": "KEY", "url": url})).unwrap();
            assert_eq!(connection.github_origin(), expected);
        }
        check(None, "https://github.com");
        check(Some("https://api.github.com"), "https://github.com");
        check(Some("https://API.github.com:443/"), "https://github.com");
        check(Some("https://git.example.com/api/v3"), "https://git.example.com");
        check(Some("https://git.example.com:8443/api/v3"), "https://git.example.com:8443");
        check(Some("https://api.acme.ghe.com"), "https://acme.ghe.com");
        check(Some("https://api.example.com/api/v3"), "https://api.example.com");
        check(Some("http://127.0.0.1:9/"), "http://127.0.0.1:9");
    }

    fn webhook(id: u8, name: &str, scheme: Scheme, connection: Value) -> Webhook {
        let connection = serde_json::from_value(connection).unwrap();
        let config = WebhookConfig {
            name: name.to_owned(),
            auth: WebhookAuth::Signature { scheme },
            provider: None,
            paused: false,
            delivery_header: None,
            deliveries_per_minute: None,
            own: Own::default(),
            connection,
        };
        let (team, at) = ("acme".parse().unwrap(), Timestamp::UNIX_EPOCH);
        let id = WebhookId::new([id; 16]);
        Webhook { id, team, config, secrets: Secrets::default(), created_at: at, last_updated: at }
    }

    #[test]
    fn the_app_of_the_webhook_that_started_the_run_comes_first() {
        let app = |id: u64| json!({"secret": "KEY", "app_id": id});
        let webhooks = [
            webhook(1, "web", Scheme::Github, app(3)),
            webhook(2, "api", Scheme::Github, app(2)),
            webhook(3, "again", Scheme::Github, app(3)),
            webhook(4, "lab", Scheme::Gitlab, json!({"secret": "TOKEN"})),
            webhook(5, "mute", Scheme::Github, json!(null)),
            webhook(6, "own", Scheme::Github, json!({"secret": "KEY", "app_id": 9, "url": "https://g.example/api/v3"})),
        ];
        let check = |started_by: Option<u8>, origin: &str, expected: &[u64]| {
            let started_by = started_by.map(|id| WebhookId::new([id; 16]));
            let apps = github_apps(&webhooks, started_by.as_ref(), origin);
            assert_eq!(apps.iter().filter_map(|app| app.app_id).collect::<Vec<_>>(), expected);
        };
        check(None, "https://github.com", &[3, 2]);
        check(Some(1), "https://github.com", &[3, 2]);
        check(Some(2), "https://github.com", &[2, 3]);
        check(Some(4), "https://github.com", &[3, 2]);
        check(Some(1), "https://g.example", &[9]);
        check(None, "https://gitlab.com", &[]);
    }
}
