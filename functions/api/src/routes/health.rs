//! Whether the control plane answers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ozma_app::App;

use crate::error::ApiError;
use crate::wire::Health;

/// Answers once the store does.
#[utoipa::path(get, path = "/health", responses((status = 200, body = Health)), security(()), tag = "service")]
pub(crate) async fn health(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    let teams = app.store.teams().await?;
    // One team is a laptop's; more than one plan is nobody's business here.
    let plan = if let [team] = teams.as_slice() { Some(team.plan.name.clone()) } else { None };
    Ok(Json(Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), plan }))
}
