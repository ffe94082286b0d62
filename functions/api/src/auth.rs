//! Who calls: an API key is the only way in.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use ozma_app::App;
use ozma_domain::error_code::ErrorCode;
use ozma_domain::id::TeamId;
use ozma_domain::token::ApiKey;

use crate::error::ApiError;

/// The team that a request is for, and the name of its key.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) team: TeamId,
    pub(crate) name: String,
    /// The installation's own key.
    pub(crate) operator: bool,
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let unauthenticated = |detail: &str| ApiError::new(ErrorCode::AuthenticationRequired, detail);
        let given = parts.headers.get(header::AUTHORIZATION);
        let given = given.ok_or_else(|| unauthenticated("send the API key as `Authorization: Bearer ozk_…`"))?;
        let key = given.to_str().ok().and_then(|text| text.split_once(' '));
        let key = key.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer")).map(|(_, key)| key);
        let key = key.ok_or_else(|| unauthenticated("the Authorization header is not `Bearer <API key>`"))?;
        let key: ApiKey = key.trim().parse().map_err(|err| unauthenticated(&format!("this is no API key: {err}")))?;
        let row = app.store.api_key(&key.hash()).await.map_err(|err| ApiError::internal(&err))?;
        let row = row.ok_or_else(|| unauthenticated("this API key is not known here, or no longer"))?;
        Ok(Self { team: row.team, name: row.name, operator: row.operator })
    }
}
