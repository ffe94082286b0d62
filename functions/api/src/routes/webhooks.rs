//! Webhooks: list, create, get, replace, rotate, delete. None of it is in the contract.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ozma_app::App;
use ozma_app::webhooks;
use ozma_domain::provider::{Own, Provider};
use ozma_domain::webhook as domain;
use ozma_domain::webhook_auth::WebhookAuth;

use crate::auth::Caller;
use crate::base_url::BaseUrl;
use crate::body::Body;
use crate::error::ApiError;
use crate::path::Path;
use crate::wire::{Deleted, Problem, RotateSecretRequest, Webhook, WebhookConfig, WebhookList};

/// Every webhook of the team, by name.
#[utoipa::path(
    get,
    path = "/webhooks",
    operation_id = "listWebhooks",
    responses((status = 200, body = WebhookList), (status = 401, body = Problem)),
    tag = "webhooks"
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
) -> Result<Json<WebhookList>, ApiError> {
    let all = webhooks::list(&app, &caller.team).await?;
    Ok(Json(WebhookList { webhooks: all.into_iter().map(|one| answer(one, &base)).collect() }))
}

/// Creates an address for events. A secret that is made here is in this answer and in no other; of a service that makes its
/// own, bring it along or later.
#[utoipa::path(
    post,
    path = "/webhooks",
    operation_id = "createWebhook",
    request_body = WebhookConfig,
    responses((status = 201, body = Webhook), (status = 400, body = Problem), (status = 401, body = Problem)),
    tag = "webhooks"
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
    body: Body<WebhookConfig>,
) -> Result<(StatusCode, Json<Webhook>), ApiError> {
    let secret = body.value.secret.clone();
    let webhook = webhooks::create(&app, &caller.team, config(body.value)?, secret.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(answer_with_secret(&app, webhook, &base))))
}

/// One webhook, by id or by name.
#[utoipa::path(
    get,
    path = "/webhooks/{id}",
    operation_id = "getWebhook",
    params(("id" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Webhook), (status = 404, body = Problem)),
    tag = "webhooks"
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
    Path(id): Path<String>,
) -> Result<Json<Webhook>, ApiError> {
    let webhook = webhooks::find(&app, &caller.team, &id).await?;
    let look = webhooks::look(&app, &webhook).await?;
    Ok(Json(Webhook { look, ..answer(webhook, &base) }))
}

/// Replaces a webhook's configuration, and with `paused` pauses or resumes it. Its address stays, and its secret unless `auth`
/// changes: then a new one is in this answer.
#[utoipa::path(
    put,
    path = "/webhooks/{id}",
    operation_id = "updateWebhook",
    params(("id" = String, Path, description = "The id, or the name")),
    request_body = WebhookConfig,
    responses((status = 200, body = Webhook), (status = 400, body = Problem), (status = 404, body = Problem)),
    tag = "webhooks"
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
    Path(id): Path<String>,
    body: Body<WebhookConfig>,
) -> Result<Json<Webhook>, ApiError> {
    if body.value.secret.is_some() {
        return Err(ApiError::invalid("secret", "it stays; give a new one with `/rotate-secret`"));
    }
    let auth = webhooks::find(&app, &caller.team, &id).await?.config.auth;
    let webhook = webhooks::update(&app, &caller.team, &id, config(body.value)?).await?;
    Ok(Json(match webhook.config.auth == auth {
        true => answer(webhook, &base),
        false => answer_with_secret(&app, webhook, &base),
    }))
}

/// Deletes a webhook. Automations that listen to it are not started by it any more.
#[utoipa::path(
    delete,
    path = "/webhooks/{id}",
    operation_id = "deleteWebhook",
    params(("id" = String, Path, description = "The id, or the name")),
    responses((status = 200, body = Deleted), (status = 404, body = Problem)),
    tag = "webhooks"
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Deleted>, ApiError> {
    webhooks::delete(&app, &caller.team, &id).await?;
    Ok(Json(Deleted { success: true }))
}

/// Gives a webhook a new secret: the one in the body, which its service has made, or one that is made here and is in this
/// answer and in no other. The one before works for 24 hours more.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/rotate-secret",
    operation_id = "rotateWebhookSecret",
    params(("id" = String, Path, description = "The id, or the name")),
    request_body = RotateSecretRequest,
    responses(
        (status = 200, body = Webhook),
        (status = 400, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem),
    ),
    tag = "webhooks"
)]
pub(crate) async fn rotate_secret(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
    Path(id): Path<String>,
    body: Body<RotateSecretRequest>,
) -> Result<Json<Webhook>, ApiError> {
    let webhook = webhooks::rotate(&app, &caller.team, &id, body.value.secret.as_deref()).await?;
    Ok(Json(answer_with_secret(&app, webhook, &base)))
}

pub(crate) fn config(wire: WebhookConfig) -> Result<domain::WebhookConfig, ApiError> {
    let needed = "needed: {\"mode\": \"token\"}, {\"mode\": \"url_token\"} or {\"mode\": \"signature\", \"scheme\": …}";
    Ok(domain::WebhookConfig {
        name: wire.name.unwrap_or_default(),
        auth: wire.auth.ok_or_else(|| ApiError::invalid("auth", needed))?,
        provider: wire.provider.as_deref().map(provider).transpose()?,
        paused: wire.paused.unwrap_or_default(),
        delivery_header: wire
            .delivery_header
            .map(|name| name.parse().map_err(|err| ApiError::invalid("delivery_header", err)))
            .transpose()?,
        deliveries_per_minute: wire.deliveries_per_minute,
        own: wire.own.unwrap_or_default(),
        connection: wire.connection,
    })
}

pub(super) fn provider(name: &str) -> Result<Provider, ApiError> {
    name.parse().map_err(|err| ApiError::invalid("provider", err))
}

pub(crate) fn answer_with_secret(app: &App, webhook: domain::Webhook, base: &BaseUrl) -> Webhook {
    let secret = webhooks::made_here(app, &webhook).map(|secret| secret.expose().to_owned());
    let is_in_path = webhook.config.auth == WebhookAuth::UrlToken;
    let mut answer = answer(webhook, base);
    if is_in_path && let Some(token) = &secret {
        answer.url = format!("{}/{token}", answer.url);
    }
    Webhook { secret, ..answer }
}

pub(crate) fn answer(webhook: domain::Webhook, BaseUrl(base): &BaseUrl) -> Webhook {
    let domain::Webhook { id, config, secrets, created_at, last_updated, .. } = webhook;
    Webhook {
        url: format!("{base}/webhooks/{id}"),
        id,
        paused: config.paused,
        auth: config.auth,
        provider: config.provider().map(|provider| provider.to_string()),
        delivery_header: config.delivery_header.as_ref().map(|header| header.as_str().to_owned()),
        deliveries_per_minute: config.deliveries_per_minute(),
        own: Some(config.own).filter(|own| *own != Own::default()),
        connection: config.connection,
        look: None,
        name: config.name,
        has_secret: secrets.is_complete(),
        secret: None,
        secret_rotated_at: secrets.rotated_at,
        created_at,
        last_updated,
    }
}
