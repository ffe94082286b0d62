//! What a sender is told. The status decides what it does: most try again whatever it is, for days.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ozma_app::receive::{Delivered, ReceiveError, Refused};
use ozma_domain::delivery::Owes;
use ozma_domain::id::{DeliveryId, RunId};
use ozma_domain::text::chain;
use serde::Serialize;
use serde_json::json;

/// The event is stored, and each run that it started will reach an end.
#[derive(Serialize)]
struct Accepted<'a> {
    /// By which the log has it.
    delivery_id: DeliveryId,
    /// It was delivered before, and this is what came of it then.
    duplicate: bool,
    /// The first of `runs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<RunId>,
    runs: Vec<Run<'a>>,
    /// Runs that there were, which were told what was said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    followed_up: Vec<Run<'a>>,
}

#[derive(Serialize)]
struct Run<'a> {
    automation: &'a str,
    run_id: RunId,
}

/// 202, whatever it started: what it did not start is the owner's to see, in the log. A command of Slack's is answered for
/// whoever typed it, and seen by nobody else; Slack shows nothing of what is not 200.
pub(crate) fn delivered(delivered: &Delivered) -> Response {
    if let Some(text) = delivered.said() {
        return Json(json!({"response_type": "ephemeral", "text": text})).into_response();
    }
    match &delivered.refused {
        Some(Refused::TooMany { reason, retry_seconds }) => {
            return later(reason, *retry_seconds);
        }
        Some(Refused::Environment { reason }) => {
            return refusal(StatusCode::CONFLICT, "environment_missing", reason);
        }
        None => {}
    }
    let done = |owes: Owes| {
        let runs = delivered.delivery.runs.iter().filter(move |run| run.is_started(owes));
        runs.map(|run| Run { automation: &run.name, run_id: run.run_id }).collect::<Vec<_>>()
    };
    let runs = done(Owes::Run);
    let accepted = Accepted {
        delivery_id: delivered.delivery.id,
        duplicate: delivered.duplicate,
        run_id: runs.first().map(|run| run.run_id),
        runs,
        followed_up: done(Owes::FollowUp),
    };
    (StatusCode::ACCEPTED, Json(accepted)).into_response()
}

pub(crate) fn failure(err: &ReceiveError) -> Response {
    let response = match err {
        ReceiveError::TooLarge => refusal(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &err.to_string()),
        ReceiveError::Unverified(_) => refusal(StatusCode::UNAUTHORIZED, "unverified", &err.to_string()),
        ReceiveError::Sender(_) | ReceiveError::Payload(_) | ReceiveError::Decode(_) => {
            refusal(StatusCode::BAD_REQUEST, "malformed", &err.to_string())
        }
        // One answer: whether somebody paused it or deleted it is not the sender's to know.
        ReceiveError::Nowhere | ReceiveError::Paused(_) => {
            refusal(StatusCode::NOT_FOUND, "not_found", "nothing takes webhooks at this address")
        }
        ReceiveError::Reused => refusal(StatusCode::CONFLICT, "conflict", &err.to_string()),
        ReceiveError::TooMany { reason, retry_seconds } => later(reason, *retry_seconds),
        ReceiveError::Store(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal", "deliver it again in a while"),
    };
    if response.status().is_server_error() {
        tracing::error!(error = %chain(err), "a webhook could not be taken");
    } else {
        tracing::info!(error = %chain(err), "a webhook was refused");
    }
    response
}

pub(crate) fn refusal(status: StatusCode, error: &str, detail: &str) -> Response {
    (status, Json(json!({"error": error, "detail": detail}))).into_response()
}

fn later(reason: &str, retry_seconds: u64) -> Response {
    let detail = format!("{reason}; try again in {retry_seconds} s");
    let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, "too_many", &detail);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_seconds));
    response
}
