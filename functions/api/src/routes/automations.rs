//! Automations: list, create, get, replace, rotate, delete. None of it is in the contract.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ozma_app::App;
use ozma_app::automations;
use ozma_app::receive::{self, Tried};
use ozma_domain::automation as domain;
use ozma_domain::limits;
use serde_json::Value;

use super::new_run::template;
use super::{deliveries, triggers};
use crate::auth::Caller;
use crate::base_url::BaseUrl;
use crate::body::Body;
use crate::error::ApiError;
use crate::path::Path;
use crate::wire::{
    Automation, AutomationConfig, AutomationList, Budget, CreateRunRequest, Deleted, Limits, Problem, Scheduling,
    TestRequest, TestResult,
};

/// Every automation of the team, by name.
#[utoipa::path(
    get,
    path = "/automations",
    operation_id = "listAutomations",
    responses((status = 200, body = AutomationList), (status = 401, body = Problem)),
    tag = "automations"
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
) -> Result<Json<AutomationList>, ApiError> {
    let all = automations::list(&app, &caller.team).await?;
    Ok(Json(AutomationList { automations: all.into_iter().map(|one| answer(one, &base)).collect() }))
}

/// Creates an automation. Its webhook's secret is in this answer and in no other.
#[utoipa::path(
    post,
    path = "/automations",
    operation_id = "createAutomation",
    request_body = AutomationConfig,
    responses(
        (status = 201, body = Automation),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 404, description = "There is no such environment", body = Problem),
    ),
    tag = "automations"
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
    body: Body<AutomationConfig>,
) -> Result<(StatusCode, Json<Automation>), ApiError> {
    let automation = automations::create(&app, &caller.team, config(&app, &caller, body.value).await?).await?;
    Ok((StatusCode::CREATED, Json(answer_with_secret(&app, automation, &base))))
}

/// One automation, by id or by name.
#[utoipa::path(
    get,
    path = "/automations/{id}",
    operation_id = "getAutomation",
    params(("id" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Automation), (status = 404, body = Problem)),
    tag = "automations"
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
    Path(id): Path<String>,
) -> Result<Json<Automation>, ApiError> {
    Ok(Json(answer(automations::find(&app, &caller.team, &id).await?, &base)))
}

/// Replaces an automation's configuration, and with `paused` pauses or resumes it. Its address and its secret stay.
#[utoipa::path(
    put,
    path = "/automations/{id}",
    operation_id = "updateAutomation",
    params(("id" = String, Path, description = "The id, or the name")),
    request_body = AutomationConfig,
    responses((status = 200, body = Automation), (status = 400, body = Problem), (status = 404, body = Problem)),
    tag = "automations"
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
    Path(id): Path<String>,
    body: Body<AutomationConfig>,
) -> Result<Json<Automation>, ApiError> {
    let config = config(&app, &caller, body.value).await?;
    Ok(Json(answer(automations::update(&app, &caller.team, &id, config).await?, &base)))
}

/// Deletes an automation. Runs that it started go on.
#[utoipa::path(
    delete,
    path = "/automations/{id}",
    operation_id = "deleteAutomation",
    params(("id" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Deleted), (status = 404, body = Problem)),
    tag = "automations"
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Deleted>, ApiError> {
    automations::delete(&app, &caller.team, &id).await?;
    Ok(Json(Deleted { success: true }))
}

/// Gives an automation's webhook a new secret, which is in this answer and in no other. The one before works for 24 hours
/// more; one before that stops at once.
#[utoipa::path(
    post,
    path = "/automations/{id}/rotate-secret",
    operation_id = "rotateAutomationSecret",
    params(("id" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Automation), (status = 404, body = Problem), (status = 409, body = Problem)),
    tag = "automations"
)]
pub(crate) async fn rotate_secret(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
    Path(id): Path<String>,
) -> Result<Json<Automation>, ApiError> {
    let automation = automations::rotate(&app, &caller.team, &id).await?;
    Ok(Json(answer_with_secret(&app, automation, &base)))
}

