//! Who is asking.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ozma_app::App;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::wire::{Problem, Whoami};

/// The team and plan that an API key stands for.
#[utoipa::path(
    get,
    path = "/agent/whoami",
    responses((status = 200, body = Whoami), (status = 401, body = Problem)),
    tag = "service"
)]
pub(crate) async fn whoami(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Whoami>, ApiError> {
    let plan = app.plan(&caller.team).await?;
    Ok(Json(Whoami {
        team: caller.team,
        plan: (&plan).into(),
        key_name: caller.name,
        api_version: env!("CARGO_PKG_VERSION").to_owned(),
    }))
}
