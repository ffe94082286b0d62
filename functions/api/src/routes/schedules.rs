//! Schedules: the contract's seven calls, and one that starts a run at once.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ozma_app::schedules;
use ozma_app::{App, accept};
use ozma_domain::environment::Environment;
use ozma_domain::id::RunId;
use ozma_domain::limits;
use ozma_domain::schedule::{self as domain, Policies, Timetable};
use ozma_store::StoreError;
use serde_json::Value;

use super::environments;
use super::new_run::template;
use super::run_item::{profile, scope};
use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::path::Path;
use crate::wire::{
    CreateRunRequest, Deleted, Limits, Missed, Problem, RunCreated, ScheduleHistory, ScheduleItem, ScheduleList,
    ScheduleOccurrence, ScheduleRequest, Scheduling,
};

/// Times to come that are told of one schedule.
const NEXT_RUNS: usize = 10;

/// Every schedule of the team, by name.
#[utoipa::path(
    get,
    path = "/agent/schedules",
    operation_id = "listSchedules",
    responses((status = 200, body = ScheduleList), (status = 401, body = Problem)),
    tag = "schedules"
)]
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<ScheduleList>, ApiError> {
    let all = schedules::list(&app, &caller.team).await?;
    let environments: HashMap<_, _> = match all.iter().any(|one| one.config.template.environment.is_some()) {
        true => app
            .store
            .resources::<Environment>(&caller.team)
            .await?
            .into_iter()
            .map(|stored| (stored.value.uid.clone(), stored.value.config))
            .collect(),
        false => HashMap::new(),
    };
    let item = |schedule: domain::Schedule| {
        let environment = schedule.config.template.environment.as_ref().and_then(|uid| environments.get(uid)).cloned();
        ScheduleItem { environment: environment.map(environments::config_of), ..item(schedule) }
    };
    Ok(Json(ScheduleList { schedules: all.into_iter().map(item).collect() }))
}

/// Plans runs. The answer tells when the next ones are.
#[utoipa::path(
    post,
    path = "/agent/schedules",
    operation_id = "createSchedule",
    request_body = ScheduleRequest,
    responses(
        (status = 201, body = ScheduleItem),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 404, description = "There is no such environment", body = Problem),
    ),
    tag = "schedules"
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Body<ScheduleRequest>,
) -> Result<(StatusCode, Json<ScheduleItem>), ApiError> {
    let schedule = schedules::create(&app, &caller.team, &caller.name, config(body.value, Some(true))?).await?;
    Ok((StatusCode::CREATED, Json(whole(&app, schedule).await?)))
}

/// One schedule, by id or by name, with the next ten times and what became of the last ones.
#[utoipa::path(
    get,
    path = "/agent/schedules/{id}",
    operation_id = "getSchedule",
    params(("id" = String, Path, description = "The id, or a name that no other schedule has")),
    responses((status = 200, body = ScheduleItem), (status = 404, body = Problem)),
    tag = "schedules"
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ScheduleItem>, ApiError> {
    let schedule = schedules::find(&app, &caller.team, &id).await?;
    Ok(Json(whole(&app, schedule).await?))
}

/// Replaces a schedule. What was planned by the old one and is not yet due is planned no more.
#[utoipa::path(
    put,
    path = "/agent/schedules/{id}",
    operation_id = "updateSchedule",
    params(("id" = String, Path, description = "The id, or a name that no other schedule has")),
    request_body = ScheduleRequest,
    responses((status = 200, body = ScheduleItem), (status = 400, body = Problem), (status = 404, body = Problem)),
    tag = "schedules"
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<ScheduleRequest>,
) -> Result<Json<ScheduleItem>, ApiError> {
    let config = config(body.value, None)?;
    let schedule = schedules::update(&app, &caller.team, &id, &caller.name, config).await?;
    Ok(Json(whole(&app, schedule).await?))
}

