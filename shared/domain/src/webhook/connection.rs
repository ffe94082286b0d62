//! Connections: how Ozma speaks at the service whose events a webhook takes.

use serde::{Deserialize, Serialize};

use crate::id::SecretName;
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
}

fn is_address(text: &str) -> bool {
    let (name, host) = text.split_once('@').unwrap_or_default();
    let plain = text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains(':');
    plain && text.len() <= limits::LOGIN_BYTES * 2 && !name.is_empty() && host.contains('.') && !host.contains('@')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

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
}
