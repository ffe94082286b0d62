//! Runners: which machines agents work on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ozma_app::App;
use ozma_app::resources;
use ozma_domain::error_code::ErrorCode;
use ozma_domain::runner as domain;

use super::run_item::scope;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::path::Path;
use crate::wire::{Deleted, Problem, Runner, RunnerConfig, RunnerList};

/// Every runner of the team, by name.
#[utoipa::path(
    get,
    path = "/agent/runners",
    operation_id = "listRunners",
    responses((status = 200, body = RunnerList), (status = 401, body = Problem)),
    tag = "runners"
)]
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<RunnerList>, ApiError> {
    let runners = resources::list(&app, &caller.team).await?;
    Ok(Json(RunnerList { runners: runners.into_iter().map(|stored| answer(stored.value)).collect() }))
}

/// Creates a runner. Its name must be new to the team.
#[utoipa::path(
    post,
    path = "/agent/runners",
    operation_id = "createRunner",
    request_body = RunnerConfig,
    responses((status = 201, body = Runner), (status = 400, body = Problem), (status = 401, body = Problem)),
    tag = "runners"
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Body<RunnerConfig>,
) -> Result<(StatusCode, Json<Runner>), ApiError> {
    let runner = resources::create(&app, &caller.team, config(body.value)?).await?;
    Ok((StatusCode::CREATED, Json(answer(runner))))
}

/// One runner, by id or by name.
#[utoipa::path(
    get,
    path = "/agent/runners/{uid}",
    operation_id = "getRunner",
    params(("uid" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Runner), (status = 404, body = Problem)),
    tag = "runners"
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(uid): Path<String>,
) -> Result<Json<Runner>, ApiError> {
    Ok(Json(answer(resources::find(&app, &caller.team, &uid).await?.value)))
}

/// Replaces a runner's configuration. A run that was accepted before keeps the one it was accepted with.
#[utoipa::path(
    put,
    path = "/agent/runners/{uid}",
    operation_id = "updateRunner",
    params(("uid" = String, Path, description = "The id, or the name")),
    request_body = RunnerConfig,
    responses((status = 200, body = Runner), (status = 400, body = Problem), (status = 404, body = Problem)),
    tag = "runners"
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(uid): Path<String>,
    body: Body<RunnerConfig>,
) -> Result<Json<Runner>, ApiError> {
    let new = config(body.value)?;
    let found = resources::find(&app, &caller.team, &uid).await?;
    Ok(Json(answer(resources::update(&app, &found, new).await?)))
}

/// Deletes a runner. Runs that were accepted before keep it.
#[utoipa::path(
    delete,
    path = "/agent/runners/{uid}",
    operation_id = "deleteRunner",
    params(("uid" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Deleted), (status = 404, body = Problem)),
    tag = "runners"
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(uid): Path<String>,
) -> Result<Json<Deleted>, ApiError> {
    let found = resources::find::<domain::Runner>(&app, &caller.team, &uid).await?;
    resources::delete(&app, &found).await?;
    Ok(Json(Deleted { success: true }))
}

pub(crate) fn config(wire: RunnerConfig) -> Result<domain::RunnerConfig, ApiError> {
    for (field, said, only, others) in
        [("os", &wire.os, "linux", &["macos"][..]), ("arch", &wire.arch, "auto", &["x86-64", "aarch64"][..])]
    {
        match said.as_deref() {
            None | Some("") => {}
            Some(said) if said == only => {}
            Some(said) if others.contains(&said) => {
                let detail =
                    format!("{field}: \"{said}\" is not supported by this version; say \"{only}\" or leave it out");
                return Err(ApiError::new(ErrorCode::OperationNotSupported, detail));
            }
            Some(_) => return Err(ApiError::invalid(field, format!("{only}, if anything"))),
        }
    }
    let shape = match (wire.vcpus, wire.memory_gb) {
        (Some(vcpus), Some(memory_gib)) => Some(domain::Shape { vcpus, memory_gib }),
        (None, None) => None,
        (Some(_), None) => return Err(ApiError::invalid("memory_gb", "needed together with vcpus")),
        (None, Some(_)) => return Err(ApiError::invalid("vcpus", "needed together with memory_gb")),
    };
    Ok(domain::RunnerConfig {
        name: wire.name.unwrap_or_default(),
        description: wire.description.filter(|text| !text.is_empty()),
        docker_image: wire.docker_image.filter(|image| !image.is_empty()),
        setup_commands: wire.setup_commands.unwrap_or_default(),
        shape,
    })
}

/// As it is answered.
pub(crate) fn config_of(config: domain::RunnerConfig) -> RunnerConfig {
    let domain::RunnerConfig { name, description, docker_image, setup_commands, shape } = config;
    RunnerConfig {
        name: Some(name),
        description,
        os: None,
        arch: None,
        docker_image,
        setup_commands: Some(setup_commands).filter(|commands| !commands.is_empty()),
        vcpus: shape.map(|shape| shape.vcpus),
        memory_gb: shape.map(|shape| shape.memory_gib),
    }
}

fn answer(runner: domain::Runner) -> Runner {
    let domain::Runner { uid, team, config, created_at, last_updated } = runner;
    Runner { uid, config: config_of(config), created_at, last_updated, scope: Some(scope(&team)) }
}