/// Deletes a schedule. Runs that it started go on.
#[utoipa::path(
    delete,
    path = "/agent/schedules/{id}",
    operation_id = "deleteSchedule",
    params(("id" = String, Path, description = "The id, or a name that no other schedule has")),
    responses((status = 200, body = Deleted), (status = 404, body = Problem)),
    tag = "schedules"
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Deleted>, ApiError> {
    schedules::delete(&app, &caller.team, &id).await?;
    Ok(Json(Deleted { success: true }))
}

/// Nothing is started by it until it is resumed.
#[utoipa::path(
    post,
    path = "/agent/schedules/{id}/pause",
    operation_id = "pauseSchedule",
    params(("id" = String, Path, description = "The id, or a name that no other schedule has")),
    responses((status = 200, body = ScheduleItem), (status = 404, body = Problem)),
    tag = "schedules"
)]
pub(crate) async fn pause(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ScheduleItem>, ApiError> {
    let schedule = schedules::enable(&app, &caller.team, &id, &caller.name, false).await?;
    Ok(Json(whole(&app, schedule).await?))
}

/// Goes on from now; what it had planned meanwhile is left out.
#[utoipa::path(
    post,
    path = "/agent/schedules/{id}/resume",
    operation_id = "resumeSchedule",
    params(("id" = String, Path, description = "The id, or a name that no other schedule has")),
    responses((status = 200, body = ScheduleItem), (status = 404, body = Problem)),
    tag = "schedules"
)]
pub(crate) async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ScheduleItem>, ApiError> {
    let schedule = schedules::enable(&app, &caller.team, &id, &caller.name, true).await?;
    Ok(Json(whole(&app, schedule).await?))
}

