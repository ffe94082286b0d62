//! Automations: stored requests for a run, started by a webhook or a planned event. They are this API's own.

use jiff::Timestamp;
use ozma_domain::id::AutomationId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::create_run::CreateRunRequest;
use super::scheduling::Budget;
use super::trigger::Trigger;

/// An automation as answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Automation {
    #[schema(value_type = String)]
    pub id: AutomationId,
    pub name: String,
    pub paused: bool,
    /// Why it was paused, if nobody did it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused_because: Option<String>,
    /// Which events start it, beside webhooks to its own address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub on: Option<Trigger>,
    /// The request that each trigger makes.
    pub run: CreateRunRequest,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub weight: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runs_per_hour: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub budget: Option<Budget>,
    /// Where signed webhooks go, by the Standard Webhooks scheme.
    pub webhook_url: String,
    /// What they are signed with. Only in the answers to creating the automation and to rotating its secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub webhook_secret: Option<String>,
    /// When the secret was last rotated. The one before works for 24 hours from then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret_rotated_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub last_updated: Timestamp,
}

/// What a user sets. It is the body of `POST /automations` and of `PUT /automations/{id}`, which replaces the whole but
/// the secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AutomationConfig {
    /// Required, and unique within the team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A paused automation starts nothing, and answers webhooks as if it were not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Which events start it, beside webhooks to its own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Trigger>,
    /// Required. The prompt is a template over the event, unless the harness is `shell`. As for `POST /agent/runs`, with a prompt of at most 32 KiB and without `parent_run_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<CreateRunRequest>,
    /// How often it is served against others of the team, from 1 to 100; the team's `weights.automation` if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub weight: Option<u16>,
    /// Runs that it may start in an hour; with a concurrency key, for each key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub runs_per_hour: Option<u32>,
    /// For all its runs of a month, by UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// `GET /automations`: all of them by name, in one answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AutomationList {
    pub automations: Vec<Automation>,
}
