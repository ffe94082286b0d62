//! Whether the control plane answers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /health`, without a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    pub version: String,
    /// The plan of a local control plane.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<String>,
}
