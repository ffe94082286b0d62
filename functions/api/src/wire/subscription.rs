//! Subscriptions: whom to tell when a run changes its state, and what was sent to them. They are this API's own.

use jiff::Timestamp;
use ozma_domain::id::{NotificationId, RunId, SubscriptionId};
use ozma_domain::notification::Progress;
use ozma_domain::subscription::Topic;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A subscription as answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Subscription {
    #[schema(value_type = String)]
    pub id: SubscriptionId,
    pub name: String,
    pub url: String,
    /// Empty: every end of a run.
    #[schema(value_type = Vec<String>)]
    pub events: Vec<Topic>,
    pub paused: bool,
    /// Why it is paused, where nobody did that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused_because: Option<String>,
    /// No attempt has worked since then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failing_since: Option<Timestamp>,
    /// What notifications are signed with, by the Standard Webhooks scheme. Only in the answers to creating the subscription
    /// and to rotating its secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<String>,
    /// When the secret was last rotated. For 24 hours from then, notifications are signed with the one before as well.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret_rotated_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub last_updated: Timestamp,
}

/// What a user sets. It is the body of `POST /subscriptions` and of `PUT /subscriptions/{id}`, which replaces the whole but
/// the secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SubscriptionConfig {
    /// Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Required. Where notifications are posted to, by https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Of `run.queued`, `run.started`, `run.blocked`, `run.succeeded`, `run.failed`, `run.error` and `run.cancelled`. Empty or
    /// absent: every end of a run, which is all but the first two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// It is told nothing, and what is still to be tried is given up when its time comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// `GET /subscriptions`: all of them by name, in one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubscriptionList {
    pub subscriptions: Vec<Subscription>,
}

/// What was sent to a subscription, or is still to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Notification {
    /// What the receiver knows as `webhook-id`.
    #[schema(value_type = String)]
    pub id: NotificationId,
    #[schema(value_type = String)]
    pub event: Topic,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub run_id: Option<RunId>,
    /// `pending`: there is an attempt to come. `delivered`. `dead`: none worked, and there is none to come.
    #[schema(value_type = String)]
    pub state: Progress,
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_attempt_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivered_at: Option<Timestamp>,
    /// Why there is no further attempt, where none worked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The last 20, in order.
    pub attempts: Vec<Attempt>,
}

/// An attempt that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    pub at: Timestamp,
    pub latency_ms: u64,
    /// Of the answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// The beginning of the answer's body, at most 1 KiB.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub body: Option<String>,
    /// Why there was no answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// `GET /subscriptions/{id}/deliveries`: newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotificationList {
    pub deliveries: Vec<Notification>,
    /// The `before` of the next page, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub next_before: Option<NotificationId>,
}
