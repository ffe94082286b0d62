//! What an agent says and does, as it happens.

use ozma_domain::state::RunState;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::schemas;

/// A page of `GET /agent/runs/{id}/events?after=CURSOR&wait=SECONDS`. The answer comes at once when there is something
/// new, else after `wait` seconds at the latest.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Transcript {
    /// The lines of the audit log, byte for byte.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<Box<RawValue>>,
    /// Goes into the next request as `after`. Also given when there is nothing new.
    pub next: String,
    #[schema(schema_with = schemas::run_state)]
    pub state: RunState,
    /// Nothing will ever follow.
    pub ended: bool,
}
