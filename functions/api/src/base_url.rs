//! The address at which the client reached us: the one under which it will find what an answer points to.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;

/// Such as `https://oz.example.com`; empty where the request does not tell, which leaves a path.
///
/// It is made from what the client itself sent, and told to nobody else.
pub(crate) struct BaseUrl(pub(crate) String);

impl<S: Sync> FromRequestParts<S> for BaseUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let host = header(HOST.as_str()).or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
        // API Gateway ends TLS, and says so.
        let scheme = if header("x-forwarded-proto") == Some("https") { "https" } else { "http" };
        Ok(Self(host.map(|host| format!("{scheme}://{host}")).unwrap_or_default()))
    }
}
