//! Takes webhooks: what happened outside, told by a service that can show who it is. Exports its router, so that `oz up` serves
//! the very same routes as the Lambda.

mod answer;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use ozma_app::App;
use ozma_app::receive::{self, Request, Taken};
use ozma_domain::limits;
use ozma_domain::webhook_auth::Header;

/// `POST /webhooks/{id}`, where the id is a webhook's or an automation's; with the token behind it for senders that can do
/// nothing else.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/webhooks/{id}", post(deliver))
        .route("/webhooks/{id}/{token}", post(deliver_with_token))
        .method_not_allowed_fallback(|| async { answer::refusal(StatusCode::METHOD_NOT_ALLOWED, "method", "use POST") })
        .with_state(app)
}

async fn deliver(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // An address that cannot be read is like one that nobody has.
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    take(&app, &id, None, &headers, body).await
}

async fn deliver_with_token(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (id, token) = path.map_or_else(|_| Default::default(), |Path(parts)| parts);
    take(&app, &id, Some(&token), &headers, body).await
}

async fn take(app: &App, id: &str, token: Option<&str>, headers: &HeaderMap, body: Body) -> Response {
    let Ok(body) = axum::body::to_bytes(body, limits::WEBHOOK_BYTES).await else {
        return answer::failure(&receive::too_large(app, id).await);
    };
    let header = |name: &str| Header::of(headers.get_all(name).iter().map(|value| value.as_bytes()));
    let request = Request { header, path_token: token, body: &body };
    match receive::webhook(app, id, request).await {
        Ok(Taken::Delivered(delivered)) => answer::delivered(&delivered),
        Ok(Taken::Challenge(challenge)) => challenge.into_response(),
        Err(err) => answer::failure(&err),
    }
}
