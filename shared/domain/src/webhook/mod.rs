//! Webhooks: addresses at which services of the outside tell what happened. What an event starts is said by automations,
//! any number of which may listen.

mod connection;
mod payload;
mod secrets;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use connection::{Connection, github_apps};
pub use payload::{InvalidPayload, Payload};
pub use secrets::{Owner, Secrets};

use crate::id::{TeamId, WebhookId};
use crate::limits;
use crate::provider::{Own, Provider};
use crate::template::InvalidField;
use crate::text;
use crate::webhook_auth::{DeliveryHeader, Scheme, WebhookAuth};

/// A webhook as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    pub id: WebhookId,
    pub team: TeamId,
    pub config: WebhookConfig,
    pub secrets: Secrets,
    pub created_at: Timestamp,
    pub last_updated: Timestamp,
}

/// What a user sets. `name` is unique within the team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookConfig {
    pub name: String,
    pub auth: WebhookAuth,
    /// Whose payloads come. None: anybody's, of which nothing is known but that it is JSON.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider: Option<Provider>,
    /// Takes nothing, as if it were not there.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub paused: bool,
    /// The header by which its sender tells deliveries apart, where that is neither its service's nor ours.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivery_header: Option<DeliveryHeader>,
    /// See [`limits::WEBHOOK_DELIVERIES_PER_MINUTE`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deliveries_per_minute: Option<u32>,
    /// What counts as our own doing there.
    #[serde(skip_serializing_if = "is_default", default)]
    pub own: Own,
    /// How what became of events is answered there. None: nobody is told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection: Option<Connection>,
}

impl WebhookConfig {
    /// Whether this could be stored and used.
    pub fn check(&self) -> Result<(), InvalidField> {
        if !text::is_name(&self.name) {
            return Err(InvalidField::new("name", text::NAME));
        }
        if self.deliveries_per_minute.is_some_and(|most| !(1..=limits::WEBHOOK_DELIVERIES_MAX).contains(&most)) {
            let reason = format!("from 1 to {}", limits::WEBHOOK_DELIVERIES_MAX);
            return Err(InvalidField::new("deliveries_per_minute", reason));
        }
        let known = Provider::of_scheme(self.auth);
        if let (Some(known), Some(given)) = (known, self.provider)
            && known != given
        {
            let reason = format!("what is signed as {known}'s is {known}'s; leave it out");
            return Err(InvalidField::new("provider", reason));
        }
        let Own { logins, app_ids, mention } = &self.own;
        let login = |login: &String| (1..=limits::LOGIN_BYTES).contains(&login.len()) && text::is_name(login);
        if logins.len().max(app_ids.len()) > limits::OWN_ACCOUNTS || !logins.iter().all(login) {
            let reason = format!("at most {} accounts by their logins", limits::OWN_ACCOUNTS);
            return Err(InvalidField::new("own.logins", reason));
        }
        if mention.as_ref().is_some_and(|name| !text::is_name(name) || name.contains(char::is_whitespace)) {
            return Err(InvalidField::new("own.mention", "a name such as @oz"));
        }
        self.connection.as_ref().map_or(Ok(()), |connection| connection.check(self.provider()))
    }

    /// What counts as our own doing there: what the app does that answers is.
    pub fn own(&self) -> Own {
        let mut own = self.own.clone();
        own.app_ids.extend(self.connection.as_ref().and_then(|connection| connection.app_id));
        own
    }

    /// Whose payloads come.
    pub fn provider(&self) -> Option<Provider> {
        self.provider.or_else(|| Provider::of_scheme(self.auth))
    }

    /// Whether there is somebody to ask what could not be delivered, and what payloads do not say: a GitHub App, for itself.
    pub fn is_looked_after(&self) -> bool {
        self.provider() == Some(Provider::Github) && self.connection.as_ref().is_some_and(|c| c.app_id.is_some())
    }

    pub fn deliveries_per_minute(&self) -> u32 {
        self.deliveries_per_minute.unwrap_or(limits::WEBHOOK_DELIVERIES_PER_MINUTE)
    }
}

impl Provider {
    /// Whose payloads come under a scheme, where that says it.
    fn of_scheme(auth: WebhookAuth) -> Option<Self> {
        match auth {
            WebhookAuth::Signature { scheme: Scheme::Github } => Some(Self::Github),
            WebhookAuth::Signature { scheme: Scheme::Gitlab } => Some(Self::Gitlab),
            WebhookAuth::Signature { scheme: Scheme::Jira } => Some(Self::Jira),
            WebhookAuth::Signature { scheme: Scheme::Linear } => Some(Self::Linear),
            WebhookAuth::Signature { scheme: Scheme::Slack } => Some(Self::Slack),
            WebhookAuth::Signature { .. } | WebhookAuth::Token | WebhookAuth::UrlToken => None,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn github() -> WebhookConfig {
        WebhookConfig {
            name: "acme".to_owned(),
            auth: WebhookAuth::Signature { scheme: Scheme::Github },
            provider: None,
            paused: false,
            delivery_header: None,
            deliveries_per_minute: None,
            own: Own::default(),
            connection: None,
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut WebhookConfig), expected: &str) {
        let mut config = github();
        change(&mut config);
        assert_eq!(config.check().map_or_else(|err| err.field, |()| "ok".to_owned()), expected);
    }

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        check(|_| {}, "ok");
        check(|c| c.name = " acme".to_owned(), "name");
        check(|c| c.name = String::new(), "name");
        check(|c| c.deliveries_per_minute = Some(0), "deliveries_per_minute");
        check(|c| c.deliveries_per_minute = Some(100_001), "deliveries_per_minute");
        check(|c| c.provider = Some(Provider::Github), "ok");
        check(|c| c.own.mention = Some("@oz".to_owned()), "ok");
        check(|c| c.own.mention = Some("@oz please".to_owned()), "own.mention");
        check(|c| c.own.logins = vec!["ozma[bot]".to_owned()], "ok");
        check(|c| c.own.logins = vec![String::new()], "own.logins");
        check(|c| c.own.logins = vec!["a".to_owned(); 21], "own.logins");
    }

    #[test]
    fn the_app_that_answers_is_our_own() {
        let connection: Connection = serde_json::from_str(r#"{"secret": "KEY", "app_id": 7}"#).unwrap();
        let config = WebhookConfig { connection: Some(connection), ..github() };
        assert_eq!((config.own().app_ids, github().own().app_ids), (vec![7], vec![]));
    }

    #[test]
    fn a_scheme_says_whose_payloads_come() {
        assert_eq!(github().provider(), Some(Provider::Github));
        let token = WebhookConfig { auth: WebhookAuth::Token, ..github() };
        assert_eq!(token.provider(), None);
        assert_eq!(WebhookConfig { provider: Some(Provider::Github), ..token }.provider(), Some(Provider::Github));
    }
}
