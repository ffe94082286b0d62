//! Who is asking, and what the plan allows.

use ozma_domain::id::TeamId;
use ozma_domain::plan::Plan;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /agent/whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    #[schema(value_type = String)]
    pub team: TeamId,
    pub plan: PlanItem,
    /// The name of the API key.
    pub key_name: String,
    pub api_version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanItem {
    pub name: String,
    pub concurrent_agents: u16,
    pub vcpus: u32,
    pub memory_mib: u64,
}

impl From<&Plan> for PlanItem {
    fn from(plan: &Plan) -> Self {
        Self {
            name: plan.name.clone(),
            concurrent_agents: plan.concurrent_agents,
            vcpus: plan.size.vcpus,
            memory_mib: plan.size.memory_mib,
        }
    }
}
