//! Errors over HTTP: a problem document, with headers that say whether to try again.

use std::any::Any;
use std::error::Error;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use ozma_app::accept::AcceptError;
use ozma_app::apply::ApplyError;
use ozma_app::artifacts::ArtifactError;
use ozma_app::audit::AuditError;
use ozma_app::automations::AutomationError;
use ozma_app::cancel::CancelError;
use ozma_app::list::ListError;
use ozma_app::messages::MessageError;
use ozma_app::ports::PortError;
use ozma_app::receive::ReceiveError;
use ozma_app::resources::ResourceError;
use ozma_app::schedules::ScheduleError;
use ozma_app::subscriptions::SubscriptionError;
use ozma_app::teams::TeamError;
use ozma_app::transcript::TranscriptError;
use ozma_app::webhooks::WebhookError;
use ozma_domain::error_code::ErrorCode;
use ozma_domain::template::InvalidField;
use ozma_domain::text::chain;
use ozma_store::StoreError;

use crate::wire::Problem;
use crate::wire::problem::CONTENT_TYPE;

/// A refusal or a failure, as the client will read it. [`crate::trace`] adds path and trace id.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    problem: Box<Problem>,
    /// When to try again, where that is known.
    retry_seconds: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(Problem::new(code, Some(detail.into()))), retry_seconds: None }
    }

    pub(crate) fn invalid(field: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::InvalidRequest, format!("{field}: {reason}"))
    }

    /// The same, of a body that is a member of the request's: a field is named as the client sees it.
    pub(crate) fn within(mut self, member: &str) -> Self {
        let detail = format!("{member}.{}", self.problem.detail.unwrap_or_default());
        self.problem.error = format!("{} ({detail})", self.problem.title);
        self.problem.detail = Some(detail);
        self
    }

    /// The same with a field by the name that it has in this request.
    pub(crate) fn renamed(mut self, from: &str, to: &str) -> Self {
        if let Some(rest) = self.problem.detail.as_deref().and_then(|detail| detail.strip_prefix(from)) {
            let detail = format!("{to}{rest}");
            self.problem.error = format!("{} ({detail})", self.problem.title);
            self.problem.detail = Some(detail);
        }
        self
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceNotFound, what)
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorCode::InvalidRequest, detail);
        error.problem.status = StatusCode::PAYLOAD_TOO_LARGE.as_u16();
        error
    }

    /// Our fault. The cause goes to the log, under the trace id that the client is told, and not to the client.
    pub(crate) fn internal(err: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(err), "a request failed");
        Self::new(ErrorCode::InternalError, "look up the trace id in the log")
    }

    #[cfg(test)]
    pub(crate) fn problem(&self) -> &Problem {
        &self.problem
    }
}

/// Kept beside the response, so that the path and the trace id can be added to the body.
#[derive(Clone, Debug)]
pub(crate) struct Unfinished(pub(crate) Problem);

impl IntoResponse for ApiError {
    fn into_response(self) -> axum::response::Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        // The official clients decide by status and by this header alone.
        let again = if self.problem.retryable { "true" } else { "false" };
        headers.insert("x-should-retry", HeaderValue::from_static(again));
        if self.problem.retryable && matches!(self.problem.status, 409 | 429) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_seconds.unwrap_or(1)));
        }
        response.extensions_mut().insert(Unfinished(*self.problem));
        response
    }
}

pub(crate) async fn no_such_route() -> ApiError {
    ApiError::not_found("there is no such path; /openapi.json lists those there are")
}

pub(crate) async fn no_such_method() -> ApiError {
    let mut error = ApiError::new(ErrorCode::OperationNotSupported, "this path does not take that method");
    error.problem.status = StatusCode::METHOD_NOT_ALLOWED.as_u16();
    error
}

/// A bug. The panic's message may hold anything, so it stays in the log.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
pub(crate) fn panicked(panic: Box<dyn Any + Send + 'static>) -> axum::response::Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("without a message"), "a handler panicked");
    ApiError::new(ErrorCode::InternalError, "look up the trace id in the log").into_response()
}

impl From<StoreError> for ApiError {
    fn from(err: StoreError) -> Self {
        Self::internal(&err)
    }
}

impl From<PortError> for ApiError {
    fn from(err: PortError) -> Self {
        Self::internal(&err)
    }
}

