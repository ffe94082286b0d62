//! The description is what is served, and what is served is described.

use std::collections::BTreeSet;

use crate::api::{Api, PREFIX};

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];

#[tokio::test]
async fn every_operation_described_is_served_and_no_other() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    let served = api.get("/openapi.json").await;
    assert_eq!(served, api.description);
    for (path, item) in served["paths"].as_object().unwrap() {
        let described: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        let url = path
            .replace("{runId}", &run.to_string())
            .replace("{execution}", "1")
            .replace("{sequence}", "1")
            .replace("{name}", "NAME")
            .replace("{artifactUid}", "x")
            .replace("{uid}", "web")
            .replace("{delivery}", "msg_0123456789abcdefABCDEF")
            .replace("{id}", "nightly");
        assert!(!url.contains('{'), "{url}: a new parameter needs a value");
        for method in METHODS {
            let answer = api.call(method, &url, "").await;
            let told = answer.told();
            let is_there = answer.status != 405 && !told.contains("there is no such path");
            assert_eq!(is_there, described.contains(method), "{method} {path}: {told}");
        }
    }
}

/// Routes come from `routes!`, which describes them. Two are beside the API: the description, and the page.
#[test]
fn no_route_is_added_past_the_description() {
    let source = include_str!("../../../functions/api/src/lib.rs");
    let beside: Vec<&str> = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(beside, ["/openapi.json", "/"]);
    assert_eq!(source.matches(".route(").count(), beside.len());
    assert!(!source.contains(".merge(") && !source.contains(".nest_service("));
}

#[tokio::test]
async fn the_contracts_paths_are_there() {
    let api = Api::new("free").await;
    let contract = [
        ("post", "/agent/runs"),
        ("post", "/agent/run"),
        ("get", "/agent/runs"),
        ("get", "/agent/runs/{runId}"),
        ("post", "/agent/runs/{runId}/cancel"),
        ("post", "/agent/runs/{runId}/followups"),
        ("get", "/agent/runs/{runId}/handoff/attachments"),
        ("get", "/agent/artifacts/{artifactUid}"),
        ("get", "/agent/environments"),
    ];
    for (method, path) in contract {
        assert!(api.description["paths"][format!("{PREFIX}{path}")][method].is_object(), "{method} {path}");
    }
}

#[tokio::test]
async fn the_description_is_sound() {
    let api = Api::new("free").await;
    let mut ids = BTreeSet::new();
    for (path, item) in api.description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{method} {path}: another operation is named {id}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(!response["description"].as_str().unwrap_or_default().is_empty(), "{method} {path} {status}");
                if !status.starts_with('2') {
                    let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                    assert_eq!(problem, "#/components/schemas/Problem", "{method} {path} {status}");
                }
            }
        }
    }
    let text = api.description.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(api.description.pointer(reference).is_some(), "{reference} is nowhere");
    }
}

#[tokio::test]
async fn health_needs_no_key_and_whoami_tells_whose_it_is() {
    let api = Api::new("build").await;
    api.check("GET", "/health", "", r#"200 {"status":"ok""#).await;
    let whoami = api.get("/agent/whoami").await;
    assert_eq!((&whoami["team"], &whoami["key_name"]), (&"local".into(), &"admin".into()));
    assert_eq!((&whoami["plan"]["name"], &whoami["plan"]["concurrent_agents"]), (&"build".into(), &20.into()));
    let api = api.with_authorization(None);
    api.check("GET", "/health", "", r#"200 {"status":"ok""#).await;
    let answer = api.check("GET", "/openapi.json", "", r#"200 {"openapi":"3.1"#).await;
    assert_eq!(answer.header("content-type"), "application/json");
}
