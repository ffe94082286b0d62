//! Secrets: put, listed by name, deleted. Never read.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ozma_app::App;
use ozma_app::ports::SecretMetadata;
use ozma_domain::id::SecretName;
use ozma_domain::limits;
use secrecy::SecretString;

use crate::auth::Caller;
use crate::body::Body;
use crate::error::ApiError;
use crate::path::Path;
use crate::wire::{Deleted, Problem, PutSecretRequest, SecretItem, SecretList};

/// Every secret of the team, by name, without its value.
#[utoipa::path(
    get,
    path = "/agent/secrets",
    operation_id = "listSecrets",
    responses((status = 200, body = SecretList), (status = 401, body = Problem)),
    tag = "secrets"
)]
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<SecretList>, ApiError> {
    let mut secrets: Vec<SecretItem> = app.vault.list(&caller.team).await?.into_iter().map(item).collect();
    secrets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Json(SecretList { secrets }))
}

/// Creates or replaces a secret. Environments name the secrets that their runs receive.
#[utoipa::path(
    put,
    path = "/agent/secrets/{name}",
    operation_id = "putSecret",
    params(("name" = String, Path, description = "The variable that it arrives in")),
    request_body = PutSecretRequest,
    responses((status = 200, body = SecretItem), (status = 400, body = Problem), (status = 401, body = Problem)),
    tag = "secrets"
)]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    body: Body<PutSecretRequest>,
) -> Result<Json<SecretItem>, ApiError> {
    let name: SecretName = name.parse().map_err(|err| ApiError::invalid("name", err))?;
    if name.as_str().starts_with("OZ_") {
        return Err(ApiError::invalid("name", "names that begin with OZ_ belong to the platform"));
    }
    let value = body.value.value;
    if value.is_empty() || value.len() > limits::SECRET_BYTES || value.contains('\0') {
        let reason = format!("needs 1 to {} bytes without NUL", limits::SECRET_BYTES);
        return Err(ApiError::invalid("value", reason));
    }
    app.vault.put(&caller.team, &name, SecretString::from(value)).await?;
    let stored = app.vault.find(&caller.team, &name).await?;
    stored.map(|secret| Json(item(secret))).ok_or_else(|| ApiError::not_found(format!("the secret {name} was deleted")))
}

/// Deletes a secret. Runs whose environment still names it fail before they start.
#[utoipa::path(
    delete,
    path = "/agent/secrets/{name}",
    operation_id = "deleteSecret",
    params(("name" = String, Path)),
    responses((status = 200, body = Deleted), (status = 401, body = Problem), (status = 404, body = Problem)),
    tag = "secrets"
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Deleted>, ApiError> {
    let unknown = || ApiError::not_found(format!("there is no secret {name}"));
    let parsed: SecretName = name.parse().map_err(|_| unknown())?;
    if app.vault.delete(&caller.team, &parsed).await? { Ok(Json(Deleted { success: true })) } else { Err(unknown()) }
}

fn item(secret: SecretMetadata) -> SecretItem {
    SecretItem { name: secret.name, created_at: secret.created_at, updated_at: secret.updated_at }
}
