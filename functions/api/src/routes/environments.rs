//! Environments: list as in the contract; create, get, update and delete beyond it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ozma_app::App;
use ozma_app::resources;
use ozma_domain::environment as domain;
use ozma_domain::error_code::ErrorCode;
use ozma_domain::id::TeamId;
use ozma_store::RunPair;

use super::fields::id;
use super::run_item::scope;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::path::Path;
use crate::query::Pairs;
use crate::wire::{
    AwsProvider, Deleted, Environment, EnvironmentConfig, EnvironmentList, GithubRepo, LastTask, Problem, Providers,
};

/// Runs looked at, newest first, for the last one in each environment.
const LATEST_RUNS: usize = 100;

/// Every environment of the team.
#[utoipa::path(
    get,
    path = "/agent/environments",
    operation_id = "listEnvironments",
    params(("sort_by" = Option<String>, Query, description = "name or last_updated, newest first if absent")),
    responses((status = 200, body = EnvironmentList), (status = 401, body = Problem)),
    tag = "environments"
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    pairs: Pairs,
) -> Result<Json<EnvironmentList>, ApiError> {
    let by_name = match pairs.text("sort_by").as_deref() {
        None | Some("last_updated") => false,
        Some("name") => true,
        Some(other) => return Err(ApiError::invalid("sort_by", format!("\"{other}\" is not name or last_updated"))),
    };
    let stored = resources::list::<domain::Environment>(&app, &caller.team).await?;
    let mut all: Vec<domain::Environment> = stored.into_iter().map(|stored| stored.value).collect();
    if !by_name {
        all.sort_by_key(|environment| std::cmp::Reverse(environment.last_updated));
    }
    let latest = if all.is_empty() { Vec::new() } else { latest_runs(&app, &caller.team).await? };
    Ok(Json(EnvironmentList { environments: all.into_iter().map(|one| answer(one, &latest)).collect() }))
}

/// Creates an environment. Its name must be new to the team.
#[utoipa::path(
    post,
    path = "/agent/environments",
    operation_id = "createEnvironment",
    request_body = EnvironmentConfig,
    responses((status = 201, body = Environment), (status = 400, body = Problem), (status = 401, body = Problem)),
    tag = "environments"
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Body<EnvironmentConfig>,
) -> Result<(StatusCode, Json<Environment>), ApiError> {
    let environment = resources::create(&app, &caller.team, config(body.value)?).await?;
    Ok((StatusCode::CREATED, Json(answer(environment, &[]))))
}

/// One environment, by id or by name.
#[utoipa::path(
    get,
    path = "/agent/environments/{uid}",
    operation_id = "getEnvironment",
    params(("uid" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Environment), (status = 404, body = Problem)),
    tag = "environments"
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(uid): Path<String>,
) -> Result<Json<Environment>, ApiError> {
    let environment = resources::find(&app, &caller.team, &uid).await?.value;
    Ok(Json(answer(environment, &latest_runs(&app, &caller.team).await?)))
}

/// Replaces an environment's configuration. A run that waits gets the new one.
#[utoipa::path(
    put,
    path = "/agent/environments/{uid}",
    operation_id = "updateEnvironment",
    params(("uid" = String, Path, description = "The id, or the name")),
    request_body = EnvironmentConfig,
    responses((status = 200, body = Environment), (status = 400, body = Problem), (status = 404, body = Problem)),
    tag = "environments"
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(uid): Path<String>,
    body: Body<EnvironmentConfig>,
) -> Result<Json<Environment>, ApiError> {
    let new = config(body.value)?;
    let found = resources::find(&app, &caller.team, &uid).await?;
    let environment = resources::update(&app, &found, new).await?;
    Ok(Json(answer(environment, &latest_runs(&app, &caller.team).await?)))
}

/// Deletes an environment. A run that waits for it fails; one that works goes on.
#[utoipa::path(
    delete,
    path = "/agent/environments/{uid}",
    operation_id = "deleteEnvironment",
    params(("uid" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Deleted), (status = 404, body = Problem)),
    tag = "environments"
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(uid): Path<String>,
) -> Result<Json<Deleted>, ApiError> {
    let found = resources::find::<domain::Environment>(&app, &caller.team, &uid).await?;
    resources::delete(&app, &found).await?;
    Ok(Json(Deleted { success: true }))
}

