//! A run as answered, and the list of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ozma_domain::error_code::ErrorCode;
use ozma_domain::id::RunId;
use ozma_domain::run::{Isolation, RunSource};
use ozma_domain::state::RunState;
use ozma_domain::waiting::WaitingFor;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::agent_config::AgentConfig;
use super::profile::{Scope, UserProfile};
use super::repository::Repository;
use super::scheduling::{Limits, Scheduling};
use super::schemas;

/// `GET /agent/runs/{id}`. `queue`, `isolation`, `attempt`, `ended_at` and `repositories` are this API's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunItem {
    #[schema(value_type = String)]
    pub run_id: RunId,
    /// The same value, by its older name.
    #[schema(value_type = String, deprecated)]
    pub task_id: RunId,
    pub title: String,
    #[schema(schema_with = schemas::run_state)]
    pub state: RunState,
    /// Empty when a skill alone says what to do.
    pub prompt: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the agent first began to work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status_message: Option<StatusMessage>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(schema_with = schemas::run_source)]
    pub source: Option<RunSource>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub execution_location: Option<ExecutionLocation>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schedule: Option<ScheduleSnapshot>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session_link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub conversation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trigger_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub parent_run_id: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub creator: Option<UserProfile>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub executor: Option<UserProfile>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_config: Option<AgentConfig>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_skill: Option<AgentSkill>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifacts: Option<Vec<Artifact>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_usage: Option<RequestUsage>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub is_sandbox_running: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub is_run_type_cancellable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// An ISO 8601 duration.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(example = "PT2M30S")]
    pub run_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<Scope>,
    /// On queued runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queue: Option<QueuePlace>,
    /// How the current or last execution is kept apart from its machine.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(schema_with = schemas::isolation)]
    pub isolation: Option<Isolation>,
    /// The number of the current or last execution, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt: Option<u32>,
    /// Those asked for with the run, and those of its environment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repositories: Option<Vec<Repository>>,
    /// Whether people are told how it stands where it was asked for (this API's own, and of one run alone).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<RunAnswer>,
    /// When it may start (this API's own).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scheduling: Option<Scheduling>,
    /// What it may take (this API's own).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limits: Option<Limits>,
}

/// What became of telling people how a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunAnswer {
    /// Something was told.
    pub told: bool,
    /// Why the last step could not be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
    /// When it is tried again. Absent: not this step any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_at: Option<Timestamp>,
}

/// The last word on a run's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusMessage {
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(schema_with = schemas::error_code)]
    pub error_code: Option<ErrorCode>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retryable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session_debug_until: Option<Timestamp>,
}

/// Why a queued run waits, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueuePlace {
    /// 1 is next: in the queue of the team, or in line for the concurrency key.
    pub position: u64,
    /// There are more ahead than were counted.
    pub at_least: bool,
    /// What holds it: `start` (nothing), `plan`, `key`, `capacity`, `schedule`, `retry`, `budget` or `pause`.
    #[serde(default)]
    #[schema(schema_with = schemas::waiting_for)]
    pub waiting_for: WaitingFor,
    /// The same for people.
    #[serde(default)]
    pub reason: String,
    /// By how long the team's runs took lately. Absent where nothing can be told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub estimated_start_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExecutionLocation {
    Local,
    Remote,
}

/// The schedule that started the run, as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleSnapshot {
    pub schedule_id: String,
    pub schedule_name: String,
    pub cron_schedule: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AgentSkill {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundled_skill_id: Option<String>,
}

/// Something the agent made. What `data` holds depends on the type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// `PLAN`, `PULL_REQUEST`, `SCREENSHOT`, `FILE` or `EXTERNAL_REFERENCE`.
    pub artifact_type: String,
    pub created_at: Timestamp,
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
}

/// What the run has used. `…_cost` are credits, `…_usd` dollars.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RequestUsage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_cost_usd: Option<f64>,
    /// As the harness reported them (this API's own).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Of compute, over all executions (this API's own).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_seconds: Option<u64>,
    /// What the same compute would cost on Fargate (this API's own).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_fargate_usd: Option<f64>,
}

/// `GET /agent/runs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunList {
    pub runs: Vec<RunItem>,
    pub page_info: PageInfo,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageInfo {
    pub has_next_page: bool,
    /// Opaque; goes into the next request as `cursor`, beside the same filters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_cursor: Option<String>,
}
