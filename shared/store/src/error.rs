//! Failures of DynamoDB and S3. Lost races are not among them.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// What lies beneath a failure.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The service failed or refused. A retry may help: the SDK's own are used up.
    #[error("could not {what}")]
    Service {
        what: &'static str,
        #[source]
        cause: Cause,
    },
    /// A row or object is not what this version wrote.
    #[error("could not read {what}")]
    Unreadable {
        what: String,
        #[source]
        cause: Cause,
    },
}

impl StoreError {
    pub(crate) fn service<C: Into<Cause>>(what: &'static str) -> impl FnOnce(C) -> Self {
        move |cause| Self::Service { what, cause: cause.into() }
    }

    pub(crate) fn unreadable(what: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self::Unreadable { what: what.into(), cause: cause.into() }
    }
}

/// The service's own name of an error, such as `ConditionalCheckFailedException`.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}
