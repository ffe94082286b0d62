//! The API's description of itself.

use axum::http::StatusCode;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Info, OpenApi, Ref, RefOr, Response, SecurityRequirement};

use crate::wire::problem::CONTENT_TYPE;

/// Adds what routes do not say: name, version, how to authenticate, and that whatever goes wrong is told as a problem.
pub(crate) fn described(mut api: OpenApi) -> OpenApi {
    api.info = Info::new("Ozma", env!("CARGO_PKG_VERSION"));
    api.info.description = Some("Starts, watches and proves the work of coding agents.".to_owned());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("ozk_…").build();
    api.components
        .get_or_insert_default()
        .security_schemes
        .insert("api_key".to_owned(), SecurityScheme::Http(bearer).into());
    api.security = Some(vec![SecurityRequirement::new("api_key", [] as [&str; 0])]);
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        describe_problems(operation);
    }
    api
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// Each status has a description, and each that is no success the media type of a problem. Those that a route does not
/// name (a body too large, a failure of ours) are the default.
fn describe_problems(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    responses.entry("default".to_owned()).or_insert_with(|| RefOr::T(problem("Any other refusal or failure")));
    for (status, response) in responses {
        let RefOr::T(response) = response else { continue };
        let status = status.parse::<StatusCode>().ok();
        if response.description.is_empty() {
            response.description = status.and_then(|status| status.canonical_reason()).unwrap_or("Answer").to_owned();
        }
        if !status.is_some_and(|status| status.is_success())
            && let Some(content) = response.content.shift_remove("application/json")
        {
            response.content.insert(CONTENT_TYPE.to_owned(), content);
        }
    }
}

fn problem(description: &str) -> Response {
    let mut response = Response::new(description);
    let schema = Ref::from_schema_name("Problem");
    response.content.insert(CONTENT_TYPE.to_owned(), RefOr::T(Content::new(Some(schema))));
    response
}
