//! The API that agents use: a function of its own, with rights of its own. The calls are in
//! [`ozma_domain::protocol`]. Exports its router, so that `oz up` serves the very same routes as the Lambda.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use ozma_app::App;
use ozma_app::executions::{self, Beside, ExecutionError};
use ozma_domain::artifact::SavedSet;
use ozma_domain::id::ExecutionId;
use ozma_domain::limits;
use ozma_domain::protocol::{
    Assignment, AwsCredentials, Claim, GitCredentials, GitQuestion, Messages, RECEIPT_HEADER, Reply, Report,
    USAGE_HEADER, Usage,
};
use ozma_domain::pull_request::Reported;
use ozma_domain::text::chain;
use serde_json::json;

type Answer<T> = Result<Json<T>, Refusal>;

/// Every route under `/executions`.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/executions/{execution}/claim", post(claim))
        .route("/executions/{execution}/start", post(start))
        .route("/executions/{execution}/segments/{sequence}", put(segment))
        .route("/executions/{execution}/outputs/{command}/{part}", put(output))
        .route("/executions/{execution}/workspace", put(save_set))
        .route("/executions/{execution}/workspace/{number}", put(save_file))
        .route("/executions/{execution}/workspace/{from}/{number}", get(saved_file))
        .route("/executions/{execution}/messages", get(messages))
        .route("/executions/{execution}/aws-credentials", get(aws_credentials))
        .route("/executions/{execution}/git-credentials", post(git_credentials))
        .route("/executions/{execution}/pull-requests", post(report_pull_request))
        .route("/executions/{execution}/finish", post(finish))
        .with_state(app)
}

async fn claim(State(app): State<Arc<App>>, Path(execution): Path<String>, body: Body) -> Answer<Assignment> {
    let claim: Claim = json(body).await?;
    Ok(Json(executions::claim(&app, id(&execution)?, &claim).await?))
}

async fn start(State(app): State<Arc<App>>, Path(execution): Path<String>, headers: HeaderMap) -> Answer<Reply> {
    Ok(Json(executions::start(&app, id(&execution)?, &token(&headers)?).await?))
}

