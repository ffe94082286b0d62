//! Runs: create, list, get, cancel, follow up; their timeline and their transcript.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use ozma_app::App;
use ozma_app::accept::{accept, is_at_capacity};
use ozma_app::artifacts;
use ozma_app::cancel;
use ozma_app::list;
use ozma_app::messages;
use ozma_app::transcript::{Cursor, transcript};
use ozma_app::waiting::waiting;
use ozma_domain::id::{RunId, TeamId};
use ozma_domain::limits;
use ozma_domain::run::Prompt;
use ozma_store::RunPair;
use serde_json::{Value, json};

use super::fields::check_mode;
use super::new_run::{new_run, with_harness};
use super::run_item::{Pricing, answer, run_item};
use super::run_query::listing;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::path::Path;
use crate::query::Pairs;
use crate::wire::{
    CreateRunRequest, FollowupRequest, PageInfo, Problem, QueuePlace, RunCreated, RunItem, RunList, Timeline,
    Transcript,
};

/// Accepts a run. Sent again with the same `Idempotency-Key` and body, it answers with the same run.
#[utoipa::path(
    post,
    path = "/agent/runs",
    operation_id = "createRun",
    request_body = CreateRunRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 200, body = RunCreated),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem),
        (status = 422, body = Problem),
        (status = 429, description = "A queue is full, or too much was asked for", body = Problem),
    ),
    tag = "runs"
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    mut body: Body<CreateRunRequest>,
) -> Result<Json<RunCreated>, ApiError> {
    let team = caller.team.clone();
    with_harness(&app, &team, &mut body.value).await?;
    let accepted = accept(&app, new_run(caller, &headers, body)?).await?;
    let at_capacity = accepted.created && is_at_capacity(&app, &team).await?;
    Ok(Json(RunCreated {
        run_id: accepted.run_id,
        task_id: accepted.run_id,
        state: accepted.state,
        at_capacity: at_capacity.then_some(true),
    }))
}

/// The same as `POST /agent/runs`, for older clients.
#[utoipa::path(
    post,
    path = "/agent/run",
    operation_id = "createRunByItsOlderName",
    request_body = CreateRunRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 200, body = RunCreated),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem),
        (status = 422, body = Problem),
        (status = 429, description = "A queue is full, or too much was asked for", body = Problem),
    ),
    tag = "runs"
)]
pub(crate) async fn create_by_its_older_name(
    state: State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body<CreateRunRequest>,
) -> Result<Json<RunCreated>, ApiError> {
    create(state, caller, headers, body).await
}

/// Runs of the team, by any filter, page by page.
#[utoipa::path(
    get,
    path = "/agent/runs",
    operation_id = "listRuns",
    params(
        ("limit" = Option<usize>, Query, description = "1 to 500, 20 if absent"),
        ("cursor" = Option<String>, Query),
        ("sort_by" = Option<String>, Query, description = "updated_at, created_at, title or agent"),
        ("sort_order" = Option<String>, Query, description = "asc or desc"),
        ("state" = Option<Vec<String>>, Query, description = "Repeat it for any of several"),
        ("name" = Option<String>, Query),
        ("model_id" = Option<String>, Query),
        ("creator" = Option<String>, Query),
        ("executor" = Option<String>, Query),
        ("source" = Option<String>, Query),
        ("execution_location" = Option<String>, Query),
        ("created_after" = Option<String>, Query),
        ("created_before" = Option<String>, Query),
        ("updated_after" = Option<String>, Query),
        ("environment_id" = Option<String>, Query, description = "Or empty-environment"),
        ("skill" = Option<String>, Query),
        ("skill_spec" = Option<String>, Query),
        ("schedule_id" = Option<String>, Query),
        ("ancestor_run_id" = Option<String>, Query),
        ("artifact_type" = Option<String>, Query, description = "PULL_REQUEST: those that made one. No run matches another"),
        ("q" = Option<String>, Query),
        ("metadata" = Option<std::collections::BTreeMap<String, String>>, Query, style = DeepObject, explode, description = "At most 5 pairs, as metadata[key]=value"),
        ("automation_id" = Option<String>, Query),
        ("factory_uid" = Option<String>, Query),
    ),
    responses((status = 200, body = RunList), (status = 400, body = Problem), (status = 401, body = Problem)),
    tag = "runs"
)]
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller, pairs: Pairs) -> Result<Json<RunList>, ApiError> {
    let listing = listing(&pairs)?;
    if let Some(ancestor) = listing.filter.ancestor {
        let known = app.store.request(&caller.team, ancestor).await?.is_some();
        if !known {
            return Err(ApiError::invalid("ancestor_run_id", format!("there is no run {ancestor}")));
        }
    }
    let page = list::list(&app, &caller.team, &listing).await?;
    let (now, pricing) = (app.clock.now(), pricing(&app, &caller.team).await?);
    let runs = page.runs.iter().map(|pair| run_item(pair, now, pricing, None, None)).collect();
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    Ok(Json(RunList { runs, page_info: PageInfo { has_next_page: next_cursor.is_some(), next_cursor } }))
}

