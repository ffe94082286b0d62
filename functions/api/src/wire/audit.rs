//! A run's sealed audit trail.

use ozma_domain::audit::SignedManifest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /agent/runs/{id}/audit`. Each segment's object is at `…/audit/{execution}/{sequence}`: gzip of JSON lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditIndex {
    pub sealed: bool,
    /// A DSSE envelope, once sealed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Object>)]
    pub manifest: Option<SignedManifest>,
    /// The Ed25519 key that signs: 32 bytes in base64.
    pub public_key: String,
    /// What is stored so far, in order.
    pub segments: Vec<AuditSegment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditSegment {
    /// In the archive.
    pub key: String,
    pub execution: u32,
    pub sequence: u32,
}
