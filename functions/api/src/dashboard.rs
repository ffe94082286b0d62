//! The dashboard: one page that reads the API with the key of whoever looks. No build, nothing from elsewhere.

use axum::http::header;
use axum::response::{Html, IntoResponse};

/// Its only script is inline; what agents wrote is shown as text, and nothing may be loaded or sent elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) async fn dashboard() -> impl IntoResponse {
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, "no-referrer")];
    (headers, Html(include_str!("dashboard.html")))
}