/// Starts a run of it at once, beside what is planned. A paused schedule can be tried like this as well.
#[utoipa::path(
    post,
    path = "/agent/schedules/{id}/run",
    operation_id = "runSchedule",
    params(("id" = String, Path, description = "The id, or a name that no other schedule has")),
    responses(
        (status = 201, body = RunCreated),
        (status = 404, body = Problem),
        (status = 429, description = "Too many runs wait already", body = Problem),
    ),
    tag = "schedules"
)]
pub(crate) async fn run_now(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<RunCreated>), ApiError> {
    let accepted = schedules::run_now(&app, &caller.team, &id, &caller.name).await?;
    let created = RunCreated {
        run_id: accepted.run_id,
        task_id: accepted.run_id,
        state: accepted.state,
        at_capacity: Some(accept::is_at_capacity(&app, &caller.team).await?),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

pub(crate) fn config(wire: ScheduleRequest, enabled: Option<bool>) -> Result<domain::ScheduleConfig, ApiError> {
    let needed = || ApiError::invalid("enabled", "needed: a schedule is replaced as a whole, true or false");
    let enabled = wire.enabled.or(enabled).ok_or_else(needed)?;
    let run = CreateRunRequest {
        prompt: wire.prompt,
        title: wire.title,
        config: wire.agent_config,
        agent_identity_uid: wire.agent_uid,
        mode: wire.mode,
        metadata: wire.metadata,
        scheduling: wire.scheduling,
        limits: wire.limits,
        ..CreateRunRequest::default()
    };
    let template = template(run, limits::TEMPLATE_PROMPT_BYTES)
        .map_err(|err| err.renamed("config", "agent_config").renamed("agent_identity_uid", "agent_uid"))?;
    let missed = wire.missed.as_ref().map(missed).transpose()?.unwrap_or_default();
    let zone = wire.timezone.as_deref().filter(|zone| !zone.is_empty());
    let timetable = Timetable::parse(wire.cron_schedule.as_deref().unwrap_or_default(), zone)?;
    Ok(domain::ScheduleConfig {
        name: wire.name.unwrap_or_default(),
        timetable,
        enabled,
        template,
        policies: Policies {
            missed,
            overlap: wire.overlap.unwrap_or_default(),
            jitter_seconds: wire.jitter_seconds.unwrap_or_default(),
            starts_at: wire.starts_at,
            ends_at: wire.ends_at,
        },
    })
}

fn missed(wire: &Missed) -> Result<domain::Missed, ApiError> {
    let at_most =
        || wire.at_most.ok_or_else(|| ApiError::invalid("missed.at_most", "needed with all: the last so many"));
    let policy = match wire.policy.as_deref() {
        Some("skip") => domain::Missed::Skip,
        None | Some("latest") => domain::Missed::Latest,
        Some("all") => return Ok(domain::Missed::All(at_most()?)),
        Some(other) => {
            return Err(ApiError::invalid("missed.policy", format!("\"{other}\" is not skip, latest or all")));
        }
    };
    match wire.at_most {
        Some(_) => Err(ApiError::invalid("missed.at_most", "says nothing without the policy all")),
        None => Ok(policy),
    }
}

/// With what only one schedule is told with.
async fn whole(app: &App, schedule: domain::Schedule) -> Result<ScheduleItem, StoreError> {
    let environment = match &schedule.config.template.environment {
        Some(uid) => app.store.environment(&schedule.team, uid).await?,
        None => None,
    };
    let runs: Vec<RunId> = schedule.history.iter().filter_map(|past| past.run_id).collect();
    let states: HashMap<RunId, String> =
        app.store.runs(&runs).await?.into_iter().map(|run| (run.run_id, run.state.to_string())).collect();
    let occurrence = |past: &domain::Occurrence| ScheduleOccurrence {
        planned_at: past.planned_at,
        decided_at: past.decided_at,
        run_id: past.run_id,
        run_state: past.run_id.and_then(|run| states.get(&run).cloned()),
        error: past.error.clone(),
        left_out: past.left_out,
    };
    Ok(ScheduleItem {
        next_runs: Some(schedules::next_times(app, &schedule, NEXT_RUNS)),
        occurrences: Some(schedule.history.iter().rev().map(occurrence).collect()),
        environment: environment.map(|stored| environments::config_of(stored.value.config)),
        ..item(schedule)
    })
}

pub(crate) fn item(schedule: domain::Schedule) -> ScheduleItem {
    let next_run = schedule.next_at();
    let domain::Schedule {
        id,
        team,
        config,
        created_by,
        updated_by,
        created_at,
        last_updated,
        history,
        last_error,
        ..
    } = schedule;
    let domain::ScheduleConfig { name, timetable, enabled, template, policies } = config;
    let (policy, at_most) = match policies.missed {
        domain::Missed::Skip => ("skip", None),
        domain::Missed::Latest => ("latest", None),
        domain::Missed::All(at_most) => ("all", Some(at_most)),
    };
    ScheduleItem {
        id,
        name,
        cron_schedule: timetable.to_string(),
        enabled,
        prompt: template.prompt,
        created_at,
        updated_at: last_updated,
        agent_config: serde_json::from_value(Value::Object(template.agent_config)).ok(),
        agent_uid: template.agent.map(|uid| uid.to_string()),
        environment: None,
        last_spawn_error: last_error,
        history: Some(ScheduleHistory {
            last_ran: history.iter().rev().find(|past| past.run_id.is_some()).map(|past| past.decided_at),
            next_run,
        }),
        metadata: Some(template.metadata).filter(|metadata| !metadata.is_empty()),
        created_by: Some(profile(&created_by)),
        updated_by: Some(profile(&updated_by)),
        scope: Some(scope(&team)),
        timezone: timetable.timezone().to_owned(),
        missed: Missed { policy: Some(policy.to_owned()), at_most },
        overlap: policies.overlap,
        jitter_seconds: policies.jitter_seconds,
        starts_at: policies.starts_at,
        ends_at: policies.ends_at,
        title: template.title,
        scheduling: Some((&template.scheduling).into()).filter(|scheduling| *scheduling != Scheduling::default()),
        limits: Some(template.limits.into()).filter(|limits| *limits != Limits::default()),
        next_runs: None,
        occurrences: None,
    }
}
