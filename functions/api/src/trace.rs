//! One trace id per request: in the log, in the answer's headers, and in every problem document.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use ozma_app::App;
use tracing::Instrument;

use crate::error::Unfinished;

pub(crate) async fn trace(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let trace_id = hex::encode(&app.clock.random()[..16]);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", trace_id, %method, path);
    let mut response = next.run(request).instrument(span).await;
    if let Some(Unfinished(mut problem)) = response.extensions_mut().remove::<Unfinished>() {
        problem.instance = Some(path);
        problem.trace_id = Some(trace_id.clone());
        *response.body_mut() = Body::from(serde_json::to_vec(&problem).unwrap_or_default());
    }
    if let Ok(value) = HeaderValue::from_str(&trace_id) {
        response.headers_mut().insert("x-trace-id", value);
    }
    response
}
