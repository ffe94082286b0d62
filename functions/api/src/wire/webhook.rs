//! Webhooks, and what comes in at them. They are this API's own.

use jiff::Timestamp;
use ozma_domain::id::{AutomationId, DeliveryId, RunId, WebhookId};
use ozma_domain::provider::Own;
use ozma_domain::redelivery::Look;
use ozma_domain::webhook::Connection;
use ozma_domain::webhook_auth::WebhookAuth;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A webhook as answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    #[schema(value_type = String)]
    pub id: WebhookId,
    pub name: String,
    pub paused: bool,
    /// How a sender shows who it is: `{"mode": "token"}`, `{"mode": "url_token"}` or
    /// `{"mode": "signature", "scheme": "github"}`.
    #[schema(value_type = Object)]
    pub auth: WebhookAuth,
    /// Whose payloads come: `github`, `gitlab`, `slack`, `linear`, `jira`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivery_header: Option<String>,
    pub deliveries_per_minute: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Object>)]
    pub own: Option<Own>,
    /// How what became of events is answered there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Object>)]
    pub connection: Option<Connection>,
    /// What its service could not deliver, when somebody last looked: of one webhook alone, and only with the connection of a
    /// GitHub App.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Object>)]
    pub look: Option<Look>,
    /// Where its sender sends to. With the mode `url_token` it has the token in it, and only where the secret is told.
    pub url: String,
    /// False: its service makes the secret, and has to be asked for it first. Until then nothing is taken.
    pub has_secret: bool,
    /// Only in the answers to creating the webhook and to rotating its secret, and only if it was made here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<String>,
    /// When the secret was last rotated. The one before works for 24 hours from then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret_rotated_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub last_updated: Timestamp,
}

/// What a user sets. It is the body of `POST /webhooks` and of `PUT /webhooks/{id}`, which replaces the whole but the secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct WebhookConfig {
    /// Required, and unique within the team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A paused webhook answers as if it were not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Required: `{"mode": "token"}`, `{"mode": "url_token"}` or `{"mode": "signature", "scheme": "github"}` with one of the
    /// schemes github, gitlab, jira, linear, pagerduty, sentry, slack, `standard_webhooks`, stripe, vercel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub auth: Option<WebhookAuth>,
    /// Whose payloads come, if the scheme does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The header by which its sender tells deliveries apart, if it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_header: Option<String>,
    /// 600 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000)]
    pub deliveries_per_minute: Option<u32>,
    /// What counts as our own doing there, and starts nothing: `{"logins": ["ozma[bot]"], "app_ids": [7], "mention": "@oz"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub own: Option<Own>,
    /// How people are told there what became of events: with `secret`, which names a secret of the team, of GitHub the `app_id`,
    /// of Jira the `account`, and the `url` of an instance of one's own: `{"secret": "GITHUB_APP_KEY", "app_id": 7}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub connection: Option<Connection>,
    /// The secret that its service has made, for `POST` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// `POST /webhooks/{id}/rotate-secret`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RotateSecretRequest {
    /// The secret that its service has made. None: one is made here, if it is ours to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// `GET /webhooks`: all of them by name, in one answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WebhookList {
    pub webhooks: Vec<Webhook>,
}

/// What came in, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    #[schema(value_type = String)]
    pub id: DeliveryId,
    pub received_at: Timestamp,
    /// `webhook`, `automation` (its own address) or `account` (an event of AWS).
    pub source: String,
    /// The id of the webhook or the automation.
    pub source_id: String,
    /// By what its sender tells it apart.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub sender_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider: Option<String>,
    /// What happened, by its name.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub event: String,
    /// Where people see it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    pub bytes: u64,
    /// `accepted`, `not_used` or `rejected`.
    pub verdict: String,
    /// Why it was not used, or not taken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// How a delivery that was not taken was answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// How often it came again.
    pub repeats: u32,
    /// What it waits for before it is decided what it starts: that its provider says who caused it, or whose code it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waits_for: Option<String>,
    pub runs: Vec<DeliveryRun>,
    /// Automations that listen and were not started.
    pub left: Vec<DeliveryLeft>,
    /// What it says is to us and to no agent, and starts nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub word: Option<DeliveryWord>,
    /// What whoever caused it is told, where they said it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply: Option<DeliveryReply>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub replay_of: Option<DeliveryId>,
    /// What it said, as JSON: of one delivery alone, and not of one that was rejected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryRun {
    #[schema(value_type = String)]
    pub automation_id: AutomationId,
    pub automation: String,
    /// A new run, or the one that was told what was said.
    #[schema(value_type = String)]
    pub run_id: RunId,
    /// `owed`, `started`, `followed_up` or `refused`.
    pub state: String,
    /// Why it was refused, or started without secrets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryWord {
    /// `stop`, `status` or `help`.
    pub said: String,
    /// What was done about it. Absent: nothing yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub done: Option<String>,
    /// To which runs.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schema(value_type = Vec<String>)]
    pub run_ids: Vec<RunId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryReply {
    pub text: String,
    /// Whom it is for, as the provider knows them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person: Option<String>,
    /// Whether it is there.
    pub posted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryLeft {
    pub automation: String,
    pub why: String,
}

/// `GET /deliveries`, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryList {
    pub deliveries: Vec<Delivery>,
    /// For the next page: `?before=…`. Absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub before: Option<DeliveryId>,
}