async fn segment(
    State(app): State<Arc<App>>,
    Path((execution, sequence)): Path<(String, u32)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Reply> {
    let (execution, token) = (id(&execution)?, token(&headers)?);
    let body = bytes(body, limits::SEGMENT_BYTES).await?;
    let last_message = query.get("after").map(String::as_str).unwrap_or_default();
    let receipt = headers.get(RECEIPT_HEADER).and_then(|value| value.to_str().ok());
    let beside = Beside { last_message, receipt, usage: usage(&headers)? };
    Ok(Json(executions::segment(&app, execution, &token, sequence, &body, beside).await?))
}

async fn output(
    State(app): State<Arc<App>>,
    Path((execution, command, part)): Path<(String, u32, u32)>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Reply> {
    let (execution, token) = (id(&execution)?, token(&headers)?);
    let body = bytes(body, limits::OUTPUT_PART_BYTES).await?;
    Ok(Json(executions::output(&app, execution, &token, (command, part), &body).await?))
}

async fn save_file(
    State(app): State<Arc<App>>,
    Path((execution, number)): Path<(String, u32)>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Reply> {
    let (execution, token) = (id(&execution)?, token(&headers)?);
    let body = bytes(body, limits::SAVED_FILE_BYTES).await?;
    Ok(Json(executions::save_file(&app, execution, &token, number, body).await?))
}

async fn save_set(
    State(app): State<Arc<App>>,
    Path(execution): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Reply> {
    let (execution, token) = (id(&execution)?, token(&headers)?);
    let set: SavedSet = json(body).await?;
    Ok(Json(executions::save_set(&app, execution, &token, &set).await?))
}

async fn saved_file(
    State(app): State<Arc<App>>,
    Path((execution, from, number)): Path<(String, u32, u32)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let file = executions::saved_file(&app, id(&execution)?, &token(&headers)?, from, number).await?;
    Ok(([(header::CONTENT_TYPE, "application/gzip")], file).into_response())
}

async fn messages(
    State(app): State<Arc<App>>,
    Path(execution): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Answer<Messages> {
    let after = query.get("after").map(String::as_str).unwrap_or_default();
    Ok(Json(executions::messages(&app, id(&execution)?, &token(&headers)?, after).await?))
}

async fn aws_credentials(
    State(app): State<Arc<App>>,
    Path(execution): Path<String>,
    headers: HeaderMap,
) -> Answer<AwsCredentials> {
    Ok(Json(executions::aws_credentials(&app, id(&execution)?, &token(&headers)?).await?))
}

async fn git_credentials(
    State(app): State<Arc<App>>,
    Path(execution): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<GitCredentials> {
    let (execution, token) = (id(&execution)?, token(&headers)?);
    let question: GitQuestion = json(body).await?;
    Ok(Json(executions::git_credentials(&app, execution, &token, &question).await?))
}

async fn report_pull_request(
    State(app): State<Arc<App>>,
    Path(execution): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Reply> {
    let (execution, token) = (id(&execution)?, token(&headers)?);
    let reported: Reported = json(body).await?;
    Ok(Json(executions::report_pull_request(&app, execution, &token, &reported).await?))
}

async fn finish(
    State(app): State<Arc<App>>,
    Path(execution): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Reply> {
    let (execution, token) = (id(&execution)?, token(&headers)?);
    let report: Report = json(body).await?;
    Ok(Json(executions::finish(&app, execution, &token, &report).await?))
}

fn usage(headers: &HeaderMap) -> Result<Option<Usage>, ExecutionError> {
    let Some(value) = headers.get(USAGE_HEADER) else { return Ok(None) };
    let usage = serde_json::from_slice(value.as_bytes());
    usage.map(Some).map_err(|err| ExecutionError::Malformed(format!("{USAGE_HEADER}: {err}")))
}

fn id(text: &str) -> Result<ExecutionId, ExecutionError> {
    text.parse().map_err(|err: ozma_domain::id::InvalidId| ExecutionError::Malformed(err.to_string()))
}

fn token(headers: &HeaderMap) -> Result<String, ExecutionError> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|text| text.strip_prefix("Bearer ")).map(str::to_owned).ok_or(ExecutionError::Token)
}

async fn bytes(body: Body, limit: usize) -> Result<Vec<u8>, ExecutionError> {
    let bytes = axum::body::to_bytes(body, limit).await.map_err(|_| ExecutionError::TooLarge { limit })?;
    Ok(bytes.into())
}

async fn json<T: serde::de::DeserializeOwned>(body: Body) -> Result<T, ExecutionError> {
    let bytes = bytes(body, limits::SEGMENT_BYTES).await?;
    serde_json::from_slice(&bytes).map_err(|err| ExecutionError::Malformed(err.to_string()))
}

/// An error as an agent reads it: the status decides what it does.
struct Refusal(ExecutionError);

impl From<ExecutionError> for Refusal {
    fn from(err: ExecutionError) -> Self {
        Self(err)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        use ExecutionError as E;
        let (status, error) = match &self.0 {
            E::Stale(_) => (StatusCode::CONFLICT, "stale"),
            E::OutOfOrder { .. } => (StatusCode::CONFLICT, "out_of_order"),
            E::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            E::Token | E::MalformedToken(_) => (StatusCode::UNAUTHORIZED, "token"),
            E::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            E::NoFile => (StatusCode::NOT_FOUND, "no_file"),
            E::NoRole(_) => (StatusCode::NOT_FOUND, "no_role"),
            E::NoToken(_) => (StatusCode::NOT_FOUND, "no_token"),
            E::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            E::Store(_) | E::Port(_) | E::Settle(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        if status.is_server_error() {
            tracing::error!(error = %chain(&self.0), "an agent's call failed");
        }
        (status, Json(json!({"error": error, "detail": self.0.to_string()}))).into_response()
    }
}