/// What an automation would make of an event that came before. Nothing is started.
#[utoipa::path(
    post,
    path = "/automations/{id}/test",
    operation_id = "testAutomation",
    params(("id" = String, Path, description = "The id, or the name")),
    request_body = TestRequest,
    responses((status = 200, body = TestResult), (status = 400, body = Problem), (status = 404, body = Problem)),
    tag = "automations"
)]
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<TestRequest>,
) -> Result<Json<TestResult>, ApiError> {
    let needed =
        || ApiError::invalid("delivery_id", "needed: the event to try; `oz delivery list` shows those there are");
    let delivery_id = deliveries::parsed(&body.value.delivery_id.ok_or_else(needed)?)?;
    let saved = automations::find(&app, &caller.team, &id).await?.config;
    let config = match body.value.config {
        Some(wire) => config(&app, &caller, wire).await.map_err(|err| err.within("config"))?,
        None => saved,
    };
    config.check().map_err(ApiError::from)?;
    let tried = receive::try_out(&app, &caller.team, &config, delivery_id).await?;
    let Tried { starts, why, conditions, prompt, absent, key, secrets } =
        tried.ok_or_else(|| deliveries::unknown(delivery_id))?;
    Ok(Json(TestResult { delivery_id, starts, why, conditions, prompt, absent, key, secrets }))
}

async fn config(app: &App, caller: &Caller, mut wire: AutomationConfig) -> Result<domain::AutomationConfig, ApiError> {
    if let Some(on) = wire.on.take() {
        wire.on = Some(triggers::resolved(app, caller, on).await.map_err(|err| err.within("on"))?);
    }
    read(wire)
}

/// Whatever it needs is known by its id.
pub(crate) fn read(wire: AutomationConfig) -> Result<domain::AutomationConfig, ApiError> {
    let trigger = triggers::trigger(wire.on.unwrap_or_default()).map_err(|err| err.within("on"))?;
    let run = wire.run.ok_or_else(|| ApiError::invalid("run", "needed: the request that each trigger makes"))?;
    if run.parent_run_id.as_deref().is_some_and(|parent| !parent.is_empty()) {
        return Err(ApiError::invalid("run.parent_run_id", "a run that a trigger starts has no parent"));
    }
    let template = template(run, limits::TEMPLATE_PROMPT_BYTES).map_err(|err| err.within("run"))?;
    Ok(domain::AutomationConfig {
        name: wire.name.unwrap_or_default(),
        paused: wire.paused.unwrap_or_default(),
        template,
        trigger,
        weight: wire.weight,
        runs_per_hour: wire.runs_per_hour,
        budget: wire.budget.map(|budget| budget.into_domain("budget")).transpose()?.unwrap_or_default(),
    })
}

pub(crate) fn answer_with_secret(app: &App, automation: domain::Automation, base: &BaseUrl) -> Automation {
    let secret = automation.secret(&app.settings.webhook_key).expose().to_owned();
    Automation { webhook_secret: Some(secret), ..answer(automation, base) }
}

pub(crate) fn answer(automation: domain::Automation, BaseUrl(base): &BaseUrl) -> Automation {
    let domain::Automation { id, config, rotated_at, created_at, last_updated, paused_because, .. } = automation;
    let template = config.template;
    let run = CreateRunRequest {
        prompt: Some(template.prompt),
        title: template.title,
        config: serde_json::from_value(Value::Object(template.agent_config)).ok(),
        agent_identity_uid: template.agent.map(|uid| uid.to_string()),
        metadata: Some(template.metadata).filter(|metadata| !metadata.is_empty()),
        scheduling: Some((&template.scheduling).into()).filter(|scheduling| *scheduling != Scheduling::default()),
        limits: Some(template.limits.into()).filter(|limits| *limits != Limits::default()),
        ..CreateRunRequest::default()
    };
    Automation {
        webhook_url: format!("{base}/webhooks/{id}"),
        id,
        name: config.name,
        paused: config.paused,
        paused_because,
        on: triggers::answer(config.trigger),
        run,
        weight: config.weight,
        runs_per_hour: config.runs_per_hour,
        budget: Budget::given(config.budget),
        webhook_secret: None,
        secret_rotated_at: rotated_at,
        created_at,
        last_updated,
    }
}
