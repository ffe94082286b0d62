//! Takes signed webhooks: each starts a run from a stored template. Exports its router, so that `oz up` serves the very
//! same route as the Lambda.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use ozma_app::App;
use ozma_app::accept::AcceptError;
use ozma_app::receive::{self, ReceiveError};
use ozma_domain::id::RunId;
use ozma_domain::limits;
use ozma_domain::standard_webhooks::{Envelope, InvalidEnvelope, Unverified};
use ozma_domain::text::chain;
use serde::Serialize;
use serde_json::json;

/// `POST /webhooks/{id}`, where the id is an automation's.
pub fn router(app: Arc<App>) -> Router {
    Router::new().route("/webhooks/{id}", post(deliver)).with_state(app)
}

/// The run is accepted: from here on it will reach an end.
#[derive(Serialize)]
struct Delivered {
    delivery_id: String,
    run_id: RunId,
    /// It was delivered before, and this is the run from then.
    duplicate: bool,
}

async fn deliver(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Delivered>), Refusal> {
    let body = axum::body::to_bytes(body, limits::WEBHOOK_BYTES).await.map_err(|_| Refusal::TooLarge)?;
    let envelope = Envelope::read(|name| headers.get(name)?.to_str().ok()).map_err(Refusal::Envelope)?;
    // An address that cannot be read is like one that nobody has.
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    let received = receive::webhook(&app, &id, &envelope, &body).await.map_err(Refusal::Receive)?;
    let delivered = Delivered { delivery_id: envelope.id, run_id: received.run_id, duplicate: received.duplicate };
    Ok((StatusCode::ACCEPTED, Json(delivered)))
}

/// What a sender is told. The status decides what it does: most try again whatever it is, for days.
enum Refusal {
    TooLarge,
    Envelope(InvalidEnvelope),
    Receive(ReceiveError),
}

impl Refusal {
    fn told(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::TooLarge => {
                let detail = format!("the body has more than {} KiB", limits::WEBHOOK_BYTES / 1024);
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
            }
            Self::Envelope(err) => (StatusCode::BAD_REQUEST, "malformed", err.to_string()),
            Self::Receive(ReceiveError::Unverified(err @ Unverified::Time)) => {
                (StatusCode::UNAUTHORIZED, "unverified", err.to_string())
            }
            Self::Receive(ReceiveError::Unverified(err @ Unverified::Signature)) => {
                let detail = format!("{err} for this address; check the address and the secret");
                (StatusCode::UNAUTHORIZED, "unverified", detail)
            }
            // One answer: whether somebody paused it or deleted it is not the sender's to know.
            Self::Receive(ReceiveError::Unknown(_) | ReceiveError::Paused(_)) => {
                (StatusCode::NOT_FOUND, "not_found", "nothing takes webhooks at this address".to_owned())
            }
            Self::Receive(ReceiveError::Accept(AcceptError::KeyReused { .. })) => {
                let detail = "webhook-id: another body was delivered under it before; use a new id for a new delivery";
                (StatusCode::CONFLICT, "conflict", detail.to_owned())
            }
            Self::Receive(ReceiveError::Accept(AcceptError::UnknownEnvironment(_))) => {
                let detail = "the automation's environment is not there any more; give the automation another one";
                (StatusCode::CONFLICT, "environment_missing", detail.to_owned())
            }
            Self::Receive(ReceiveError::Accept(err @ AcceptError::TooMany { .. })) => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many", err.to_string())
            }
            Self::Receive(ReceiveError::Accept(_) | ReceiveError::Store(_)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", "deliver it again in a while".to_owned())
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error, detail) = self.told();
        match &self {
            Self::Receive(err) if status.is_server_error() => {
                tracing::error!(error = %chain(err), "a webhook could not be taken");
            }
            Self::Receive(err) => tracing::info!(error = %chain(err), "a webhook was refused"),
            Self::TooLarge | Self::Envelope(_) => tracing::info!(error = detail, "a webhook was refused"),
        }
        let mut response = (status, Json(json!({"error": error, "detail": detail}))).into_response();
        if let Self::Receive(ReceiveError::Accept(AcceptError::TooMany { retry_seconds, .. })) = &self {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(*retry_seconds));
        }
        response
    }
}
