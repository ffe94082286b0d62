//! What is refused before any route looks at it, and in what form.

use crate::api::{Api, shell};

#[tokio::test]
async fn without_a_key_nothing_is_told() {
    let no_key =
        [None, Some(""), Some("Basic YTpi"), Some("Bearer"), Some("Bearer "), Some("Bearer wk-1"), Some("ozk_")];
    for authorization in no_key {
        let api = Api::new("free").await.with_authorization(authorization);
        let paths = api.description["paths"].as_object().unwrap().clone();
        for (path, item) in &paths {
            for method in item.as_object().unwrap().keys() {
                let method = method.to_uppercase();
                let expected = if path == "/health" { "200 " } else { "401 authentication_required: " };
                api.check(&method, &path.replace(['{', '}'], ""), "", expected).await;
            }
        }
    }
    let unknown = ozma_domain::token::ApiKey::new([99; 32]);
    let api = Api::new("free").await.with_authorization(Some(&format!("Bearer {}", unknown.expose())));
    let answer = api.check("GET", "/agent/runs", "", "401 authentication_required: this API key is not known").await;
    assert!(!answer.text().contains(unknown.expose()));
}

#[tokio::test]
async fn the_scheme_may_be_spelled_anyhow() {
    let api = Api::new("free").await;
    let key = crate::api::key(&api.world, &api.world.team, "admin", [1; 32]).await;
    for spelled in ["Bearer ", "bearer ", "BEARER  "] {
        let api = Api::new("free").await.with_authorization(Some(&format!("{spelled}{key}")));
        api.check("GET", "/agent/runs", "", r#"200 {"runs":[]"#).await;
    }
}

#[tokio::test]
async fn an_unknown_path_is_a_problem_too() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    let unknown = [
        "/nowhere",
        "/api/v1",
        "/api/v1/",
        "/api/v2/agent/runs",
        "/agent",
        "/agent/",
        "/agent/runs/",
        "/agent/environments/",
        "//",
        "/openapi.json/",
        "/health/",
        "/agent/tasks",
    ];
    for path in unknown {
        for method in ["GET", "POST", "DELETE"] {
            api.check(method, path, "", "404 resource_not_found: there is no such path").await;
        }
    }
    // No redirect to the path without the slash either.
    api.check("GET", &format!("/agent/runs/{run}/"), "", "404 resource_not_found: there is no such path").await;
    for path in ["/agent/runs/%FF", "/agent/environments/%FF", "/agent/runs/%FF/audit/1/1"] {
        api.check("GET", path, "", "404 resource_not_found: there is nothing at this path").await;
    }
    api.check("GET", "/agent/environments/%00", "", "404 resource_not_found: there is no environment").await;
    api.check("DELETE", "/agent/secrets/%2F", "", "404 resource_not_found: there is no secret").await;
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_named_beside_those_it_does() {
    let api = Api::new("free").await;
    let answer = api.check("PATCH", "/agent/runs", "", "405 operation_not_supported: ").await;
    let mut allowed: Vec<&str> = answer.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    api.check("DELETE", "/agent/run", "", "405 operation_not_supported: ").await;
    api.check("GET", "/agent/run", "", "405 operation_not_supported: ").await;
    let head = api.call("HEAD", "/agent/runs", "").await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
}

#[tokio::test]
async fn each_answer_has_its_own_trace_id() {
    let api = Api::new("free").await;
    let first = api.call("GET", "/agent/runs", "").await.header("x-trace-id").to_owned();
    let second = api.call("POST", "/agent/runs", shell("true")).await.header("x-trace-id").to_owned();
    assert_eq!((first.len(), second.len()), (32, 32));
    assert_ne!(first, second);
}

#[tokio::test]
async fn our_own_failure_is_a_problem_without_its_cause() {
    let api = Api::new("free").await;
    api.world.faults.plan(2, ozma_tests::world::Fault::RequestLost);
    let answer = api.check("GET", "/agent/runs", "", "500 internal_error: look up the trace id in the log").await;
    assert_eq!(answer.json()["retryable"], true);
}
