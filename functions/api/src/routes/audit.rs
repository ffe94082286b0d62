//! The audit trail, as stored: what `oz audit verify` proves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use ozma_app::App;
use ozma_domain::id::ExecutionId;

use super::runs::run_id;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::path::Path;
use crate::wire::{AuditIndex, AuditSegment, Problem};

/// The manifest of a run that has ended, and the segments that there are.
#[utoipa::path(
    get,
    path = "/agent/runs/{runId}/audit",
    operation_id = "getRunAudit",
    params(("runId" = String, Path)),
    responses((status = 200, body = AuditIndex), (status = 401, body = Problem), (status = 404, body = Problem)),
    tag = "audit"
)]
pub(crate) async fn trail(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(run): Path<String>,
) -> Result<Json<AuditIndex>, ApiError> {
    let trail = ozma_app::audit::trail(&app, &caller.team, run_id(&run)?).await?;
    let segments = trail.segments.into_iter();
    Ok(Json(AuditIndex {
        sealed: trail.sealed,
        manifest: trail.manifest,
        public_key: trail.public_key,
        segments: segments
            .map(|segment| AuditSegment { key: segment.key, execution: segment.execution, sequence: segment.sequence })
            .collect(),
    }))
}

/// One segment, byte for byte: gzipped JSON lines.
#[utoipa::path(
    get,
    path = "/agent/runs/{runId}/audit/{execution}/{sequence}",
    operation_id = "getRunAuditSegment",
    params(("runId" = String, Path), ("execution" = u32, Path), ("sequence" = u32, Path)),
    responses(
        (status = 200, content_type = "application/gzip", body = Vec<u8>),
        (status = 401, body = Problem),
        (status = 404, body = Problem),
    ),
    tag = "audit"
)]
pub(crate) async fn segment(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((run, execution, sequence)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let no_segment = || ApiError::not_found("there is no such segment");
    let execution = ExecutionId::new(run_id(&run)?, execution.parse().map_err(|_| no_segment())?);
    let sequence = sequence.parse().map_err(|_| no_segment())?;
    let object = ozma_app::audit::segment(&app, &caller.team, execution, sequence).await?;
    Ok(([(header::CONTENT_TYPE, "application/gzip")], object.bytes).into_response())
}
