//! What a run's agent left in its workspace.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// `GET /agent/artifacts/{uid}`. What `data` holds depends on the type; all that there are here are of type `FILE`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactItem {
    pub artifact_type: String,
    pub artifact_uid: String,
    pub created_at: Timestamp,
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
}

/// `GET /agent/runs/{id}/handoff/attachments`. `left_out` is this API's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HandoffAttachments {
    pub attachments: Vec<HandoffAttachment>,
    /// What was changed and is not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutFile>,
}

/// `kind`, `filepath`, `size_bytes`, `sha256` and `base` are this API's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HandoffAttachment {
    pub attachment_id: String,
    /// Takes the same API key as every other call.
    pub download_url: String,
    pub filename: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mime_type: Option<String>,
    /// `patch`, for `git apply` in a repository at `base`, or `file`.
    pub kind: String,
    /// Relative to the folder of the work.
    pub filepath: String,
    pub size_bytes: u64,
    pub sha256: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base: Option<String>,
    #[serde(default)]
    pub executable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOutFile {
    pub filepath: String,
    pub reason: String,
}
