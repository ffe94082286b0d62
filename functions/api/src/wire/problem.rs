//! Errors over HTTP: RFC 7807, as `application/problem+json`.

use ozma_domain::error_code::ErrorCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub const CONTENT_TYPE: &str = "application/problem+json";

const TYPE_BASE: &str = "https://ozma.dev/errors/";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Ends in the error code.
    #[serde(rename = "type")]
    #[schema(example = "https://ozma.dev/errors/resource_not_found")]
    pub kind: String,
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// `title`, or `title (detail)`: the one member that the oldest clients read.
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instance: Option<String>,
    #[serde(default)]
    pub retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_id: Option<String>,
    /// `auth_url`, `provider`, `inaccessible_repos`, `integration_name`, `setup_url`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub extensions: Map<String, Value>,
}

impl Problem {
    pub fn new(code: ErrorCode, detail: Option<String>) -> Self {
        let title = code.title();
        Self {
            kind: format!("{TYPE_BASE}{code}"),
            title: title.to_owned(),
            status: code.http_status(),
            error: detail.as_ref().map_or_else(|| title.to_owned(), |detail| format!("{title} ({detail})")),
            detail,
            instance: None,
            retryable: code.is_retryable(),
            trace_id: None,
            extensions: Map::new(),
        }
    }

    /// The code at the end of `type`, if this version knows it.
    pub fn code(&self) -> Option<ErrorCode> {
        let name = self.kind.trim_end_matches('/').rsplit('/').next()?.replace('-', "_");
        ErrorCode::ALL.into_iter().find(|code| code.as_str() == name)
    }
}
