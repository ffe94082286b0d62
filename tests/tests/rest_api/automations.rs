//! Automations over REST: by id and by name, whole or not at all, and a secret that is told once.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::api::{Api, time};

fn config(name: &str) -> Value {
    json!({"name": name, "run": {"prompt": "true", "config": {"harness": {"type": "shell"}}}})
}

#[tokio::test]
async fn an_automation_lives_by_id_and_by_name() {
    let api = Api::new("free").await;
    let environment = api.call("POST", "/agent/environments", r#"{"name":"web"}"#).await.json();
    let run = json!({
        "prompt": "make deploy", "title": "Deploy", "metadata": {"team": "web"},
        "config": {
            "environment_id": environment["uid"], "harness": {"type": "shell"}, "deadline_seconds": 60,
            "repositories": [{"url": "https://github.com/acme/web", "ref": "main"}],
        },
    });
    let given = json!({"name": "deploy / prod", "run": run, "from_the_future": 1});
    let created = api.check("POST", "/api/v1/automations", given.to_string(), r#"201 {"id":""#).await.json();
    let id = created["id"].as_str().unwrap();
    assert_eq!((id.len(), id.bytes().all(|b| b.is_ascii_alphanumeric())), (22, true));
    assert_eq!((&created["run"], &created["paused"]), (&run, &json!(false)));
    assert_eq!(time(&created["created_at"]), api.world.now());
    assert!(created["webhook_url"].as_str().unwrap().ends_with(&format!("/webhooks/{id}")));
    assert!(created["webhook_secret"].as_str().unwrap().starts_with("whsec_"));

    // Told once.
    let mut known = created.clone();
    known.as_object_mut().unwrap().remove("webhook_secret");
    for path in [format!("/api/v1/automations/{id}"), "/api/v1/automations/deploy%20%2F%20prod".to_owned()] {
        assert_eq!(api.get(&path).await, known);
    }
    assert_eq!(api.get("/api/v1/automations").await, json!({"automations": [known]}));

    // Sent back as answered, it is the same; what a PUT does not name is gone.
    api.world.clock.forward(SignedDuration::from_secs(1));
    let path = format!("/api/v1/automations/{id}");
    let again = api.check("PUT", &path, known.to_string(), "200 ").await.json();
    assert_eq!((&again["run"], again.get("webhook_secret")), (&known["run"], None));
    assert!(time(&again["last_updated"]) > time(&known["last_updated"]));
    let paused = json!({"name": "deploy", "paused": true, "run": config("")["run"]});
    let paused = api.check("PUT", &path, paused.to_string(), "200 ").await.json();
    assert_eq!((&paused["id"], &paused["name"], &paused["paused"]), (&created["id"], &json!("deploy"), &json!(true)));
    assert!(paused["run"].get("title").is_none() && paused["run"].get("metadata").is_none(), "{paused}");
    api.check("GET", "/api/v1/automations/deploy%20%2F%20prod", "", "404 ").await;

    api.check("DELETE", "/api/v1/automations/deploy", "", r#"200 {"success":true}"#).await;
    for method in ["GET", "DELETE"] {
        api.check(method, "/api/v1/automations/deploy", "", "404 resource_not_found: there is no automation deploy")
            .await;
        api.check(method, &path, "", "404 resource_not_found: there is no automation").await;
    }
    api.check("POST", "/api/v1/automations", config("deploy").to_string(), "201 ").await;
}

#[tokio::test]
async fn a_rotated_secret_is_told_once_and_is_another() {
    let api = Api::new("free").await;
    let created = api.call("POST", "/api/v1/automations", config("deploy").to_string()).await.json();
    api.world.clock.forward(SignedDuration::from_secs(1));
    let rotated = api.check("POST", "/api/v1/automations/deploy/rotate-secret", "", "200 ").await.json();
    assert_ne!(rotated["webhook_secret"], created["webhook_secret"]);
    assert_eq!(rotated["webhook_url"], created["webhook_url"]);
    assert_eq!(time(&rotated["secret_rotated_at"]), api.world.now());
    let known = api.get("/api/v1/automations/deploy").await;
    assert_eq!((known.get("webhook_secret"), &known["secret_rotated_at"]), (None, &rotated["secret_rotated_at"]));
    // A change of the rest leaves it.
    let changed = api.check("PUT", "/api/v1/automations/deploy", config("deploy").to_string(), "200 ").await.json();
    assert_eq!(changed["secret_rotated_at"], rotated["secret_rotated_at"]);
    api.check("POST", "/api/v1/automations/nobody/rotate-secret", "", "404 resource_not_found: there is no").await;
}

#[tokio::test]
async fn the_address_is_the_one_by_which_the_client_came() {
    let api = Api::new("free").await;
    let url = async |headers: &[(&str, &str)]| -> String {
        let made = api.call_with("GET", "/api/v1/automations/deploy", headers, "").await.json();
        made["webhook_url"].as_str().unwrap().split("/webhooks/").next().unwrap().to_owned()
    };
    api.check("POST", "/api/v1/automations", config("deploy").to_string(), "201 ").await;
    assert_eq!(url(&[]).await, "");
    assert_eq!(url(&[("host", "127.0.0.1:8484")]).await, "http://127.0.0.1:8484");
    assert_eq!(url(&[("host", "oz.example.com"), ("x-forwarded-proto", "https")]).await, "https://oz.example.com");
}

#[tokio::test]
async fn what_an_automation_cannot_be_is_named() {
    let api = Api::new("free").await;
    for name in ["deploy", "other"] {
        api.check("POST", "/api/v1/automations", config(name).to_string(), "201 ").await;
    }
    let check = async |body: Value, expected: &str| {
        api.check("POST", "/api/v1/automations", body.to_string(), expected).await;
        api.check("PUT", "/api/v1/automations/other", body.to_string(), expected).await;
    };
    let with = |change: Value| {
        let mut config = config("x");
        for (name, value) in change.as_object().unwrap() {
            config["run"][name] = value.clone();
        }
        config
    };
    check(json!({}), "400 invalid_request: run: needed").await;
    check(json!({"run": config("")["run"]}), "400 invalid_request: name: an automation needs a name").await;
    check(config(" x"), "400 invalid_request: name: at most 100").await;
    check(config("deploy"), "400 invalid_request: name: there is an automation named \"deploy\" already").await;
    check(json!({"name": 1}), "400 invalid_request: name: invalid type").await;
    check(json!({"name": "x", "paused": "no"}), "400 invalid_request: paused: invalid type").await;
    check(with(json!({"prompt": " "})), "400 invalid_request: run.prompt: needed").await;
    check(with(json!({"prompt": "x".repeat(32 * 1024 + 1)})), "400 invalid_request: run.prompt: has 32769 bytes").await;
    check(with(json!({"metadata": {"a b": ""}})), "400 invalid_request: run.metadata: the key \"a b\"").await;
    check(with(json!({"skill": "a/b:c"})), "422 operation_not_supported: run.skill: skills are").await;
    check(with(json!({"config": {}})), "422 operation_not_supported: run.config.harness.type: the harness oz").await;
    let parent = "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10";
    check(with(json!({"parent_run_id": parent})), "400 invalid_request: run.parent_run_id: a run that a trigger").await;
    let nowhere = json!({"harness": {"type": "shell"}, "environment_id": "3Fz9kQ0vWm7LxYb2RtUe1C"});
    check(with(json!({"config": nowhere})), "404 resource_not_found: run.config.environment_id: there is no").await;
    let names = api.get("/api/v1/automations").await;
    let names: Vec<&str> = names["automations"].as_array().unwrap().iter().filter_map(|a| a["name"].as_str()).collect();
    assert_eq!(names, ["deploy", "other"]);
}

#[tokio::test]
async fn another_teams_automation_is_not_there() {
    let api = Api::new("free").await;
    let created = api.call("POST", "/api/v1/automations", config("deploy").to_string()).await.json();
    let id = created["id"].as_str().unwrap();
    let api = api.of_another_team().await;
    assert_eq!(api.get("/api/v1/automations").await, json!({"automations": []}));
    for name in [id, "deploy"] {
        let path = format!("/api/v1/automations/{name}");
        api.check("GET", &path, "", "404 ").await;
        api.check("PUT", &path, config("mine").to_string(), "404 ").await;
        api.check("POST", &format!("{path}/rotate-secret"), "", "404 ").await;
        api.check("DELETE", &path, "", "404 ").await;
    }
    api.check("POST", "/api/v1/automations", config("deploy").to_string(), "201 ").await;
}
