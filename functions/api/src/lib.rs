//! The public REST API: the Oz contract, and what Ozma adds to it. Exports its router, so that `oz up` serves the very
//! same routes as the Lambda.

mod auth;
mod base_url;
mod body;
mod dashboard;
mod definitions;
mod error;
mod openapi;
mod path;
mod query;
mod routes;
mod trace;
pub mod wire;

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use ozma_app::App;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Every route under `/api/v1`, `/health`, `/openapi.json`, and the dashboard at `/`.
pub fn router(app: Arc<App>) -> Router {
    let (router, api) = open_api_router().split_for_parts();
    let description = openapi::described(api).to_json().unwrap_or_default();
    let description = axum::routing::get(([(CONTENT_TYPE, "application/json")], description));
    router
        .route("/openapi.json", description)
        .route("/", axum::routing::get(dashboard::dashboard))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(app.clone(), trace::trace))
        .with_state(app)
}

/// The description that is served: made from the routes themselves.
pub fn openapi() -> utoipa::openapi::OpenApi {
    openapi::described(open_api_router().into_openapi())
}

/// The JSON Schema of a definition.
pub fn definitions_schema() -> serde_json::Value {
    definitions::schema()
}

fn open_api_router() -> OpenApiRouter<Arc<App>> {
    let v1 = OpenApiRouter::new()
        .routes(routes!(routes::runs::create, routes::runs::list))
        .routes(routes!(routes::runs::create_by_its_older_name))
        .routes(routes!(routes::runs::get))
        .routes(routes!(routes::runs::cancel))
        .routes(routes!(routes::runs::follow_up))
        .routes(routes!(routes::runs::timeline))
        .routes(routes!(routes::runs::events))
        .routes(routes!(routes::artifacts::attachments))
        .routes(routes!(routes::artifacts::get))
        .routes(routes!(routes::artifacts::download))
        .routes(routes!(routes::audit::trail))
        .routes(routes!(routes::audit::segment))
        .routes(routes!(routes::automations::list, routes::automations::create))
        .routes(routes!(routes::automations::get, routes::automations::update, routes::automations::delete))
        .routes(routes!(routes::automations::rotate_secret))
        .routes(routes!(routes::automations::test))
        .routes(routes!(routes::webhooks::list, routes::webhooks::create))
        .routes(routes!(routes::webhooks::get, routes::webhooks::update, routes::webhooks::delete))
        .routes(routes!(routes::webhooks::rotate_secret))
        .routes(routes!(routes::definitions::apply))
        .routes(routes!(routes::definitions::export))
        .routes(routes!(routes::deliveries::list))
        .routes(routes!(routes::deliveries::get))
        .routes(routes!(routes::deliveries::replay))
        .routes(routes!(routes::environments::list, routes::environments::create))
        .routes(routes!(routes::environments::get, routes::environments::update, routes::environments::delete))
        .routes(routes!(routes::runners::list, routes::runners::create))
        .routes(routes!(routes::runners::get, routes::runners::update, routes::runners::delete))
        .routes(routes!(routes::identities::list, routes::identities::create))
        .routes(routes!(routes::identities::get, routes::identities::update, routes::identities::delete))
        .routes(routes!(routes::schedules::list, routes::schedules::create))
        .routes(routes!(routes::schedules::get, routes::schedules::update, routes::schedules::delete))
        .routes(routes!(routes::schedules::pause))
        .routes(routes!(routes::schedules::resume))
        .routes(routes!(routes::schedules::run_now))
        .routes(routes!(routes::secrets::list))
        .routes(routes!(routes::secrets::put, routes::secrets::delete))
        .routes(routes!(routes::subscriptions::list, routes::subscriptions::create))
        .routes(routes!(routes::subscriptions::get, routes::subscriptions::update, routes::subscriptions::delete))
        .routes(routes!(routes::subscriptions::rotate_secret))
        .routes(routes!(routes::subscriptions::test))
        .routes(routes!(routes::subscriptions::deliveries))
        .routes(routes!(routes::subscriptions::replay))
        .routes(routes!(routes::teams::get))
        .routes(routes!(routes::teams::set))
        .routes(routes!(routes::teams::pause))
        .routes(routes!(routes::teams::resume))
        .routes(routes!(routes::teams::stop))
        .routes(routes!(routes::teams::resume_all))
        .routes(routes!(routes::whoami::whoami));
    OpenApiRouter::new().nest("/api/v1", v1).routes(routes!(routes::health::health))
}
