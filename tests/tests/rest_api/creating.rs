//! Creating a run, looking at it, cancelling it.

use ozma_domain::id::RunId;
use serde_json::{Value, json};

use crate::api::{Api, shell, time};

#[tokio::test]
async fn a_run_is_created_under_both_names() {
    let api = Api::new("free").await;
    for path in ["/agent/runs", "/agent/run"] {
        let created = api.check("POST", path, shell("true"), r#"200 {"run_id":""#).await;
        assert_eq!(created.header("content-type"), "application/json");
        let created = created.json();
        assert_eq!((&created["task_id"], &created["state"]), (&created["run_id"], &json!("QUEUED")));
        assert!(created.get("at_capacity").is_none());
        let run = api.get(&format!("/agent/runs/{}", created["run_id"].as_str().unwrap())).await;
        assert_eq!((&run["run_id"], &run["task_id"]), (&created["run_id"], &created["run_id"]));
        assert_eq!((&run["prompt"], &run["title"], &run["source"]), (&json!("true"), &json!("true"), &json!("API")));
        assert_eq!(run["agent_config"], json!({"harness": {"type": "shell"}}));
        assert_eq!(run["scope"], json!({"type": "Team", "uid": "local"}));
        assert_eq!(run["creator"]["uid"], "admin");
        assert!(run.get("started_at").is_none() && run.get("status_message").is_none(), "absent, not null: {run}");
    }
}

#[tokio::test]
async fn what_is_asked_for_comes_back() {
    let api = Api::new("free").await;
    let environment = api.call("POST", "/agent/environments", r#"{"name":"web"}"#).await.json();
    let parent = api.create("true").await;
    let asked = json!({
        "prompt": "make test\n", "title": " The\ntitle ", "team": true, "interactive": false, "mode": "normal",
        "metadata": {"ticket.id": "A-1", "empty": ""},
        "parent_run_id": parent,
        "attachments": [], "images": [], "conversation_id": "", "skill": null, "from_the_future": {"a": [1]},
        "config": {
            "name": "nightly", "model_id": "m", "base_prompt": "b", "environment_id": environment["uid"],
            "mcp_servers": {"linear": {"warp_id": "linear"}, "own": {"command": "npx", "args": ["-y"], "env": {"A": "b"}}},
            "computer_use_enabled": false, "idle_timeout_minutes": 60, "worker_host": "warp", "credential_strategy": null,
            "harness": {"type": "shell", "from_the_future": 1},
            "harness_auth_secrets": {"claude_auth_secret_name": "s"},
            "memory_stores": [{"uid": "u", "access": "read_only", "instructions": "i"}],
            "repositories": [{"url": "acme/web", "ref": "main"}],
        },
    });
    let created = api.check("POST", "/agent/runs", asked.to_string(), r#"200 {"run_id":""#).await.json();
    let run = api.get(&format!("/agent/runs/{}", created["run_id"].as_str().unwrap())).await;
    assert_eq!((&run["title"], &run["prompt"]), (&json!("The title"), &json!("make test\n")));
    assert_eq!(run["metadata"], asked["metadata"]);
    assert_eq!(run["parent_run_id"], json!(parent));
    assert_eq!(run["repositories"][0], json!({"url": "https://github.com/acme/web", "ref": "main"}));
    for member in ["name", "model_id", "environment_id", "mcp_servers", "computer_use_enabled", "memory_stores"] {
        assert_eq!(run["agent_config"][member], asked["config"][member], "{member}");
    }
    assert!(run["agent_config"].get("credential_strategy").is_none());
}

#[tokio::test]
async fn what_cannot_be_is_named() {
    let api = Api::new("free").await;
    let shell = |more: Value| {
        let mut body = json!({"prompt": "true", "config": {"harness": {"type": "shell"}}});
        for (name, value) in more.as_object().unwrap() {
            let place = if name == "config" { &mut body["config"] } else { &mut body };
            match (name.as_str(), value) {
                ("config", Value::Object(config)) => {
                    config.iter().for_each(|(name, value)| place[name] = value.clone());
                }
                _ => place[name] = value.clone(),
            }
        }
        body.to_string()
    };
    let check = async |body: String, expected: &str| drop(api.check("POST", "/agent/runs", body, expected).await);
    check(String::new(), "400 invalid_request: prompt: needed").await;
    check("{}".to_owned(), "400 invalid_request: prompt: needed").await;
    check(" \n".to_owned(), "400 invalid_request: prompt: needed").await;
    check("{".to_owned(), "400 invalid_request: EOF while parsing").await;
    check("[]".to_owned(), "400 invalid_request: the body is not a JSON object").await;
    check("null".to_owned(), "400 invalid_request: the body is not a JSON object").await;
    check("{} 1".to_owned(), "400 invalid_request: something follows the JSON").await;
    check(r#"{"prompt":"a"#.to_owned(), "400 invalid_request: ").await;
    check(r#"{"prompt":7}"#.to_owned(), "400 invalid_request: prompt: invalid type: integer `7`, expected").await;
    check(shell(json!({"prompt": " \n"})), "400 invalid_request: prompt: needed").await;
    check(shell(json!({"prompt": "a\0b"})), "400 invalid_request: prompt: contains NUL").await;
    check(shell(json!({"prompt": "x".repeat(1024 * 1024 + 1)})), "400 invalid_request: prompt: has 1048577 bytes")
        .await;
    check(shell(json!({"title": 7})), "400 invalid_request: title: invalid type").await;
    check(shell(json!({"team": "yes"})), "400 invalid_request: team: invalid type").await;
    check(r#"{"prompt":"true","config":[]}"#.to_owned(), "400 invalid_request: config: invalid type: seq").await;
    check(r#"{"prompt":"true","config":7}"#.to_owned(), "400 invalid_request: config: invalid type: int").await;
    check(shell(json!({"config": {"harness": {"type": 1}}})), "400 invalid_request: config.harness.type: invalid")
        .await;
    check(shell(json!({"config": {"harness": {"type": "x"}}})), "400 invalid_request: config.harness.type: \"x\"")
        .await;
    check(shell(json!({"config": {"harness": {"type": "claude"}}})), "422 operation_not_supported: config.harness")
        .await;
    check(shell(json!({"config": {"idle_timeout_minutes": 0}})), "400 invalid_request: config.idle_timeout_").await;
    check(shell(json!({"config": {"idle_timeout_minutes": -1}})), "400 invalid_request: config.idle_timeout_").await;
    check(shell(json!({"config": {"mcp_servers": {"a": {}}}})), "400 invalid_request: config.mcp_servers.a: need")
        .await;
    check(shell(json!({"config": {"environment_id": "web"}})), "400 invalid_request: config.environment_id: ").await;
    let unknown = "0123456789abcdefABCDEF";
    check(shell(json!({"config": {"environment_id": unknown}})), "404 resource_not_found: config.environment_id").await;
    check(shell(json!({"parent_run_id": "x"})), "400 invalid_request: parent_run_id: \"x\"").await;
    let unknown = RunId::first_at(1);
    check(shell(json!({"parent_run_id": unknown})), "400 invalid_request: parent_run_id: there is no run").await;
    check(shell(json!({"mode": "fast"})), "400 invalid_request: mode: \"fast\"").await;
    check(shell(json!({"mode": "plan"})), "422 operation_not_supported: mode").await;
    check(shell(json!({"skill": "a/b:c"})), "422 operation_not_supported: skill").await;
    check(shell(json!({"attachments": [{}]})), "400 invalid_request: attachments[0]: missing field `file_name`").await;
    check(shell(json!({"metadata": {"a": 1}})), "400 invalid_request: metadata.a: invalid type").await;
    check(shell(json!({"metadata": {"a b": ""}})), "400 invalid_request: metadata: the key \"a b\"").await;
    check(shell(json!({"metadata": {"": ""}})), "400 invalid_request: metadata: the key \"\"").await;
    check(shell(json!({"metadata": {"a": "x".repeat(257)}})), "400 invalid_request: metadata.a: at most 256").await;
    let keys = |count: usize| (0..count).map(|n| (format!("k{n}"), json!(""))).collect::<serde_json::Map<_, _>>();
    check(shell(json!({"metadata": keys(21)})), "400 invalid_request: metadata: at most 20").await;
    check(shell(json!({"metadata": keys(20)})), "200 ").await;
    assert_eq!(api.get("/agent/runs").await["runs"].as_array().unwrap().len(), 1, "what was refused left nothing");
}

#[tokio::test]
async fn a_body_is_bounded() {
    let api = Api::new("free").await;
    let body = |size: usize| format!(r#"{{"prompt":"true","unknown":"{}"}}"#, "x".repeat(size));
    api.check("POST", "/agent/runs", body(6 * 1024 * 1024), "413 invalid_request: the body has more than 6 MiB").await;
    api.check("POST", "/agent/runs", body(5 * 1024 * 1024), "422 ").await;
    api.check("PUT", "/agent/secrets/A", body(7 * 1024 * 1024), "413 ").await;
}

#[tokio::test]
async fn a_long_prompt_is_answered_whole() {
    let api = Api::new("free").await;
    let prompt = format!("# {}\ntrue", "ü".repeat(100_000));
    let run = api.create(&prompt).await;
    assert_eq!(api.get(&format!("/agent/runs/{run}")).await["prompt"], prompt);
    let listed = api.get("/agent/runs").await["runs"][0]["prompt"].as_str().unwrap().len();
    assert!((1..1_000).contains(&listed), "a list has its beginning: {listed}");
}

#[tokio::test]
async fn a_key_makes_one_run_of_one_body() {
    let api = Api::new("free").await;
    let send = async |key: &str, body: String| {
        let answer = api.call_with("POST", "/agent/runs", &[("idempotency-key", key)], body).await;
        (answer.told(), answer.json())
    };
    let (_, first) = send("k", shell("true")).await;
    let (_, again) = send("k", shell("true")).await;
    assert_eq!(first["run_id"], again["run_id"]);
    let (told, refused) = send("k", shell("false")).await;
    assert!(told.starts_with("409 conflict: the idempotency key was used for another request"), "{told}");
    assert_eq!(refused["retryable"], false, "sent again it would be refused again");
    let (_, other) = send("k2", shell("true")).await;
    assert_ne!(first["run_id"], other["run_id"]);
    for bad in ["", "\u{e4}", &"x".repeat(256)] {
        let (told, _) = send(bad, shell("true")).await;
        assert!(told.starts_with("400 invalid_request: Idempotency-Key: 1 to 255"), "{told}");
    }
    assert_eq!(api.get("/agent/runs").await["runs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn one_team_does_not_see_another() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    api.call("POST", "/agent/environments", r#"{"name":"web"}"#).await;
    let api = api.of_another_team().await;
    for path in ["", "/timeline", "/events", "/audit", "/audit/1/1"] {
        api.check("GET", &format!("/agent/runs/{run}{path}"), "", "404 resource_not_found: there is no ").await;
    }
    api.check("POST", &format!("/agent/runs/{run}/cancel"), "", "404 resource_not_found: there is no run").await;
    api.check("POST", &format!("/agent/runs/{run}/followups"), r#"{"message":"x"}"#, "404 resource_not_found: ").await;
    api.check("GET", &format!("/agent/runs?ancestor_run_id={run}"), "", "400 invalid_request: ancestor_run_id").await;
    api.check("GET", "/agent/environments/web", "", "404 resource_not_found: there is no environment web").await;
    assert_eq!(api.get("/agent/runs").await["runs"], json!([]));
    assert_eq!(api.get("/agent/environments").await["environments"], json!([]));
    assert_eq!(api.world.state(run).await, "QUEUED");
}

#[tokio::test]
async fn cancel_answers_with_the_bare_id_and_once() {
    let api = Api::new("build").await;
    let queued = api.create("true").await;
    let pending = api.create("true").await;
    api.world.drain().await;
    let waiting = api.create("true").await;
    for run in [queued, pending, waiting] {
        let path = format!("/agent/runs/{run}/cancel");
        let answer = api.check("POST", &path, "", &format!("200 \"{run}\"")).await;
        assert_eq!((answer.header("content-type"), answer.json()), ("application/json", json!(run)));
        api.check("POST", &path, "", "400 invalid_request: ").await;
        let cancelled = api.get(&format!("/agent/runs/{run}")).await;
        assert_eq!(cancelled["state"], "CANCELLED");
        assert_eq!(cancelled["status_message"], json!({"message": "cancelled by admin"}));
        assert!(time(&cancelled["ended_at"]) >= time(&cancelled["created_at"]));
    }
    for unknown in [RunId::first_at(1).to_string(), "x".to_owned(), "x".repeat(5_000)] {
        api.check("POST", &format!("/agent/runs/{unknown}/cancel"), "", "404 resource_not_found: there is no").await;
        api.check("GET", &format!("/agent/runs/{unknown}"), "", "404 resource_not_found: there is no run").await;
    }
}

#[tokio::test]
async fn a_queued_run_knows_its_place() {
    let api = Api::new("free").await;
    for _ in 0..4 {
        api.create("true").await;
    }
    api.world.drain().await;
    let answer = api.check("POST", "/agent/runs", shell("true"), "200 ").await.json();
    assert_eq!(answer["at_capacity"], true);
    let first: RunId = answer["run_id"].as_str().unwrap().parse().unwrap();
    let second = api.create("true").await;
    let place = async |run: RunId| api.get(&format!("/agent/runs/{run}")).await["queue"].clone();
    let reason = "all 4 agents of the plan free are at work";
    let expected =
        |position: u32| json!({"position": position, "at_least": false, "waiting_for": "plan", "reason": reason});
    assert_eq!(place(first).await, expected(1));
    assert_eq!(place(second).await, expected(2));
    api.call("POST", &format!("/agent/runs/{first}/cancel"), "").await;
    assert_eq!((place(first).await, place(second).await["position"].clone()), (Value::Null, json!(1)));
}

#[tokio::test]
async fn a_follow_up_is_heard_or_reopens() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    let path = format!("/agent/runs/{run}/followups");
    api.check("POST", &path, r#"{"message":"and then?","mode":"normal"}"#, "200 {}").await;
    api.check("POST", &path, "{}", "400 invalid_request: message: needed").await;
    api.check("POST", &path, r#"{"message":"x","mode":"plan"}"#, "422 operation_not_supported: mode").await;
    api.check("POST", &path, r#"{"message":"x","mode":"fast"}"#, "400 invalid_request: mode").await;
    api.check("POST", &path, json!({"message": "x".repeat(40_000)}).to_string(), "400 invalid_request: message").await;
    api.call("POST", &format!("/agent/runs/{run}/cancel"), "").await;
    api.check("POST", &path, r#"{"message":"hello?"}"#, "409 conflict: the end of the run").await;
    ozma_app::complete::complete(&api.world.app, run).await.unwrap();
    api.check("POST", &path, r#"{"message":"hello?"}"#, "200 {}").await;
    assert_eq!(api.get(&format!("/agent/runs/{run}")).await["state"], "QUEUED");
}