impl From<AcceptError> for ApiError {
    fn from(err: AcceptError) -> Self {
        match &err {
            AcceptError::Missing(_) => Self::not_found(err.to_string()),
            AcceptError::UnknownParent(_) | AcceptError::ParentCancelled(_) | AcceptError::TooDeep => {
                Self::invalid("parent_run_id", &err)
            }
            AcceptError::KeyReused { .. } => {
                let mut error = Self::new(ErrorCode::Conflict, err.to_string());
                // Sent again it would be refused again.
                error.problem.retryable = false;
                error
            }
            AcceptError::Invalid(_) => Self::new(ErrorCode::InvalidRequest, err.to_string()),
            AcceptError::TooMany { retry_seconds, .. } => Self {
                retry_seconds: Some(*retry_seconds),
                ..Self::new(ErrorCode::ResourceUnavailable, err.to_string())
            },
            AcceptError::ObjectFull { .. } => Self::new(ErrorCode::ResourceUnavailable, err.to_string()),
            AcceptError::Store(_) => Self::internal(&err),
        }
    }
}

impl From<ApplyError> for ApiError {
    fn from(err: ApplyError) -> Self {
        match &err {
            ApplyError::Invalid { .. }
            | ApplyError::Twice { .. }
            | ApplyError::Ambiguous { .. }
            | ApplyError::OfAnotherSet { .. }
            | ApplyError::Needed { .. }
            | ApplyError::TooMany { .. }
            | ApplyError::TooLarge { .. } => Self::new(ErrorCode::InvalidRequest, err.to_string()),
            ApplyError::Lost => Self::new(ErrorCode::Conflict, err.to_string()),
            ApplyError::Store(_) | ApplyError::Port(_) | ApplyError::Vault(_) => Self::internal(&err),
        }
    }
}

impl From<ReceiveError> for ApiError {
    fn from(err: ReceiveError) -> Self {
        match &err {
            ReceiveError::TooMany { retry_seconds, .. } => Self {
                retry_seconds: Some(*retry_seconds),
                ..Self::new(ErrorCode::ResourceUnavailable, err.to_string())
            },
            ReceiveError::Store(_) => Self::internal(&err),
            ReceiveError::Nowhere => Self::not_found("what took it is paused or deleted".to_owned()),
            _ => Self::new(ErrorCode::InvalidRequest, err.to_string()),
        }
    }
}

