//! Asking for a run, and adding to one.

use std::collections::BTreeMap;

use ozma_domain::id::RunId;
use ozma_domain::state::RunState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::agent_config::AgentConfig;
use super::scheduling::{Limits, Scheduling};
use super::schemas;

/// `POST /agent/runs` and `/agent/run`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CreateRunRequest {
    /// Required, unless a skill or a conversation says what to do. For the harness `shell`: a bash script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<AgentConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_identity_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// At most 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<Attachment>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_run_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interactive: Option<bool>,
    /// `normal`, `plan` or `orchestrate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// At most 20 pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// When it may start (this API's own).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// What it may take (this API's own).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// The older form of `attachments`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(deprecated)]
    pub images: Option<Vec<Image>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attachment {
    pub file_name: String,
    pub mime_type: String,
    /// In base64.
    pub data: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Image {
    pub mime_type: String,
    /// In base64.
    pub data: String,
}

/// The run was accepted: from here on it will reach an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunCreated {
    #[schema(value_type = String)]
    pub run_id: RunId,
    /// The same value, by its older name.
    #[schema(value_type = String, deprecated)]
    pub task_id: RunId,
    #[schema(schema_with = schemas::run_state)]
    pub state: RunState,
    /// Every slot of the plan is taken; the run waits in the queue.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at_capacity: Option<bool>,
}

/// `POST /agent/runs/{id}/followups`, answered with `{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct FollowupRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `normal`, `plan` or `orchestrate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}