/// One run.
#[utoipa::path(
    get,
    path = "/agent/runs/{runId}",
    operation_id = "getRun",
    params(("runId" = String, Path)),
    responses((status = 200, body = RunItem), (status = 401, body = Problem), (status = 404, body = Problem)),
    tag = "runs"
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(run): Path<String>,
) -> Result<Json<RunItem>, ApiError> {
    let pair = find(&app, &caller.team, &run).await?;
    let prompt = match &pair.request.prompt {
        Prompt::Inline(_) => None,
        Prompt::Archived { key, .. } => {
            let object = app.archive.read_key(key).await?;
            object.map(|object| String::from_utf8_lossy(&object.bytes).into_owned())
        }
    };
    let queue = waiting(&app, &pair.run).await?.map(|waiting| QueuePlace {
        position: waiting.position,
        at_least: waiting.at_least,
        waiting_for: waiting.waiting_for,
        reason: waiting.reason,
        estimated_start_at: waiting.estimated_start_at,
    });
    let pricing = pricing(&app, &caller.team).await?;
    let saved = artifacts::latest(&app, &pair.run).await?;
    let mut item = run_item(&pair, app.clock.now(), pricing, prompt, queue);
    if pair.run.answered {
        item.answer = app.store.answer(pair.run.run_id).await?.map(|saved| answer(saved.answer));
    }
    item.artifacts.get_or_insert_default().extend(saved.iter().flat_map(super::artifacts::of_run));
    Ok(Json(item))
}

/// Cancels a run in any state but an ended one, and with `cascade` every run below it. Answers with its id.
#[utoipa::path(
    post,
    path = "/agent/runs/{runId}/cancel",
    operation_id = "cancelRun",
    params(
        ("runId" = String, Path),
        ("cascade" = Option<bool>, Query, description = "The runs below it as well, even if it has ended itself"),
    ),
    responses(
        (status = 200, body = String, content_type = "application/json"),
        (status = 400, body = Problem, description = "It has ended already"),
        (status = 401, body = Problem),
        (status = 404, body = Problem),
    ),
    tag = "runs"
)]
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(run): Path<String>,
    pairs: Pairs,
) -> Result<Json<String>, ApiError> {
    let run = run_id(&run)?;
    if pairs.parsed::<bool>("cascade")?.unwrap_or(false) {
        cancel::cancel_all(&app, &caller.team, run, &caller.name).await?;
    } else {
        cancel::cancel(&app, &caller.team, run, &caller.name).await?;
    }
    Ok(Json(run.to_string()))
}

/// Says something to a run that waits or works, or reopens one that has ended: a new execution does what the message says.
#[utoipa::path(
    post,
    path = "/agent/runs/{runId}/followups",
    operation_id = "followUpRun",
    params(("runId" = String, Path)),
    request_body = FollowupRequest,
    responses(
        (status = 200, body = Object),
        (status = 400, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "Its end is still being recorded"),
    ),
    tag = "runs"
)]
pub(crate) async fn follow_up(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(run): Path<String>,
    body: Body<FollowupRequest>,
) -> Result<Json<Value>, ApiError> {
    check_mode(body.value.mode.as_deref())?;
    let message = body.value.message.filter(|message| !message.trim().is_empty());
    let message = message.ok_or_else(|| ApiError::invalid("message", "needed"))?;
    messages::send(&app, &caller.team, run_id(&run)?, &caller.name, &message).await?;
    Ok(Json(json!({})))
}

/// The milestones of a run.
#[utoipa::path(
    get,
    path = "/agent/runs/{runId}/timeline",
    operation_id = "getRunTimeline",
    params(("runId" = String, Path)),
    responses((status = 200, body = Timeline), (status = 401, body = Problem), (status = 404, body = Problem)),
    tag = "runs"
)]
pub(crate) async fn timeline(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(run): Path<String>,
) -> Result<Json<Timeline>, ApiError> {
    let RunPair { request, run } = find(&app, &caller.team, &run).await?;
    let mut executions = app.store.past_executions(run.run_id).await?;
    executions.extend(run.execution.clone());
    Ok(Json(super::timeline::timeline(&request, &run, &executions)))
}

/// The live transcript: the audit events after a cursor, waiting for them if need be.
#[utoipa::path(
    get,
    path = "/agent/runs/{runId}/events",
    operation_id = "getRunEvents",
    params(
        ("runId" = String, Path),
        ("after" = Option<String>, Query, description = "The `next` of the answer before"),
        ("wait" = Option<u64>, Query, description = "Seconds to wait for something new, at most 20; 0 if absent"),
    ),
    responses((status = 200, body = Transcript), (status = 400, body = Problem), (status = 404, body = Problem)),
    tag = "runs"
)]
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(run): Path<String>,
    pairs: Pairs,
) -> Result<Json<Transcript>, ApiError> {
    let cursor = pairs.parsed::<Cursor>("after")?.unwrap_or_default();
    let wait = pairs.parsed::<u64>("wait")?.unwrap_or(0).min(limits::LONG_POLL_SECONDS);
    let page = transcript(&app, &caller.team, run_id(&run)?, cursor, Duration::from_secs(wait)).await?;
    Ok(Json(Transcript { events: page.events, next: page.next.to_string(), state: page.state, ended: page.ended }))
}

/// The id in a path. What is not an id is no run.
pub(crate) fn run_id(text: &str) -> Result<RunId, ApiError> {
    text.parse().map_err(|_| {
        let text: String = text.chars().take(80).collect();
        ApiError::not_found(format!("there is no run {text}"))
    })
}

async fn find(app: &App, team: &TeamId, run: &str) -> Result<RunPair, ApiError> {
    let id = run_id(run)?;
    let pair = app.store.run_pairs(team, &[id]).await?.pop();
    pair.ok_or_else(|| ApiError::not_found(format!("there is no run {id}")))
}

async fn pricing(app: &App, team: &TeamId) -> Result<Pricing, ApiError> {
    Ok(Pricing { size: app.plan(team).await?.size, billed: app.settings.billed })
}
