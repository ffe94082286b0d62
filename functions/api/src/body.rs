//! Request bodies: bounded, and when they are wrong, named by field.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use ozma_app::App;
use ozma_domain::error_code::ErrorCode;
use ozma_domain::limits;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;

/// A JSON body, and its bytes as sent. An empty body reads as `{}`: some clients send none where all is optional.
pub(crate) struct Body<T> {
    pub(crate) value: T,
    pub(crate) bytes: Bytes,
}

impl<T: DeserializeOwned + Serialize> FromRequest<Arc<App>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _app: &Arc<App>) -> Result<Self, ApiError> {
        let bytes = axum::body::to_bytes(request.into_body(), limits::REQUEST_BYTES).await.map_err(|_| {
            ApiError::too_large(format!("the body has more than {} MiB", limits::REQUEST_BYTES / 1024 / 1024))
        })?;
        let value = parse(if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &bytes })?;
        Ok(Self { value, bytes })
    }
}

pub(crate) fn parse<T: DeserializeOwned + Serialize>(json: &[u8]) -> Result<T, ApiError> {
    // A list would pass for an object whose members are all optional.
    if json.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte != b'{') {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "the body is not a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|err| {
        let path = err.path().to_string();
        let inner = err.into_inner();
        let detail = if matches!(path.as_str(), "." | "?") { inner.to_string() } else { format!("{path}: {inner}") };
        ApiError::new(ErrorCode::InvalidRequest, detail)
    })?;
    deserializer
        .end()
        .map_err(|err| ApiError::new(ErrorCode::InvalidRequest, format!("something follows the JSON: {err}")))?;
    match list_read_as_object(&serde_json::from_slice(json).unwrap_or_default(), &json_of(&value), "") {
        Some(path) => Err(ApiError::invalid(&path, "invalid type: sequence, expected an object")),
        None => Ok(value),
    }
}

fn json_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Where a list was sent for an object: `serde` takes its items for the members, in their order.
fn list_read_as_object(sent: &Value, read: &Value, path: &str) -> Option<String> {
    match (sent, read) {
        (Value::Array(_), Value::Object(_)) => Some(path.to_owned()),
        (Value::Array(sent), Value::Array(read)) => sent
            .iter()
            .zip(read)
            .enumerate()
            .find_map(|(at, (sent, read))| list_read_as_object(sent, read, &format!("{path}[{at}]"))),
        (Value::Object(sent), Value::Object(read)) => sent.iter().find_map(|(name, sent)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            list_read_as_object(sent, read.get(name)?, &path)
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CreateRunRequest;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        let answer = match parse::<CreateRunRequest>(json.as_bytes()) {
            Ok(_) => "ok".to_owned(),
            Err(err) => err.problem().detail.clone().unwrap_or_default(),
        };
        assert!(answer.starts_with(expected), "{json}: {answer}");
    }

    #[test]
    fn a_wrong_type_is_named_by_its_field() {
        check("{}", "ok");
        check(r#"{"prompt":"x","unknown":{"a":[1]}}"#, "ok");
        check(r#"{"prompt":7}"#, "prompt: invalid type: integer `7`, expected a string");
        check(r#"{"config":{"harness":{"type":[]}}}"#, "config.harness.type: invalid type: sequence");
        check(r#"{"metadata":{"a":1}}"#, "metadata.a: invalid type: integer `1`");
        check(
            r#"{"config":{"repositories":[{"url":"nope"}]}}"#,
            "config.repositories[0].url: \"nope\" is not a repository",
        );
        check(r#"{"config":[]}"#, "config: invalid type: sequence");
        check(r#"{"config":{"harness":["shell"]}}"#, "config.harness: invalid type: sequence");
        check(r#"{"config":{"repositories":[["a/b"]]}}"#, "config.repositories[0]: invalid type: sequence");
        check(r#"{"config":{"memory_stores":[{"x":[]}]},"attachments":[],"y":[]}"#, "ok");
        check("[]", "the body is not a JSON object");
        check("7", "the body is not a JSON object");
        check("{", "EOF while parsing");
        check("{} {}", "something follows the JSON");
    }
}
