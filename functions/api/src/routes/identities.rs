//! Identities: named agents, as the contract has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ozma_app::App;
use ozma_app::resources;
use ozma_domain::error_code::ErrorCode;
use ozma_domain::harness::HarnessKind;
use ozma_domain::named_agent::{NamedAgent, NamedAgentConfig};
use serde_json::{Map, Value};

use super::fields::{available, check_mcp_servers, check_strategy, id};
use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::path::Path;
use crate::wire::{Harness, Identity, IdentityList, IdentityRequest, Memory, Problem, SecretRef};

/// Every named agent of the team, by name.
#[utoipa::path(
    get,
    path = "/agent/identities",
    operation_id = "listIdentities",
    responses((status = 200, body = IdentityList), (status = 401, body = Problem)),
    tag = "identities"
)]
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<IdentityList>, ApiError> {
    let agents = resources::list(&app, &caller.team).await?;
    Ok(Json(IdentityList { agents: agents.into_iter().map(|stored| answer(stored.value)).collect() }))
}

/// Creates a named agent. Its name must be new to the team.
#[utoipa::path(
    post,
    path = "/agent/identities",
    operation_id = "createIdentity",
    request_body = IdentityRequest,
    responses((status = 201, body = Identity), (status = 400, body = Problem), (status = 401, body = Problem)),
    tag = "identities"
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Body<IdentityRequest>,
) -> Result<(StatusCode, Json<Identity>), ApiError> {
    let agent = resources::create(&app, &caller.team, config(body.value)?).await?;
    Ok((StatusCode::CREATED, Json(answer(agent))))
}

/// One named agent, by id or by name.
#[utoipa::path(
    get,
    path = "/agent/identities/{uid}",
    operation_id = "getIdentity",
    params(("uid" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Identity), (status = 404, body = Problem)),
    tag = "identities"
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(uid): Path<String>,
) -> Result<Json<Identity>, ApiError> {
    Ok(Json(answer(resources::find(&app, &caller.team, &uid).await?.value)))
}

/// Changes a named agent: what is absent stays as it is. A run that was accepted before keeps what it was accepted with.
#[utoipa::path(
    put,
    path = "/agent/identities/{uid}",
    operation_id = "updateIdentity",
    params(("uid" = String, Path, description = "The id, or the name")),
    request_body = IdentityRequest,
    responses((status = 200, body = Identity), (status = 400, body = Problem), (status = 404, body = Problem)),
    tag = "identities"
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(uid): Path<String>,
    body: Body<IdentityRequest>,
) -> Result<Json<Identity>, ApiError> {
    if body.value.factory_uid.is_some() {
        return Err(ApiError::invalid("factory_uid", "set when an agent is created, and not after"));
    }
    let found = resources::find::<NamedAgent>(&app, &caller.team, &uid).await?;
    let new = config(over(body.value, request_of(found.value.config.clone())))?;
    Ok(Json(answer(resources::update(&app, &found, new).await?)))
}

