//! Named agents and runners: as the contract has them, and as runs of them are answered.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::api::{Api, time};

const IDENTITIES: &str = "/agent/identities";
const RUNNERS: &str = "/agent/runners";

#[tokio::test]
async fn an_identity_is_answered_whole_and_changed_in_part() {
    let api = Api::new("free").await;
    let runner = api.check("POST", RUNNERS, r#"{"name":"small"}"#, "201 ").await.json()["uid"].clone();
    let web = api.check("POST", "/agent/environments", r#"{"name":"web"}"#, "201 ").await.json()["uid"].clone();
    let least = api.check("POST", IDENTITIES, r#"{"name":"least"}"#, r#"201 {"uid":""#).await.json();
    let created_at = least["created_at"].clone();
    assert_eq!(time(&created_at), api.world.now());
    let expected = json!({
        "uid": least["uid"], "name": "least", "available": true, "created_at": created_at, "updated_at": created_at,
        "default_runner_uid": "", "secrets": [], "skills": [],
        "memory": {"attached_stores": [], "auto_memory": {"enabled": false}},
    });
    assert_eq!(least, expected);

    let given = json!({
        "name": "a reviewer", "description": "d", "prompt": "Be kind.", "agent_type": "REVIEW",
        "environment_id": web, "default_runner_uid": runner, "harness": {"type": "shell"},
        "secrets": [{"name": "TOKEN"}], "mcp_servers": {"search": {"url": "https://search.example.com"}},
        "credential_strategy": "EXECUTOR", "worker_host": "warp", "skills": [], "memory": null, "base_model": "",
        "on_behalf_of_enabled": false,
    });
    let created = api.check("POST", IDENTITIES, given.to_string(), "201 ").await.json();
    let members = ["description", "prompt", "agent_type", "environment_id", "default_runner_uid", "harness", "secrets"];
    for member in members.into_iter().chain(["name", "mcp_servers"]) {
        assert_eq!(created[member], given[member], "{member}");
    }
    let path = format!("{IDENTITIES}/{}", created["uid"].as_str().unwrap());
    for path in [path.as_str(), "/agent/identities/a%20reviewer"] {
        assert_eq!(api.get(path).await, created);
    }
    assert_eq!(api.get(IDENTITIES).await, json!({"agents": [created, least]}));

    // What is absent stays, and what is empty goes.
    api.world.clock.forward(SignedDuration::from_secs(1));
    let same = api.check("PUT", &path, "{}", "200 ").await.json();
    let mut expected = created.clone();
    expected["updated_at"] = same["updated_at"].clone();
    assert_eq!(same, expected);
    assert!(time(&same["updated_at"]) > time(&created["updated_at"]));
    let clear = json!({
        "name": "b", "description": "", "prompt": "", "agent_type": "", "environment_id": "", "default_runner_uid": "",
        "base_harness": "", "secrets": [], "mcp_servers": {},
    });
    let cleared = api.check("PUT", &path, clear.to_string(), "200 ").await.json();
    let mut expected = least.clone();
    for member in ["uid", "created_at", "updated_at"] {
        expected[member] = cleared[member].clone();
    }
    expected["name"] = json!("b");
    assert_eq!(cleared, expected);

    api.check("DELETE", &path, "", "204 ").await;
    api.check("DELETE", &path, "", "404 resource_not_found: there is no agent ").await;
    api.check("GET", "/agent/identities/b", "", "404 resource_not_found: there is no agent b").await;
    assert_eq!(api.get(IDENTITIES).await["agents"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_an_identity_cannot_be_is_named() {
    let api = Api::new("free").await;
    api.check("POST", IDENTITIES, r#"{"name":"it"}"#, "201 ").await;
    let check = async |member: &str, value: Value, expected: &str| {
        let mut given = json!({"name": "x"});
        given[member] = value;
        api.check("POST", IDENTITIES, given.to_string(), expected).await;
        given.as_object_mut().unwrap().retain(|name, _| name == member);
        if member != "name" {
            api.check("PUT", "/agent/identities/it", given.to_string(), expected).await;
        }
    };
    check("name", json!(""), "400 invalid_request: name: an agent needs a name").await;
    check("name", json!("it"), "400 invalid_request: name: another agent is named \"it\" already").await;
    check("agent_type", json!("BOSS"), "400 invalid_request: agent_type: one of FOREMAN").await;
    check("environment_id", json!("web"), "400 invalid_request: environment_id: \"web\" is not an environment id")
        .await;
    let nowhere = json!("0123456789abcdefABCDEF");
    check("environment_id", nowhere.clone(), "404 resource_not_found: environment_id: there is no environment").await;
    check("default_runner_uid", nowhere, "404 resource_not_found: default_runner_uid: there is no runner").await;
    check("secrets", json!([{"name": "A"}, {"name": "A"}]), "400 invalid_request: secrets: A is named twice").await;
    check("secrets", json!([{"name": "A-B"}]), "400 invalid_request: secrets[0].name: ").await;
    check("mcp_servers", json!({"x": {}}), "400 invalid_request: mcp_servers.x: needs exactly one of").await;
    check("credential_strategy", json!("X"), "400 invalid_request: credential_strategy: \"X\" is not CREATOR").await;
    check("harness", json!({"type": "vim"}), "400 invalid_request: harness.type: \"vim\" is not a harness").await;
    check("harness", json!({"type": "claude"}), "422 operation_not_supported: harness.type: the harness claude").await;
    for (member, value) in [
        ("skills", json!(["acme/web:review"])),
        ("memory", json!({"attached_stores": []})),
        ("on_behalf_of_enabled", json!(true)),
        ("worker_host", json!("mine")),
        ("inference_providers", json!({"aws": {}})),
        ("harness_auth_secrets", json!({"claude_auth_secret_name": "X"})),
    ] {
        check(member, value, &format!("422 operation_not_supported: {member}: not supported")).await;
    }
    let both = json!({"name": "x", "harness": {"type": "shell"}, "base_harness": "oz"});
    api.check("POST", IDENTITIES, both.to_string(), "400 invalid_request: base_harness: \"oz\" is not harness.type")
        .await;
    let model = json!({"name": "x", "harness": {"type": "shell"}, "base_model": "auto"});
    api.check("POST", IDENTITIES, model.to_string(), "400 invalid_request: base_model: for the harness oz alone").await;
    let factory = json!({"factory_uid": "x"}).to_string();
    api.check("PUT", "/agent/identities/it", factory, "400 invalid_request: factory_uid: set when").await;
    assert_eq!(api.get(IDENTITIES).await["agents"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_runner_lives_by_id_and_by_name() {
    let api = Api::new("free").await;
    let config = json!({"name": "small", "description": "d", "docker_image": "node:22", "setup_commands": ["make"],
        "vcpus": 1, "memory_gb": 2, "os": "linux", "arch": "auto"});
    let created = api.check("POST", RUNNERS, config.to_string(), r#"201 {"uid":""#).await.json();
    for member in ["name", "description", "docker_image", "setup_commands", "vcpus", "memory_gb"] {
        assert_eq!(created["config"][member], config[member], "{member}");
    }
    assert_eq!(api.get("/agent/runners/small").await, created);
    assert_eq!(api.get(RUNNERS).await, json!({"runners": [created]}));
    let path = format!("{RUNNERS}/{}", created["uid"].as_str().unwrap());
    let again = api.check("PUT", &path, created["config"].to_string(), "200 ").await.json();
    assert_eq!(again["config"], created["config"]);
    // What a PUT does not name is gone.
    let replaced = api.check("PUT", "/agent/runners/small", r#"{"name":"other"}"#, "200 ").await.json();
    assert_eq!(replaced["config"], json!({"name": "other"}));

    let check = async |config: Value, expected: &str| {
        api.check("POST", RUNNERS, config.to_string(), expected).await;
    };
    check(json!({}), "400 invalid_request: name: a runner needs a name").await;
    check(json!({"name": "other"}), "400 invalid_request: name: another runner is named \"other\"").await;
    check(json!({"name": "x", "vcpus": 2}), "400 invalid_request: memory_gb: needed together with vcpus").await;
    check(json!({"name": "x", "memory_gb": 2}), "400 invalid_request: vcpus: needed together with memory_gb").await;
    check(json!({"name": "x", "vcpus": 2, "memory_gb": 1}), "400 invalid_request: memory_gb: from 4 to 16").await;
    check(json!({"name": "x", "vcpus": -1, "memory_gb": 1}), "400 invalid_request: vcpus: invalid value").await;
    check(json!({"name": "x", "os": "macos"}), "422 operation_not_supported: os: \"macos\" is not supported").await;
    check(json!({"name": "x", "arch": "aarch64"}), "422 operation_not_supported: arch: \"aarch64\" is not").await;
    check(json!({"name": "x", "os": "beos"}), "400 invalid_request: os: linux, if anything").await;
    check(json!({"name": "x", "docker_image": "a b"}), "400 invalid_request: docker_image: an image reference").await;

    api.check("DELETE", "/agent/runners/other", "", r#"200 {"success":true}"#).await;
    api.check("DELETE", &path, "", "404 resource_not_found: there is no runner ").await;
}

#[tokio::test]
async fn a_run_of_an_identity_says_so_and_costs_what_its_machine_costs() {
    let api = Api::new("free").await;
    let small = r#"{"name":"small","vcpus":1,"memory_gb":2}"#;
    let runner = api.check("POST", RUNNERS, small, "201 ").await.json()["uid"].clone();
    let agent = json!({"name": "nightly", "harness": {"type": "shell"}, "default_runner_uid": runner});
    let agent = api.check("POST", IDENTITIES, agent.to_string(), "201 ").await.json()["uid"].clone();
    // The harness is the agent's.
    let request = json!({"prompt": "true", "agent_identity_uid": agent}).to_string();
    let run_id = api.check("POST", "/agent/runs", request, "200 ").await.json()["run_id"].clone();
    let path = format!("/agent/runs/{}", run_id.as_str().unwrap());
    let run = api.get(&path).await;
    let executor = json!({"type": "service_account", "uid": agent, "display_name": "nightly"});
    assert_eq!((&run["executor"], &run["creator"]["uid"]), (&executor, &json!("admin")));
    assert_eq!(run["agent_config"]["harness"], json!({"type": "shell"}));
    assert_eq!((&run["agent_config"]["runner_id"], &run["agent_config"]["name"]), (&runner, &json!("nightly")));

    api.world.drain().await;
    api.world.clock.forward(SignedDuration::from_secs(3600));
    let usage = api.get(&path).await["request_usage"].clone();
    // $0.04048 for the vCPU and $0.004445 for each of two GB.
    assert_eq!((&usage["compute_seconds"], &usage["estimated_fargate_usd"]), (&json!(3600), &json!(0.04937)));

    let by = async |query: &str| api.get(&format!("/agent/runs?{query}")).await["runs"].as_array().unwrap().len();
    assert_eq!(by(&format!("executor={}", agent.as_str().unwrap())).await, 1);
    assert_eq!((by("executor=admin").await, by("creator=admin").await, by("name=nightly").await), (0, 1, 1));

    // An agent that says no harness leaves it to whoever asks.
    let plain = api.check("POST", IDENTITIES, r#"{"name":"plain"}"#, "201 ").await.json()["uid"].clone();
    let check = async |path: &str, body: Value, expected: &str| {
        api.check("POST", path, body.to_string(), expected).await;
    };
    let needed = "config.harness.type: needed beside an agent";
    let ask = |agent: &Value| json!({"prompt": "true", "agent_identity_uid": agent});
    check("/agent/runs", ask(&plain), &format!("400 invalid_request: {needed}")).await;
    check("/agent/runs", ask(&json!("nightly")), "400 invalid_request: agent_identity_uid: \"nightly\" is not").await;
    let nobody = json!("0123456789abcdefABCDEF");
    let of_nobody = json!({"prompt": "true", "agent_identity_uid": nobody, "config": {"harness": {"type": "shell"}}});
    check("/agent/runs", of_nobody, "404 resource_not_found: agent_identity_uid: there is no agent").await;
    // What is stored says its harness itself, because a script is no template.
    let automation = json!({"name": "x", "run": ask(&agent)});
    check("/api/v1/automations", automation, &format!("400 invalid_request: run.{needed}")).await;
    let schedule = json!({"name": "x", "cron_schedule": "@daily", "prompt": "true", "agent_uid": agent});
    check("/agent/schedules", schedule.clone(), &format!("400 invalid_request: agent_{needed}")).await;
    let mut of_nobody = schedule;
    of_nobody["agent_config"] = json!({"harness": {"type": "shell"}});
    of_nobody["agent_uid"] = nobody;
    check("/agent/schedules", of_nobody.clone(), "404 resource_not_found: agent_uid: there is no agent").await;
    of_nobody["agent_uid"] = agent.clone();
    let schedule = api.check("POST", "/agent/schedules", of_nobody.to_string(), "201 ").await.json();
    assert_eq!(schedule["agent_uid"], agent);
    let now = api.check("POST", "/agent/schedules/x/run", "", "201 ").await.json();
    let run = api.get(&format!("/agent/runs/{}", now["run_id"].as_str().unwrap())).await;
    assert_eq!(run["executor"]["uid"], agent);
}