impl From<WebhookError> for ApiError {
    fn from(err: WebhookError) -> Self {
        match &err {
            WebhookError::Unknown(_) => Self::not_found(err.to_string()),
            WebhookError::Invalid(_) => Self::new(ErrorCode::InvalidRequest, err.to_string()),
            WebhookError::NameTaken(_) => Self::invalid("name", &err),
            WebhookError::Lost => Self::new(ErrorCode::Conflict, err.to_string()),
            WebhookError::Store(_) | WebhookError::Vault(_) => Self::internal(&err),
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(err: ArtifactError) -> Self {
        match &err {
            ArtifactError::Unknown => Self::not_found(err.to_string()),
            ArtifactError::Store(_) => Self::internal(&err),
        }
    }
}

impl From<CancelError> for ApiError {
    fn from(err: CancelError) -> Self {
        match &err {
            CancelError::Unknown(_) => Self::not_found(err.to_string()),
            CancelError::Ended(_) => Self::new(ErrorCode::InvalidRequest, err.to_string()),
            CancelError::Store(_) => Self::internal(&err),
        }
    }
}

impl From<MessageError> for ApiError {
    fn from(err: MessageError) -> Self {
        match &err {
            MessageError::Unknown(_) => Self::not_found(err.to_string()),
            MessageError::Ending => Self::new(ErrorCode::Conflict, err.to_string()),
            MessageError::Skipped(_) => Self::new(ErrorCode::InvalidRequest, err.to_string()),
            MessageError::TooLong => Self::invalid("message", &err),
            MessageError::Store(_) => Self::internal(&err),
        }
    }
}

impl From<ListError> for ApiError {
    fn from(err: ListError) -> Self {
        match &err {
            ListError::Cursor(_) => Self::invalid("cursor", &err),
            ListError::Store(_) => Self::internal(&err),
        }
    }
}

impl From<TranscriptError> for ApiError {
    fn from(err: TranscriptError) -> Self {
        match &err {
            TranscriptError::Unknown(_) => Self::not_found(err.to_string()),
            TranscriptError::Store(_) => Self::internal(&err),
        }
    }
}

impl From<AuditError> for ApiError {
    fn from(err: AuditError) -> Self {
        match &err {
            AuditError::Unknown(_) | AuditError::NoSegment => Self::not_found(err.to_string()),
            AuditError::Store(_) => Self::internal(&err),
        }
    }
}

impl From<ResourceError> for ApiError {
    fn from(err: ResourceError) -> Self {
        match &err {
            ResourceError::Unknown { .. } | ResourceError::Missing(_) => Self::not_found(err.to_string()),
            ResourceError::Invalid(_) => Self::new(ErrorCode::InvalidRequest, err.to_string()),
            ResourceError::NameTaken { .. } => Self::invalid("name", &err),
            ResourceError::Lost { .. } => Self::new(ErrorCode::Conflict, err.to_string()),
            ResourceError::Store(_) | ResourceError::Port(_) => Self::internal(&err),
        }
    }
}

impl From<InvalidField> for ApiError {
    fn from(err: InvalidField) -> Self {
        Self::invalid(&err.field, err.reason)
    }
}

impl From<ScheduleError> for ApiError {
    fn from(err: ScheduleError) -> Self {
        match err {
            ScheduleError::Unknown(_) | ScheduleError::Missing(_) => Self::not_found(err.to_string()),
            ScheduleError::Invalid(_) | ScheduleError::TooMany => Self::new(ErrorCode::InvalidRequest, err.to_string()),
            ScheduleError::Ambiguous(_) | ScheduleError::Lost => Self::new(ErrorCode::Conflict, err.to_string()),
            ScheduleError::Accept(err) => err.into(),
            ScheduleError::Store(_) => Self::internal(&err),
        }
    }
}

impl From<AutomationError> for ApiError {
    fn from(err: AutomationError) -> Self {
        match &err {
            AutomationError::Unknown(_) | AutomationError::Missing(_) => Self::not_found(err.to_string()),
            AutomationError::Invalid(_) | AutomationError::TooMany => {
                Self::new(ErrorCode::InvalidRequest, err.to_string())
            }
            AutomationError::NameTaken(_) => Self::invalid("name", &err),
            AutomationError::Lost => Self::new(ErrorCode::Conflict, err.to_string()),
            AutomationError::Store(_) => Self::internal(&err),
        }
    }
}

impl From<SubscriptionError> for ApiError {
    fn from(err: SubscriptionError) -> Self {
        match &err {
            SubscriptionError::Unknown(_) | SubscriptionError::UnknownNotification(_) => {
                Self::not_found(err.to_string())
            }
            SubscriptionError::Invalid(_) | SubscriptionError::TooMany => {
                Self::new(ErrorCode::InvalidRequest, err.to_string())
            }
            SubscriptionError::Ambiguous(_) | SubscriptionError::Lost | SubscriptionError::Busy => {
                Self::new(ErrorCode::Conflict, err.to_string())
            }
            SubscriptionError::Store(_) => Self::internal(&err),
        }
    }
}

impl From<TeamError> for ApiError {
    fn from(err: TeamError) -> Self {
        match &err {
            TeamError::Invalid(_) => Self::new(ErrorCode::InvalidRequest, err.to_string()),
            TeamError::Store(_) => Self::internal(&err),
        }
    }
}

#[cfg(test)]
mod tests {
    use ozma_domain::definition::Kind;

    use super::*;

    #[track_caller]
    fn check(error: impl Into<ApiError>, expected: &str) {
        let response = error.into().into_response();
        let header = |name: &str| response.headers().get(name).map_or("-", |value| value.to_str().unwrap());
        let told = format!(
            "{} {} {}",
            response.status().as_u16(),
            header("x-should-retry"),
            header(header::RETRY_AFTER.as_str())
        );
        assert_eq!(told, expected);
    }

    #[test]
    fn headers_tell_the_official_clients_whether_to_try_again() {
        let with = |code| ApiError::new(code, "");
        check(with(ErrorCode::InvalidRequest), "400 false -");
        check(with(ErrorCode::AuthenticationRequired), "401 false -");
        check(with(ErrorCode::ResourceUnavailable), "429 true 1");
        check(with(ErrorCode::InternalError), "500 true -");
        // The clients try 409 and 500 again unless told not to.
        check(with(ErrorCode::EnvironmentSetupFailed), "500 false -");
        check(ResourceError::Lost { kind: Kind::Agent }, "409 true 1");
        let run_id = "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10".parse().unwrap();
        check(AcceptError::KeyReused { run_id }, "409 false -");
        check(AcceptError::TooMany { reason: String::new(), retry_seconds: 30 }, "429 true 30");
        check(ApiError::too_large(""), "413 false -");
    }
}
