//! Environments and secrets: by id and by name, whole or not at all.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::api::{Api, time};

#[tokio::test]
async fn an_environment_lives_by_id_and_by_name() {
    let api = Api::new("free").await;
    let config = json!({
        "name": "web / prod", "description": "d", "docker_image": "debian:12",
        "github_repos": [{"owner": "acme", "repo": "web"}], "setup_commands": ["make"],
        "variables": {"A": "b"}, "secrets": ["TOKEN"], "network": "none", "from_the_future": 1,
    });
    let created = api.check("POST", "/agent/environments", config.to_string(), r#"201 {"uid":""#).await.json();
    let uid = created["uid"].as_str().unwrap();
    assert_eq!((uid.len(), uid.bytes().all(|b| b.is_ascii_alphanumeric())), (22, true));
    for member in ["name", "description", "docker_image", "github_repos", "setup_commands", "variables", "secrets"] {
        assert_eq!(created["config"][member], config[member], "{member}");
    }
    assert_eq!(created["config"]["repositories"], json!([{"url": "https://github.com/acme/web"}]));
    assert_eq!((&created["setup_failed"], &created["scope"]["type"]), (&json!(false), &json!("Team")));
    assert_eq!(time(&created["last_updated"]), api.world.now());
    for path in [format!("/agent/environments/{uid}"), "/agent/environments/web%20%2F%20prod".to_owned()] {
        assert_eq!(api.get(&path).await, created);
    }
    assert_eq!(api.get("/agent/environments").await, json!({"environments": [created]}));

    // Sent back as answered, it is the same.
    api.world.clock.forward(SignedDuration::from_secs(1));
    let path = format!("/agent/environments/{uid}");
    let again = api.call("PUT", &path, created["config"].to_string()).await.json();
    assert_eq!(again["config"], created["config"]);
    assert!(time(&again["last_updated"]) > time(&created["last_updated"]));

    // What a PUT does not name is gone.
    let replaced = api.check("PUT", "/agent/environments/web%20%2F%20prod", r#"{"name":"app"}"#, "200 ").await.json();
    assert_eq!((&replaced["uid"], &replaced["config"]["name"]), (&created["uid"], &json!("app")));
    assert_eq!((&replaced["config"]["github_repos"], &replaced["config"]["variables"]), (&json!([]), &json!({})));
    assert!(replaced["config"].get("docker_image").is_none());
    api.check("GET", "/agent/environments/web%20%2F%20prod", "", "404 ").await;

    api.check("DELETE", "/agent/environments/app", "", r#"200 {"success":true}"#).await;
    api.check("DELETE", "/agent/environments/app", "", "404 resource_not_found: there is no environment app").await;
    api.check("GET", &path, "", "404 resource_not_found: there is no environment").await;
    api.check("POST", "/agent/environments", r#"{"name":"app"}"#, "201 ").await;
}

#[tokio::test]
async fn repositories_keep_their_order_their_refs_and_their_hosts() {
    let api = Api::new("free").await;
    let given = json!({
        "name": "many",
        "github_repos": [{"owner": "acme", "repo": "web"}, {"owner": "acme", "repo": "app"}],
        "repositories": [{"url": "https://github.com/acme/app", "ref": "v1"}, {"url": "https://example.com/x/y.git"}],
    });
    let made = api.check("POST", "/agent/environments", given.to_string(), "201 ").await.json();
    let repositories = json!([
        {"url": "https://github.com/acme/web"},
        {"url": "https://github.com/acme/app", "ref": "v1"},
        {"url": "https://example.com/x/y.git"},
    ]);
    assert_eq!(made["config"]["repositories"], repositories);
    assert_eq!(made["config"]["github_repos"], given["github_repos"]);
    let again = api.call("PUT", "/agent/environments/many", made["config"].to_string()).await.json();
    assert_eq!(again["config"], made["config"]);
}

#[tokio::test]
async fn what_an_environment_cannot_be_is_named() {
    let api = Api::new("free").await;
    api.check("POST", "/agent/environments", r#"{"name":"web"}"#, "201 ").await;
    api.check("POST", "/agent/environments", r#"{"name":"app"}"#, "201 ").await;
    let check = async |body: Value, expected: &str| {
        api.check("POST", "/agent/environments", body.to_string(), expected).await;
        api.check("PUT", "/agent/environments/app", body.to_string(), expected).await;
    };
    check(json!({}), "400 invalid_request: name: an environment needs a name").await;
    check(json!({"name": " x"}), "400 invalid_request: name: ").await;
    check(json!({"name": 1}), "400 invalid_request: name: invalid type").await;
    check(json!({"name": "web"}), "400 invalid_request: name: another environment is named \"web\" already").await;
    check(json!({"name": "x", "description": "ü".repeat(241)}), "400 invalid_request: description: at most 240").await;
    check(json!({"name": "x", "docker_image": "a b"}), "400 invalid_request: docker_image: ").await;
    check(json!({"name": "x", "setup_commands": [" "]}), "400 invalid_request: setup_commands: ").await;
    check(json!({"name": "x", "setup_commands": "make"}), "400 invalid_request: setup_commands: invalid type").await;
    check(json!({"name": "x", "variables": {"A-B": ""}}), "400 invalid_request: variables: \"A-B\"").await;
    check(json!({"name": "x", "secrets": ["1A"]}), "400 invalid_request: secrets[0]: \"1A\" is not a secret").await;
    check(json!({"name": "x", "network": "some"}), "400 invalid_request: network: unknown variant `some`").await;
    check(json!({"name": "x", "github_repos": [{"owner": "a"}]}), "400 invalid_request: github_repos[0]: miss").await;
    check(json!({"name": "x", "github_repos": [{"owner": "../", "repo": "b"}]}), "400 invalid_request: github_re")
        .await;
    check(json!({"name": "x", "repositories": [{"url": "-x"}]}), "400 invalid_request: repositories[0].url: ").await;
    let aws = json!({"name": "x", "providers": {"aws": {"role_arn": "r"}}});
    check(aws, "400 invalid_request: providers.aws.role_arn: \"r\" is not the ARN of a role").await;
    let gcp = json!({"name": "x", "providers": {"gcp": {"project_number": "1"}}});
    check(gcp, "422 operation_not_supported: providers.gcp").await;
    let names: Vec<Value> = api.get("/agent/environments?sort_by=name").await["environments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|environment| environment["config"]["name"].clone())
        .collect();
    assert_eq!(names, ["app", "web"], "what was refused left nothing");
    api.check("PUT", "/agent/environments/nobody", r#"{"name":"x"}"#, "404 resource_not_found: ").await;
}

#[tokio::test]
async fn environments_sort_by_name_or_by_update() {
    let api = Api::new("free").await;
    for name in ["b", "c", "a"] {
        api.world.clock.forward(SignedDuration::from_secs(1));
        api.call("POST", "/agent/environments", json!({"name": name}).to_string()).await;
    }
    api.world.clock.forward(SignedDuration::from_secs(1));
    api.call("PUT", "/agent/environments/b", r#"{"name":"b"}"#).await;
    let names = async |query: &str| -> String {
        let answer = api.get(&format!("/agent/environments{query}")).await;
        let all = answer["environments"].as_array().unwrap().iter();
        all.map(|environment| environment["config"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("").await, "bac");
    assert_eq!(names("?sort_by=last_updated").await, "bac");
    assert_eq!(names("?sort_by=name").await, "abc");
    api.check("GET", "/agent/environments?sort_by=age", "", "400 invalid_request: sort_by: \"age\"").await;
}

#[tokio::test]
async fn an_environment_tells_of_its_last_run() {
    let api = Api::new("free").await;
    let made = api.call("POST", "/agent/environments", r#"{"name":"web","secrets":["NOT_THERE"]}"#).await.json();
    let body = json!({"prompt": "true", "config": {"harness": {"type": "shell"}, "environment_id": made["uid"]}});
    let run = api.call("POST", "/agent/runs", body.to_string()).await.json()["run_id"].clone();
    let found = api.get("/agent/environments/web").await;
    assert_eq!((&found["last_task_created"]["id"], &found["last_task_created"]["state"]), (&run, &json!("QUEUED")));
    assert_eq!(found["last_task_run_timestamp"], found["last_task_created"]["created_at"]);
    assert_eq!(api.get("/agent/environments").await["environments"][0], found);
    api.world.drain().await;
    assert_eq!(api.get("/agent/environments/web").await["last_task_created"]["state"], "FAILED");
    let run = api.get(&format!("/agent/runs/{}", run.as_str().unwrap())).await;
    assert_eq!(run["status_message"]["error_code"], "resource_not_found");
}

#[tokio::test]
async fn secrets_are_never_read() {
    let api = Api::new("free").await;
    const VALUE: &str = "hunter22";
    let body = json!({"value": VALUE}).to_string();
    let mut told = String::new();
    for (method, path) in [("PUT", "/agent/secrets/B"), ("PUT", "/agent/secrets/A"), ("PUT", "/agent/secrets/A")] {
        told += &api.check(method, path, body.clone(), r#"200 {"name":""#).await.told();
    }
    let listed = api.check("GET", "/agent/secrets", "", r#"200 {"secrets":[{"name":"A""#).await;
    assert_eq!(listed.json()["secrets"].as_array().unwrap().len(), 2);
    told += &listed.told();
    let check =
        async |path: &str, body: &str, expected: &str| api.check("PUT", path, body.to_owned(), expected).await.told();
    told += &check("/agent/secrets/1", &body, "400 invalid_request: name: \"1\" is not").await;
    told += &check("/agent/secrets/OZ_TOKEN", &body, "400 invalid_request: name: names that begin with OZ_").await;
    told += &check("/agent/secrets/A", r#"{"value":""}"#, "400 invalid_request: value: needs 1 to").await;
    told +=
        &check("/agent/secrets/A", r#"{"value":"a\u0000hunter22"}"#, "400 invalid_request: value: needs 1 to").await;
    told += &check("/agent/secrets/A", r#"{"values":"hunter22"}"#, "400 invalid_request: missing field").await;
    told += &check("/agent/secrets/A", r#"{"value":["hunter22"]}"#, "400 invalid_request: value: invalid type").await;
    told += &check("/agent/secrets/A", r#"{"value":"hunter22"#, "400 invalid_request: ").await;
    told += &api.check("GET", "/agent/secrets/A", "", "405 ").await.told();
    told += &api.check("DELETE", "/agent/secrets/A", "", r#"200 {"success":true}"#).await.told();
    told += &api.check("DELETE", "/agent/secrets/A", "", "404 resource_not_found: there is no secret A").await.told();
    told += &api.check("DELETE", "/agent/secrets/1", "", "404 resource_not_found: there is no secret 1").await.told();
    assert!(!told.contains(VALUE), "{told}");
}
