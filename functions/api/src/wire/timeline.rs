//! A run's milestones: what answers "why was it slow?".

use jiff::Timestamp;
use ozma_domain::id::ExecutionId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// `GET /agent/runs/{id}/timeline`, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    pub events: Vec<TimelineEvent>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEvent {
    pub event_uuid: String,
    pub event_type: TimelineEventType,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub execution_id: Option<ExecutionId>,
    pub occurred_at: Timestamp,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub payload: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimelineEventType {
    OzRunCreated,
    OzRunClaimed,
    WorkerContainerReady,
    AgentStarted,
    OzRunDone,
    OzRunBlocked,
    OzRunCancelled,
    OzRunFailed,
    OzRunErrored,
    VmShutdown,
}
