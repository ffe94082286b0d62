//! A world with the API in front of it, and the one function that most tests are rows over.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use jiff::Timestamp;
use ozma_domain::id::{RunId, TeamId};
use ozma_domain::token::ApiKey;
use ozma_store::ApiKeyRow;
use ozma_tests::world::World;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::schema;

pub(crate) const PREFIX: &str = "/api/v1";

pub(crate) struct Api {
    pub(crate) world: World,
    pub(crate) description: Value,
    router: Router,
    /// What `Authorization` says, if anything.
    authorization: Option<String>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Api {
    pub(crate) async fn new(plan: &str) -> Self {
        let world = World::new(plan).await;
        let key = key(&world, &world.team, "admin", [1; 32]).await;
        let router = ozma_api::router(Arc::new(world.app.clone()));
        let description = serde_json::to_value(ozma_api::openapi()).expect("a description");
        Self { world, description, router, authorization: Some(format!("Bearer {key}")) }
    }

    /// The same world, asked with that header.
    pub(crate) fn with_authorization(self, authorization: Option<&str>) -> Self {
        Self { authorization: authorization.map(str::to_owned), ..self }
    }

    /// The same world, asked by somebody of another team.
    pub(crate) async fn of_another_team(self) -> Self {
        let key = key(&self.world, &"others".parse().expect("a team"), "other", [2; 32]).await;
        self.with_authorization(Some(&format!("Bearer {key}")))
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.call_with(method, path, &[], body).await
    }

    pub(crate) async fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let url = if path.starts_with("/agent") { format!("{PREFIX}{path}") } else { path.to_owned() };
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.body(body.into()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body").to_vec();
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, bytes };
        if answer.status >= 400 && method != "HEAD" {
            answer.is_a_problem_at(url.split('?').next().unwrap_or_default());
        }
        schema::conforms(&self.description, method, &url, &answer);
        answer
    }

    /// Sends it, and holds the answer against `<status> <beginning of what was answered>`.
    pub(crate) async fn check(&self, method: &str, path: &str, body: impl Into<Body>, expected: &str) -> Answer {
        let answer = self.call(method, path, body).await;
        let told = answer.told();
        assert!(told.starts_with(expected), "{method} {path}\n  answers: {told}\n  expected: {expected}");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.told());
        answer.json()
    }

    /// Accepts a run over HTTP, a millisecond after whatever was before.
    pub(crate) async fn create(&self, prompt: &str) -> RunId {
        self.world.clock.forward(jiff::SignedDuration::from_millis(1));
        let answer = self.call("POST", "/agent/runs", shell(prompt)).await;
        assert_eq!(answer.status, 200, "{}", answer.told());
        answer.json()["run_id"].as_str().expect("an id").parse().expect("a run id")
    }
}

/// The body of a create request for the harness `shell`.
pub(crate) fn shell(prompt: &str) -> String {
    json!({"prompt": prompt, "config": {"harness": {"type": "shell"}}}).to_string()
}

pub(crate) async fn key(world: &World, team: &TeamId, name: &str, random: [u8; 32]) -> String {
    let key = ApiKey::new(random);
    let row = ApiKeyRow { team: team.clone(), name: name.to_owned(), created_at: world.now(), operator: false };
    world.app.store.put_api_key(&key.hash(), &row).await.expect("a store");
    key.expose().to_owned()
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|err| panic!("{err}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// `404 resource_not_found: there is no run x`, `200 {"run_id":…`.
    pub(crate) fn told(&self) -> String {
        if self.header("content-type") != "application/problem+json" || self.bytes.is_empty() {
            return format!("{} {}", self.status, self.text());
        }
        let problem = self.json();
        let code = problem["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default();
        format!("{} {code}: {}", self.status, problem["detail"].as_str().unwrap_or_default())
    }

    /// Whatever goes wrong is told in the same form, and the headers say what the official clients should do about it.
    fn is_a_problem_at(&self, path: &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        let text = |name: &str| problem[name].as_str().unwrap_or_else(|| panic!("no {name} in {problem}")).to_owned();
        assert!(text("type").starts_with("https://ozma.dev/errors/"), "{problem}");
        assert_eq!(text("error"), format!("{} ({})", text("title"), text("detail")));
        assert_eq!(problem["status"], self.status);
        assert_eq!(text("instance"), path);
        assert_eq!(text("trace_id"), self.header("x-trace-id"));
        assert_eq!(text("trace_id").len(), 32);
        let retryable = problem["retryable"].as_bool().expect("retryable");
        assert_eq!(self.header("x-should-retry"), retryable.to_string());
        assert_eq!(!self.header("retry-after").is_empty(), retryable && matches!(self.status, 409 | 429));
        assert!(!problem.as_object().expect("an object").contains_key("error_code"));
    }
}

pub(crate) fn time(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}
