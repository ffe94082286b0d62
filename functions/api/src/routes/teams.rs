//! The caller's team: look, set, pause, resume; and for whoever operates the installation, stop everything.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ozma_app::App;
use ozma_app::teams::{self, Stop};
use ozma_domain::error_code::ErrorCode;

use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::wire::{Problem, StopRequest, StopResult, Team, TeamSettings, Used};

/// The team of the API key.
#[utoipa::path(
    get,
    path = "/team",
    operation_id = "getTeam",
    responses((status = 200, body = Team), (status = 401, body = Problem)),
    tag = "team"
)]
pub(crate) async fn get(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Team>, ApiError> {
    let row = teams::get(&app, &caller.team).await?;
    let used = teams::used(&app, &row).await?;
    let used = used.map(|(month, used)| Used {
        month,
        minutes: used.seconds as f64 / 60.0,
        usd: used.micro_usd as f64 / 1e6,
        tokens: used.tokens,
    });
    Ok(Json(Team { used, ..row.into() }))
}

/// Replaces what the team sets for itself: caps, rates, weights, budget.
#[utoipa::path(
    put,
    path = "/team/settings",
    operation_id = "updateTeamSettings",
    request_body = TeamSettings,
    responses((status = 200, body = Team), (status = 400, body = Problem), (status = 401, body = Problem)),
    tag = "team"
)]
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Body<TeamSettings>,
) -> Result<Json<Team>, ApiError> {
    Ok(Json(teams::set(&app, &caller.team, &body.value.into_domain()?).await?.into()))
}

/// No run of the team starts until it is resumed. Agents at work go on, and what is asked for waits.
#[utoipa::path(
    post,
    path = "/team/pause",
    operation_id = "pauseTeam",
    responses((status = 200, body = Team), (status = 401, body = Problem)),
    tag = "team"
)]
pub(crate) async fn pause(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Team>, ApiError> {
    Ok(Json(teams::pause(&app, &caller.team, &caller.name).await?.into()))
}

/// What waited, starts.
#[utoipa::path(
    post,
    path = "/team/resume",
    operation_id = "resumeTeam",
    responses((status = 200, body = Team), (status = 401, body = Problem)),
    tag = "team"
)]
pub(crate) async fn resume(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Team>, ApiError> {
    Ok(Json(teams::resume(&app, &caller.team).await?.into()))
}

/// Pauses every team of the installation, and with `kill` cancels the runs that are at work. For the installation's own
/// key alone.
#[utoipa::path(
    post,
    path = "/stop",
    operation_id = "stopEverything",
    request_body = StopRequest,
    responses(
        (status = 200, body = StopResult),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
    ),
    tag = "team"
)]
pub(crate) async fn stop(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Body<StopRequest>,
) -> Result<Json<StopResult>, ApiError> {
    operates(&caller)?;
    let how = match body.value.mode.as_deref() {
        Some("drain") => Stop::Drain,
        Some("kill") => Stop::Kill,
        _ => return Err(ApiError::invalid("mode", "drain (agents at work finish) or kill (they are cancelled)")),
    };
    let stopped = teams::stop(&app, how, &caller.name).await?;
    Ok(Json(StopResult { teams: stopped.teams, live: stopped.live, cancelled: stopped.cancelled }))
}

/// Resumes every team of the installation. For the installation's own key alone.
#[utoipa::path(
    post,
    path = "/resume",
    operation_id = "resumeEverything",
    responses((status = 200, body = StopResult), (status = 401, body = Problem), (status = 403, body = Problem)),
    tag = "team"
)]
pub(crate) async fn resume_all(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<StopResult>, ApiError> {
    operates(&caller)?;
    let teams = teams::resume_all(&app).await?;
    Ok(Json(StopResult { teams, live: 0, cancelled: 0 }))
}

fn operates(caller: &Caller) -> Result<(), ApiError> {
    if caller.operator {
        return Ok(());
    }
    let detail = "this API key is of a team; what is for every team takes the key that the installation was made with";
    Err(ApiError::new(ErrorCode::NotAuthorized, detail))
}
