//! Artifacts: what a run's agent left in its workspace, as files to download.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use ozma_app::App;
use ozma_app::artifacts::{self, Saved};
use ozma_domain::artifact::{ArtifactId, SavedFile, SavedKind, SavedSet};
use ozma_domain::id::{ExecutionId, TeamId};
use serde_json::{Map, Value, json};

use super::runs::run_id;
use crate::auth::Caller;
use crate::base_url::BaseUrl;
use crate::error::ApiError;
use crate::path::Path;
use crate::wire::{Artifact, ArtifactItem, HandoffAttachment, HandoffAttachments, LeftOutFile, Problem};

/// The address of a download does not end; clients want to know that it lives for a while.
const DOWNLOADABLE: SignedDuration = SignedDuration::from_hours(24);

/// The files that the latest execution left which saved some. Each begins with those of the one before.
#[utoipa::path(
    get,
    path = "/agent/runs/{runId}/handoff/attachments",
    operation_id = "listHandoffAttachments",
    params(("runId" = String, Path)),
    responses((status = 200, body = HandoffAttachments), (status = 401, body = Problem), (status = 404, body = Problem)),
    tag = "artifacts"
)]
pub(crate) async fn attachments(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
    Path(run): Path<String>,
) -> Result<Json<HandoffAttachments>, ApiError> {
    let id = run_id(&run)?;
    let run = app.store.run(id).await?.filter(|run| run.team == caller.team);
    let run = run.ok_or_else(|| ApiError::not_found(format!("there is no run {id}")))?;
    let Some(Saved { execution, set }) = artifacts::latest(&app, &run).await? else {
        return Ok(Json(HandoffAttachments::default()));
    };
    let left_out = set.left_out.iter();
    let left_out = left_out.map(|left| LeftOutFile { filepath: left.path.clone(), reason: left.reason.clone() });
    Ok(Json(HandoffAttachments {
        left_out: left_out.collect(),
        attachments: set.files.iter().map(|file| attachment(&base, execution_file(execution, file), file)).collect(),
    }))
}

/// One artifact, with the address of its content.
#[utoipa::path(
    get,
    path = "/agent/artifacts/{artifactUid}",
    operation_id = "getArtifact",
    params(("artifactUid" = String, Path)),
    responses((status = 200, body = ArtifactItem), (status = 401, body = Problem), (status = 404, body = Problem)),
    tag = "artifacts"
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
    Path(uid): Path<String>,
) -> Result<Json<ArtifactItem>, ApiError> {
    let artifacts::Artifact { id, file, set } = find(&app, &caller.team, &uid).await?;
    let now = app.clock.now();
    let mut data = data(id, &file);
    data.remove("artifact_uid");
    let content_type = data.remove("mime_type").unwrap_or_default();
    data.insert("content_type".to_owned(), content_type);
    data.insert("download_url".to_owned(), download_url(&base, id).into());
    data.insert("expires_at".to_owned(), json!(now.checked_add(DOWNLOADABLE).unwrap_or(Timestamp::MAX)));
    Ok(Json(ArtifactItem {
        artifact_type: "FILE".to_owned(),
        artifact_uid: id.to_string(),
        created_at: set.saved_at.unwrap_or(now),
        data,
    }))
}

/// The content of an artifact: as gzip for those who take that, which all of it is small enough for, else as it is.
#[utoipa::path(
    get,
    path = "/agent/artifacts/{artifactUid}/download",
    operation_id = "downloadArtifact",
    params(("artifactUid" = String, Path)),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 401, body = Problem),
        (status = 404, body = Problem),
    ),
    tag = "artifacts"
)]
pub(crate) async fn download(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(uid): Path<String>,
) -> Result<Response, ApiError> {
    let artifact = find(&app, &caller.team, &uid).await?;
    let object = artifacts::read(&app, &caller.team, &artifact).await?;
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Whatever an agent wrote is shown by no browser as a page of ours.
    let kept = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
    ];
    if accepted.split(',').any(|coding| coding.trim().starts_with("gzip")) {
        return Ok((kept, [(header::CONTENT_ENCODING, "gzip")], object.bytes).into_response());
    }
    Ok((kept, artifacts::content(&artifact, &object)?).into_response())
}

/// As a run lists them.
pub(crate) fn of_run(saved: &Saved) -> Vec<Artifact> {
    let Saved { execution, set: SavedSet { saved_at, files, .. } } = saved;
    let artifact = |file: &SavedFile| Artifact {
        artifact_type: "FILE".to_owned(),
        created_at: saved_at.unwrap_or_default(),
        data: data(execution_file(*execution, file), file),
    };
    files.iter().map(artifact).collect()
}

fn execution_file(execution: ExecutionId, file: &SavedFile) -> ArtifactId {
    ArtifactId { execution, number: file.number }
}

fn data(id: ArtifactId, file: &SavedFile) -> Map<String, Value> {
    let data = json!({
        "artifact_uid": id.to_string(),
        "filepath": file.path,
        "filename": filename(file),
        "mime_type": mime_type(file),
        "size_bytes": file.bytes,
    });
    let Value::Object(mut data) = data else { return Map::new() };
    if let SavedKind::Patch { folder, base } = &file.kind {
        data.insert("title".to_owned(), format!("Changes in {folder}").into());
        data.insert("description".to_owned(), format!("git apply, at commit {base}").into());
    }
    data
}

fn attachment(base: &BaseUrl, id: ArtifactId, file: &SavedFile) -> HandoffAttachment {
    let (kind, commit, executable) = match &file.kind {
        SavedKind::Patch { base, .. } => ("patch", Some(base.clone()), false),
        SavedKind::File { executable } => ("file", None, *executable),
    };
    HandoffAttachment {
        attachment_id: id.to_string(),
        download_url: download_url(base, id),
        filename: filename(file).to_owned(),
        mime_type: Some(mime_type(file).to_owned()),
        kind: kind.to_owned(),
        filepath: file.path.clone(),
        size_bytes: file.bytes,
        sha256: file.sha256.clone(),
        base: commit,
        executable,
    }
}

fn download_url(BaseUrl(base): &BaseUrl, id: ArtifactId) -> String {
    format!("{base}/api/v1/agent/artifacts/{id}/download")
}

fn filename(file: &SavedFile) -> &str {
    file.path.rsplit('/').next().unwrap_or(&file.path)
}

/// Nobody looked inside a file.
fn mime_type(file: &SavedFile) -> &'static str {
    match file.kind {
        SavedKind::Patch { .. } => "text/x-diff",
        SavedKind::File { .. } => "application/octet-stream",
    }
}

async fn find(app: &App, team: &TeamId, uid: &str) -> Result<artifacts::Artifact, ApiError> {
    let id = uid.parse().map_err(|_| ApiError::not_found("there is no such artifact"))?;
    Ok(artifacts::find(app, team, id).await?)
}