/// Deletes a named agent. Runs of it that were accepted before go on; schedules and automations of it start none any more.
#[utoipa::path(
    delete,
    path = "/agent/identities/{uid}",
    operation_id = "deleteIdentity",
    params(("uid" = String, Path, description = "The id, or the name")),
    responses((status = 204), (status = 404, body = Problem)),
    tag = "identities"
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(uid): Path<String>,
) -> Result<StatusCode, ApiError> {
    let found = resources::find::<NamedAgent>(&app, &caller.team, &uid).await?;
    resources::delete(&app, &found).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn config(wire: IdentityRequest) -> Result<NamedAgentConfig, ApiError> {
    refuse_what_is_not_there(&wire)?;
    check_strategy("credential_strategy", wire.credential_strategy.as_deref())?;
    check_mcp_servers("mcp_servers", wire.mcp_servers.as_ref())?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let of = wire.harness.and_then(|harness| given(harness.kind));
    let harness = match (of, given(wire.base_harness)) {
        (Some(of), Some(base)) if of != base => {
            let reason = format!("\"{base}\" is not harness.type, \"{of}\"; leave it out");
            return Err(ApiError::invalid("base_harness", reason));
        }
        (Some(of), _) => Some(available("harness.type", &of)?),
        (None, Some(base)) => Some(available("base_harness", &base)?),
        (None, None) => None,
    };
    let base_model = given(wire.base_model);
    if base_model.is_some() && harness.is_some_and(|harness| harness != HarnessKind::Oz) {
        return Err(ApiError::invalid("base_model", "for the harness oz alone"));
    }
    let environment = id("environment_id", wire.environment_id.as_deref())?;
    let runner = id("default_runner_uid", wire.default_runner_uid.as_deref())?;
    let mcp_servers = wire.mcp_servers.and_then(|servers| serde_json::to_value(servers).ok());
    Ok(NamedAgentConfig {
        name: wire.name.unwrap_or_default(),
        description: given(wire.description),
        prompt: given(wire.prompt),
        agent_type: given(wire.agent_type),
        environment,
        runner,
        secrets: wire.secrets.unwrap_or_default().into_iter().map(|secret| secret.name).collect(),
        harness,
        base_model,
        mcp_servers: mcp_servers.and_then(|servers| servers.as_object().cloned()).unwrap_or_default(),
    })
}

/// Parts of the contract that this version cannot honour are refused rather than dropped in silence.
fn refuse_what_is_not_there(wire: &IdentityRequest) -> Result<(), ApiError> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let some = |map: &Option<Map<String, Value>>| map.as_ref().is_some_and(|map| !map.is_empty());
    let harness = wire.harness.as_ref();
    let absent = [
        ("skills", wire.skills.as_ref().is_some_and(|skills| !skills.is_empty())),
        ("memory", some(&wire.memory)),
        ("on_behalf_of_enabled", wire.on_behalf_of_enabled == Some(true)),
        ("factory_uid", given(&wire.factory_uid)),
        ("inference_providers", some(&wire.inference_providers)),
        ("harness_auth_secrets", some(&wire.harness_auth_secrets)),
        ("harness.model_id", harness.is_some_and(|harness| given(&harness.model_id))),
        ("harness.reasoning_level", harness.is_some_and(|harness| given(&harness.reasoning_level))),
        ("worker_host", wire.worker_host.as_deref().is_some_and(|host| !["", "warp"].contains(&host.trim()))),
    ];
    match absent.into_iter().find(|(_, is_given)| *is_given) {
        Some((field, _)) => {
            let detail = format!("{field}: not supported by this version");
            Err(ApiError::new(ErrorCode::OperationNotSupported, detail))
        }
        None => Ok(()),
    }
}

/// As it would be asked for.
pub(crate) fn request_of(config: NamedAgentConfig) -> IdentityRequest {
    let NamedAgentConfig {
        name,
        description,
        prompt,
        agent_type,
        environment,
        runner,
        secrets,
        harness,
        base_model,
        mcp_servers,
    } = config;
    let secrets: Vec<SecretRef> = secrets.into_iter().map(|name| SecretRef { name }).collect();
    IdentityRequest {
        name: Some(name),
        description,
        prompt,
        agent_type,
        base_model,
        harness: harness.map(|kind| Harness { kind: Some(kind.as_str().to_owned()), ..Harness::default() }),
        default_runner_uid: runner.map(|uid| uid.to_string()),
        environment_id: environment.map(|uid| uid.to_string()),
        mcp_servers: serde_json::from_value(mcp_servers.into())
            .ok()
            .filter(|servers: &BTreeMap<_, _>| !servers.is_empty()),
        secrets: Some(secrets).filter(|secrets| !secrets.is_empty()),
        ..IdentityRequest::default()
    }
}

/// What a request says, and of the rest what is there.
fn over(new: IdentityRequest, old: IdentityRequest) -> IdentityRequest {
    // The older form of the same: whichever is said counts.
    let harness = if new.base_harness.is_some() { new.harness } else { new.harness.or(old.harness) };
    IdentityRequest {
        name: new.name.or(old.name),
        description: new.description.or(old.description),
        prompt: new.prompt.or(old.prompt),
        agent_type: new.agent_type.or(old.agent_type),
        base_model: new.base_model.or(old.base_model),
        harness,
        default_runner_uid: new.default_runner_uid.or(old.default_runner_uid),
        environment_id: new.environment_id.or(old.environment_id),
        mcp_servers: new.mcp_servers.or(old.mcp_servers),
        secrets: new.secrets.or(old.secrets),
        ..new
    }
}

fn answer(agent: NamedAgent) -> Identity {
    let NamedAgent { uid, config, created_at, last_updated, .. } = agent;
    let IdentityRequest {
        name,
        description,
        prompt,
        agent_type,
        base_model,
        harness,
        default_runner_uid,
        environment_id,
        mcp_servers,
        secrets,
        ..
    } = request_of(config);
    Identity {
        uid,
        name: name.unwrap_or_default(),
        available: true,
        created_at,
        updated_at: last_updated,
        default_runner_uid: default_runner_uid.unwrap_or_default(),
        memory: Memory::default(),
        secrets: secrets.unwrap_or_default(),
        skills: Vec::new(),
        description,
        prompt,
        agent_type,
        base_model,
        environment_id,
        harness,
        mcp_servers,
    }
}