pub(crate) fn config(wire: EnvironmentConfig) -> Result<domain::EnvironmentConfig, ApiError> {
    let unsupported = |field: &str| {
        let detail = format!("{field}: not supported by this version");
        Err(ApiError::new(ErrorCode::OperationNotSupported, detail))
    };
    let providers = wire.providers.unwrap_or_default();
    if providers.gcp.is_some_and(|gcp| !gcp.is_empty()) {
        return unsupported("providers.gcp");
    }
    if wire.failure_session_retention_minutes.is_some() {
        return unsupported("failure_session_retention_minutes");
    }
    let mut repositories: Vec<ozma_domain::repository::Repository> = Vec::new();
    for (at, GithubRepo { owner, repo }) in wire.github_repos.unwrap_or_default().iter().enumerate() {
        let url = format!("{owner}/{repo}").parse();
        let url = url.map_err(|err| ApiError::invalid(&format!("github_repos[{at}]"), err))?;
        repositories.push(ozma_domain::repository::Repository { url, reference: None });
    }
    // Answers name a GitHub repository in both lists; sent back as answered, it is one.
    let listed: Vec<ozma_domain::repository::Repository> =
        wire.repositories.unwrap_or_default().into_iter().map(Into::into).collect();
    repositories.retain(|repository| !listed.iter().any(|other| other.url.github() == repository.url.github()));
    repositories.extend(listed);
    Ok(domain::EnvironmentConfig {
        name: wire.name.unwrap_or_default(),
        description: wire.description.filter(|text| !text.is_empty()),
        docker_image: wire.docker_image.filter(|image| !image.is_empty()),
        repositories,
        setup_commands: wire.setup_commands.unwrap_or_default(),
        variables: wire.variables.unwrap_or_default(),
        secrets: wire.secrets.unwrap_or_default(),
        network: wire.network.unwrap_or_default(),
        capacity: wire.capacity.unwrap_or_default(),
        secret_references: wire.secret_references.unwrap_or_default(),
        aws_role: providers.aws.map(|aws| aws.role_arn),
        runner: id("default_runner_uid", wire.default_runner_uid.as_deref())?,
    })
}

fn answer(environment: domain::Environment, latest: &[RunPair]) -> Environment {
    let last = latest.iter().find(|pair| pair.request.environment.as_ref() == Some(&environment.uid));
    Environment {
        uid: environment.uid,
        config: config_of(environment.config),
        last_updated: environment.last_updated,
        setup_failed: last.is_some_and(|pair| {
            let code = pair.run.status.as_ref().and_then(|status| status.error_code);
            pair.run.state.is_terminal() && code == Some(ErrorCode::EnvironmentSetupFailed)
        }),
        last_task_run_timestamp: last.map(|pair| pair.request.created_at),
        last_task_created: last.map(|pair| LastTask {
            id: pair.run.run_id,
            title: pair.request.title.clone(),
            state: pair.run.state,
            created_at: pair.request.created_at,
            updated_at: pair.run.updated_at,
            started_at: pair.run.started_at,
        }),
        scope: Some(scope(&environment.team)),
        creator: None,
        last_editor: None,
    }
}

/// As it is answered.
pub(crate) fn config_of(config: domain::EnvironmentConfig) -> EnvironmentConfig {
    let domain::EnvironmentConfig {
        name,
        description,
        docker_image,
        repositories,
        setup_commands,
        variables,
        secrets,
        network,
        capacity,
        secret_references,
        aws_role,
        runner,
    } = config;
    let github: Vec<GithubRepo> = repositories
        .iter()
        .filter_map(|repository| repository.url.github())
        .map(|(owner, repo)| GithubRepo { owner: owner.to_owned(), repo: repo.to_owned() })
        .collect();
    EnvironmentConfig {
        name: Some(name),
        description,
        docker_image,
        github_repos: Some(github),
        setup_commands: Some(setup_commands),
        providers: aws_role.map(|role_arn| Providers { aws: Some(AwsProvider { role_arn }), gcp: None }),
        failure_session_retention_minutes: None,
        repositories: Some(repositories.into_iter().map(Into::into).collect()),
        variables: Some(variables),
        secrets: Some(secrets),
        network: Some(network),
        capacity: Some(capacity),
        secret_references: Some(secret_references),
        default_runner_uid: runner.map(|uid| uid.to_string()),
    }
}

async fn latest_runs(app: &App, team: &TeamId) -> Result<Vec<RunPair>, ApiError> {
    let requests = app.store.latest_requests(team, None, LATEST_RUNS).await?;
    let ids: Vec<_> = requests.iter().filter(|request| request.environment.is_some()).map(|r| r.run_id).collect();
    Ok(app.store.pair(&ids, requests).await?)
}
