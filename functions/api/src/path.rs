//! What stands in a path: where it cannot even be read, there is nothing there.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use ozma_app::App;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// The named segments of a path, decoded.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, &()).await;
        path.map(|axum::extract::Path(segments)| Self(segments))
            .map_err(|_| ApiError::not_found("there is nothing at this path: it is not UTF-8"))
    }
}
