//! Definitions over REST: a plan that tells what differs, all of it or nothing, and the same again changes nothing.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::api::Api;

const APPLY: &str = "/api/v1/apply";
const DEFINITIONS: &str = "/api/v1/definitions";

/// One of each kind, of which some need others that come after them.
pub(crate) fn whole() -> Vec<Value> {
    let shell = json!({"type": "shell"});
    vec![
        json!({"kind": "automation", "name": "fix", "on": {"webhook": "acme", "events": ["issue.labeled"],
            "filter": {"label": {"name": ["agent", "bot"]}}, "allow": {"logins": ["ann"]}},
            "run": {"prompt": "make fix\nmake test\n", "agent_identity_uid": "reviewer",
                "config": {"environment_id": "web", "harness": shell},
                "scheduling": {"priority": 3, "concurrency": {"key": "fix {item}", "policy": "supersede"}},
                "limits": {"run_seconds": 600, "budget": {"usd": 1.5}}, "metadata": {"team": "web"}},
            "runs_per_hour": 20, "budget": {"minutes": 100}}),
        json!({"kind": "environment", "name": "web", "docker_image": "debian:12", "setup_commands": ["npm ci"],
            "repositories": [{"url": "https://github.com/acme/web", "ref": "main"}], "secrets": ["NPM_TOKEN"],
            "variables": {"A": "b"}, "network": "none", "default_runner_uid": "small"}),
        json!({"kind": "webhook", "name": "acme", "auth": {"mode": "signature", "scheme": "github"},
            "own": {"logins": ["acme[bot]"], "mention": "@oz"}}),
        json!({"kind": "schedule", "name": "nightly", "cron_schedule": "0 3 * * MON-FRI", "timezone": "Europe/Berlin",
            "prompt": "make report", "agent_uid": "reviewer",
            "agent_config": {"environment_id": "web", "runner_id": "small", "harness": shell},
            "missed": {"policy": "all", "at_most": 3}, "overlap": "queue"}),
        json!({"kind": "subscription", "name": "deploys", "url": "https://example.com/hooks", "events": ["run.failed"]}),
        json!({"kind": "agent", "name": "reviewer", "prompt": "Be kind.", "environment_id": "web", "harness": shell,
            "default_runner_uid": "small", "secrets": [{"name": "REVIEW_TOKEN"}], "agent_type": "REVIEW",
            "mcp_servers": {"search": {"url": "https://search.example.com"}}}),
        json!({"kind": "runner", "name": "small", "vcpus": 1, "memory_gb": 2, "docker_image": "node:22",
            "setup_commands": ["apt-get update"]}),
    ]
}

fn body(definitions: &[Value], mut more: Value) -> String {
    more["definitions"] = json!(definitions);
    more.to_string()
}

/// `create automation fix, unchanged …`
fn told(result: &Value) -> String {
    let changes = result["changes"].as_array().unwrap().iter();
    let word = |change: &Value, member: &str| change[member].as_str().unwrap().to_owned();
    changes
        .map(|change| format!("{} {} {}", word(change, "action"), word(change, "kind"), word(change, "name")))
        .collect::<Vec<_>>()
        .join(", ")
}

async fn apply(api: &Api, definitions: &[Value], more: Value) -> Value {
    api.check("POST", APPLY, body(definitions, more), "200 ").await.json()
}

async fn exported(api: &Api) -> Vec<Value> {
    api.get(DEFINITIONS).await["definitions"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_is_applied_is_there_once_however_often_it_is_applied() {
    let api = Api::new("free").await;
    let planned = apply(&api, &whole(), json!({"plan_only": true})).await;
    let expected = "create automation fix, create environment web, create webhook acme, create schedule nightly, \
                    create subscription deploys, create agent reviewer, create runner small";
    assert_eq!((told(&planned).as_str(), &planned["applied"]), (expected, &json!(false)));
    assert!(planned["changes"].as_array().unwrap().iter().all(|one| one.get("secret").or(one.get("id")).is_none()));
    assert!(exported(&api).await.is_empty(), "a plan does nothing");
    assert!(api.world.launcher.prepared().is_empty());

    let applied = apply(&api, &whole(), json!({})).await;
    assert_eq!((told(&applied).as_str(), &applied["applied"]), (expected, &json!(true)));
    assert_eq!(api.world.launcher.prepared(), ["debian:12", "node:22"]);
    // They know each other.
    let environment = api.get("/agent/environments/web").await;
    let webhook = api.get("/api/v1/webhooks/acme").await;
    let automation = api.get("/api/v1/automations/fix").await;
    let schedule = api.get("/agent/schedules/nightly").await;
    assert_eq!(automation["on"]["webhook"], webhook["id"]);
    assert_eq!(automation["run"]["config"]["environment_id"], environment["uid"]);
    assert_eq!(schedule["agent_config"]["environment_id"], environment["uid"]);
    let agent = api.get("/agent/identities/reviewer").await;
    let runner = api.get("/agent/runners/small").await;
    assert_eq!((&automation["run"]["agent_identity_uid"], &schedule["agent_uid"]), (&agent["uid"], &agent["uid"]));
    assert_eq!(agent["environment_id"], environment["uid"]);
    for named in [&agent["default_runner_uid"], &environment["config"]["default_runner_uid"]] {
        assert_eq!(*named, runner["uid"]);
    }
    assert_eq!(schedule["agent_config"]["runner_id"], runner["uid"]);
    assert_eq!(schedule["next_runs"].as_array().unwrap().len(), 10);
    // What is made for others is told once.
    let change = |result: &Value, at: usize| result["changes"][at].clone();
    assert_eq!(change(&applied, 0)["url"], automation["webhook_url"]);
    assert!(change(&applied, 0)["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!((&change(&applied, 2)["url"], &change(&applied, 2)["id"]), (&webhook["url"], &webhook["id"]));
    assert!(!change(&applied, 2)["secret"].as_str().unwrap().is_empty());
    assert!(change(&applied, 4)["secret"].as_str().unwrap().starts_with("whsec_"));
    let team = api.world.app.store.team(&api.world.team).await.unwrap().unwrap();
    assert_eq!(team.subscribed.unwrap().as_str(), change(&applied, 4)["id"].as_str().unwrap());
    let listeners = api.world.app.store.listeners(&api.world.team).await.unwrap();
    assert_eq!(listeners.len(), 1);

    // Again, as written and as exported, in a set of another name too: nothing.
    api.world.clock.forward(SignedDuration::from_secs(1));
    let nothing = expected.replace("create", "unchanged");
    for plan_only in [true, false] {
        let again = apply(&api, &whole(), json!({"plan_only": plan_only, "prune": true})).await;
        assert_eq!((told(&again), &again["applied"]), (nothing.clone(), &json!(false)));
        assert!(again["changes"].as_array().unwrap().iter().all(|one| one.get("secret").is_none()));
        let all = exported(&api).await;
        let again = apply(&api, &all, json!({"plan_only": plan_only, "set": "other"})).await;
        assert!(!told(&again).contains("create") && again["applied"] == json!(false), "{again}");
    }
    assert_eq!(api.get("/agent/environments/web").await, environment);
    assert_eq!(api.get("/agent/schedules/nightly").await, schedule);
    // What is exported is what was written, but for what says itself.
    let mut sorted = whole();
    sorted.sort_by_key(|one| {
        ["runner", "environment", "agent", "webhook", "automation", "schedule", "subscription"]
            .iter()
            .position(|kind| one["kind"] == *kind)
    });
    assert_eq!(exported(&api).await, sorted);
    assert_eq!(api.get(&format!("{DEFINITIONS}?kind=webhook")).await["definitions"], json!([sorted[3]]));
    api.check("GET", &format!("{DEFINITIONS}?kind=team"), "", "400 invalid_request: kind: \"team\" is not a kind")
        .await;
}

#[tokio::test]
async fn what_somebody_made_by_hand_is_exported_and_applied_as_nothing_and_never_pruned() {
    let api = Api::new("free").await;
    for (path, config) in [
        (
            "/agent/environments",
            json!({"name": "app", "github_repos": [{"owner": "a", "repo": "b"}], "capacity": "spot"}),
        ),
        (
            "/api/v1/webhooks",
            json!({"name": "any", "auth": {"mode": "url_token"}, "deliveries_per_minute": 7, "paused": true}),
        ),
        (
            "/api/v1/automations",
            json!({"name": "any", "on": {"provider": "gitlab", "runs_per_object": 3}, "paused": true,
            "run": {"prompt": "true", "title": "t", "config": {"harness": {"type": "shell"}, "environment_id": ""}}}),
        ),
        (
            "/api/v1/automations",
            json!({"name": "plain", "run": {"prompt": " x ", "config": {"harness": {"type": "shell"}}}}),
        ),
        (
            "/agent/schedules",
            json!({"name": "once", "cron_schedule": "rate(90 minutes)", "prompt": "true", "enabled": false,
            "agent_config": {"harness": {"type": "shell"}}, "ends_at": "2099-01-01T00:00:00Z", "jitter_seconds": 5}),
        ),
        ("/api/v1/subscriptions", json!({"name": "all", "url": "https://example.com/", "paused": true})),
    ] {
        api.check("POST", path, config.to_string(), "201 ").await;
    }
    let all = exported(&api).await;
    assert_eq!(all.len(), 6);
    let planned = apply(&api, &all, json!({"plan_only": true, "prune": true})).await;
    assert!(told(&planned).split(", ").all(|one| one.starts_with("unchanged ")), "{planned}");
    // It is changed by an apply, and is somebody's own all the same.
    let mut changed = all.clone();
    changed[5]["url"] = json!("https://example.org/");
    let result = apply(&api, &changed, json!({})).await;
    let fields = json!([{"field": "url", "old": "https://example.com/", "new": "https://example.org/"}]);
    assert_eq!(result["changes"][5]["fields"], fields);
    let pruned = apply(&api, &[], json!({"prune": true})).await;
    assert_eq!((told(&pruned).as_str(), exported(&api).await.len()), ("", 6));
}

#[tokio::test]
async fn a_change_tells_each_field_and_leaves_alone_what_is_paused() {
    let api = Api::new("free").await;
    apply(&api, &whole(), json!({})).await;
    let paused = api.get("/api/v1/automations/fix").await;
    let mut config = paused.clone();
    config["paused"] = true.into();
    api.check("PUT", "/api/v1/automations/fix", config.to_string(), "200 ").await;
    api.check("POST", "/agent/schedules/nightly/pause", "", "200 ").await;
    let mut definitions = whole();
    assert_eq!(apply(&api, &definitions, json!({})).await["applied"], json!(false));

    definitions[0]["paused"] = false.into();
    definitions[0]["run"]["prompt"] = "make all".into();
    definitions[1]["docker_image"] = "debian:13".into();
    definitions[2]["auth"] = json!({"mode": "token"});
    let result = apply(&api, &definitions, json!({})).await;
    let fields = |at: usize| result["changes"][at]["fields"].clone();
    let expected = json!([
        {"field": "paused", "old": true, "new": false},
        {"field": "run.prompt", "old": "make fix\nmake test\n", "new": "make all"},
    ]);
    assert_eq!(fields(0), expected);
    assert_eq!(fields(1), json!([{"field": "docker_image", "old": "debian:12", "new": "debian:13"}]));
    // Another way to show who one is is another secret.
    assert!(result["changes"][2]["secret"].as_str().unwrap().starts_with("ozw_"), "{result}");
    assert_eq!(api.get("/agent/schedules/nightly").await["enabled"], json!(false));
    assert_eq!(api.world.launcher.prepared(), ["debian:12", "node:22", "debian:13"]);
    assert_eq!(api.world.launcher.retired(), ["debian:12"]);
    // A secret of an automation stays.
    assert!(result["changes"][0].get("secret").is_none());
    definitions[3]["enabled"] = true.into();
    assert!(told(&apply(&api, &definitions, json!({})).await).contains("update schedule nightly"));
    assert_eq!(api.get("/agent/schedules/nightly").await["enabled"], json!(true));
}

#[tokio::test]
async fn only_what_an_apply_of_the_set_made_is_pruned_and_nothing_that_others_need() {
    let api = Api::new("free").await;
    apply(&api, &whole(), json!({})).await;
    let mine = json!({"kind": "environment", "name": "mine"});
    apply(&api, std::slice::from_ref(&mine), json!({"set": "other"})).await;
    api.check("POST", "/agent/environments", json!({"name": "by hand"}).to_string(), "201 ").await;
    // The automation and the schedule need the environment.
    let [automation, environment, webhook, schedule, subscription, agent, _] = whole().try_into().unwrap();
    api.check(
        "POST",
        APPLY,
        body(&[environment.clone(), agent.clone()], json!({"prune": true})),
        "400 invalid_request: the runner \"small\" is defined no more, and the environment \"web\" needs it",
    )
    .await;
    let mut loose = automation.clone();
    loose["run"].as_object_mut().unwrap().remove("agent_identity_uid");
    loose["run"]["config"].as_object_mut().unwrap().remove("environment_id");
    let left = [loose.clone(), webhook.clone(), schedule.clone()];
    let told_of = "400 invalid_request: definitions[2].agent_config.environment_id: there is no";
    let unknown = body(&left, json!({"prune": true, "set": "default"}));
    // It is still there, and would be gone.
    let answer = api.call("POST", APPLY, unknown).await;
    assert!(
        answer.told().contains("the environment \"web\" is defined no more, and the schedule \"nightly\" needs it"),
        "{told_of}: {}",
        answer.told()
    );
    let by_hand = json!({"name": "by hand", "cron_schedule": "@daily", "prompt": "true",
        "agent_config": {"harness": {"type": "shell"}, "environment_id": api.get("/agent/environments/web").await["uid"]}});
    api.check("POST", "/agent/schedules", by_hand.to_string(), "201 ").await;
    api.check(
        "POST",
        APPLY,
        body(&[loose.clone(), webhook.clone()], json!({"prune": true})),
        "400 invalid_request: the environment \"web\" is defined no more, and the schedule \"by hand\" needs it",
    )
    .await;
    api.check("DELETE", "/agent/schedules/by%20hand", "", "200 ").await;

    let planned = apply(&api, &[loose.clone(), webhook.clone()], json!({"plan_only": true, "prune": true})).await;
    let expected = "update automation fix, unchanged webhook acme, delete subscription deploys, delete schedule nightly, delete agent reviewer, delete environment web, delete runner small";
    assert_eq!(told(&planned), expected);
    assert_eq!(exported(&api).await.len(), 9);
    assert_eq!(told(&apply(&api, &[loose, webhook], json!({"prune": true})).await), expected);
    let names: Vec<String> = exported(&api).await.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["by hand", "mine", "acme", "fix"]);
    assert_eq!(api.world.app.store.team(&api.world.team).await.unwrap().unwrap().subscribed, None);
    // Another set's is its own.
    let mut other = mine;
    other["description"] = "d".into();
    api.check(
        "POST",
        APPLY,
        body(std::slice::from_ref(&other), json!({})),
        "400 invalid_request: definitions[0].name: the environment is of the set other",
    )
    .await;
    assert_eq!(told(&apply(&api, &[other], json!({"set": "other"})).await), "update environment mine");
    assert_eq!(told(&apply(&api, &[], json!({"prune": true})).await), "delete automation fix, delete webhook acme");
    // What was deleted can be made again.
    apply(&api, &whole(), json!({})).await;
    apply(&api, &[subscription], json!({})).await;
}

#[tokio::test]
async fn what_cannot_be_is_named_and_then_nothing_is() {
    let api = Api::new("free").await;
    let fine = json!({"kind": "environment", "name": "fine"});
    let check = async |one: Value, expected: &str| {
        let expected = format!("400 invalid_request: definitions[1]{expected}");
        for plan_only in [true, false] {
            let body = body(&[fine.clone(), one.clone()], json!({"plan_only": plan_only}));
            api.check("POST", APPLY, body, &expected).await;
        }
        assert!(exported(&api).await.is_empty());
    };
    let shell = json!({"harness": {"type": "shell"}});
    check(json!({}), ".kind: needed").await;
    let kinds = "runner, environment, agent, webhook, automation, schedule and subscription";
    let told = format!(".kind: \"team\" is not a kind that can be defined; there are {kinds}");
    check(json!({"kind": "team", "name": "x"}), &told).await;
    let agent = |member: &str, value: Value| json!({"kind": "agent", "name": "x", member: value});
    check(json!({"kind": "runner", "name": "x", "vcpus": 2}), ".memory_gb: needed together with vcpus").await;
    check(json!({"kind": "runner", "name": "x", "vcpus": 3, "memory_gb": 8}), ".vcpus: 1, 2, 4, 8 or 16").await;
    check(agent("environment_id", json!("nowhere")), ".environment_id: there is no environment \"nowhere\"").await;
    check(agent("default_runner_uid", json!("none")), ".default_runner_uid: there is no runner \"none\"").await;
    let skilled = body(&[agent("skills", json!(["a/b:c"]))], json!({}));
    let told = "422 operation_not_supported: definitions[0].skills: not supported by this version";
    api.check("POST", APPLY, skilled, told).await;
    check(agent("secrets", json!(["T"])), ".secrets[0]: invalid type").await;
    check(json!({"kind": "environment"}), ".name: needed").await;
    check(json!({"kind": "environment", "name": "fine"}), ".name: the same environment is at definitions[0] already")
        .await;
    check(
        json!({"kind": "environment", "name": "x", "descripton": "d"}),
        ".descripton: there is no such field; did you mean description?",
    )
    .await;
    check(json!({"kind": "environment", "name": "x", "setup_commands": [" "]}), ".setup_commands: ").await;
    check(
        json!({"kind": "environment", "name": "x", "variables": {"T": format!("ghp_{}", "a".repeat(36))}}),
        ".variables.T: holds a token of GitHub",
    )
    .await;
    check(json!({"kind": "webhook", "name": "x"}), ".auth: needed").await;
    check(
        json!({"kind": "webhook", "name": "x", "auth": {"mode": "token"}, "secret": "hush-hush"}),
        ".secret: definitions hold no secrets",
    )
    .await;
    let automation = |on: Value, run: Value| json!({"kind": "automation", "name": "x", "on": on, "run": run});
    let run = json!({"prompt": "x", "config": shell});
    check(
        automation(json!({"webhook": "nobody"}), run.clone()),
        ".on.webhook: there is no webhook \"nobody\", neither here",
    )
    .await;
    // An automation is no webhook, whatever its name.
    check(automation(json!({"webhook": "x"}), run.clone()), ".on.webhook: there is no webhook \"x\"").await;
    check(automation(json!({"webhook": "a", "provider": "github"}), run), ".on.webhook: there is no").await;
    check(automation(json!({}), json!({"config": shell})), ".run.prompt: needed").await;
    let skill = automation(json!({}), json!({"prompt": "x", "skill": "a/b:c"}));
    let told_of = "422 operation_not_supported: definitions[0].run.skill: skills are not supported";
    api.check("POST", APPLY, body(&[skill], json!({})), told_of).await;
    check(
        automation(
            json!({}),
            json!({"prompt": "x", "config": {"harness": {"type": "shell"}, "environment_id": "nowhere"}}),
        ),
        ".run.config.environment_id: there is no environment \"nowhere\"",
    )
    .await;
    let schedule = |cron: &str| json!({"kind": "schedule", "name": "x", "cron_schedule": cron, "prompt": "x", "agent_config": shell});
    check(schedule("61 * * * *"), ".cron_schedule: ").await;
    check(schedule("at(2001-01-01T00:00)"), ".cron_schedule: is over").await;
    check(json!({"kind": "subscription", "name": "x", "url": "http://example.com"}), ".url: has to begin with https")
        .await;

    api.check("POST", APPLY, "{}", "400 invalid_request: definitions: needed").await;
    api.check("POST", APPLY, r#"{"definitions": {}}"#, "400 invalid_request: definitions: invalid type").await;
    api.check("POST", APPLY, r#"{"definitions": [7]}"#, "400 invalid_request: definitions[0]: invalid type").await;
    api.check("POST", APPLY, r#"{"definitions": [], "set": "a b"}"#, "400 invalid_request: set: \"a b\" is not").await;
    let many = vec![fine.clone(); 1_001];
    api.check("POST", APPLY, body(&many, json!({})), "400 invalid_request: definitions: at most 1000").await;
    let large = json!({"kind": "environment", "name": "x", "description": "x".repeat(2 * 1024 * 1024)});
    api.check("POST", APPLY, body(&[large], json!({})), "413 invalid_request: definitions: more than 2 MiB").await;
    api.world.launcher.refuse("it is not there");
    let image = json!({"kind": "environment", "name": "x", "docker_image": "nowhere/nothing"});
    api.check(
        "POST",
        APPLY,
        body(&[fine, image], json!({})),
        "400 invalid_request: definitions[1].docker_image: it is not there",
    )
    .await;
    assert!(exported(&api).await.is_empty());
}

#[tokio::test]
async fn what_is_too_much_for_one_transaction_is_refused_before_anything_is_written() {
    let api = Api::new("free").await;
    let environments = |range: std::ops::Range<usize>| -> Vec<Value> {
        range.map(|n| json!({"kind": "environment", "name": format!("e{n}")})).collect()
    };
    let told_of = "400 invalid_request: 101 rows would be written, and 100 is the most that is written together";
    api.check("POST", APPLY, body(&environments(0..50), json!({"plan_only": true})), told_of).await;
    api.check("POST", APPLY, body(&environments(0..50), json!({})), told_of).await;
    assert!(exported(&api).await.is_empty());
    apply(&api, &environments(0..49), json!({})).await;
    // What is there takes no room.
    assert_eq!(apply(&api, &environments(0..98), json!({})).await["applied"], json!(true));
    assert_eq!(exported(&api).await.len(), 98);

    let subscriptions: Vec<Value> = (0..51)
        .map(|n| json!({"kind": "subscription", "name": format!("s{n}"), "url": "https://example.com/"}))
        .collect();
    let told_of = "400 invalid_request: the team would have 51 subscriptions, at most 50";
    api.check("POST", APPLY, body(&subscriptions, json!({"set": "mail"})), told_of).await;
    apply(&api, &subscriptions[..50], json!({"set": "mail"})).await;
    // Some for others.
    apply(&api, &subscriptions[1..], json!({"prune": true, "set": "mail"})).await;
}

#[tokio::test]
async fn two_of_a_name_cannot_be_told_apart_by_a_definition() {
    let api = Api::new("free").await;
    let subscription = json!({"name": "ci", "url": "https://example.com/"});
    for _ in 0..2 {
        api.check("POST", "/api/v1/subscriptions", subscription.to_string(), "201 ").await;
    }
    let mut definition = subscription;
    definition["kind"] = "subscription".into();
    api.check(
        "POST",
        APPLY,
        body(&[definition], json!({})),
        "400 invalid_request: definitions[0].name: more than one subscription has it",
    )
    .await;
}

#[tokio::test]
async fn another_teams_things_are_neither_told_nor_touched() {
    let api = Api::new("free").await;
    apply(&api, &whole(), json!({})).await;
    let webhook = api.get("/api/v1/webhooks/acme").await["id"].clone();
    let api = api.of_another_team().await;
    assert!(exported(&api).await.is_empty());
    let mut listener = whole().swap_remove(0);
    listener["on"]["webhook"] = webhook;
    let told_of = "400 invalid_request: definitions[0].on.webhook: there is no webhook";
    api.check("POST", APPLY, body(&[listener], json!({})), told_of).await;
    assert_eq!(told(&apply(&api, &[], json!({"prune": true})).await), "");
    // A team of which nothing is known yet may define the same.
    assert_eq!(apply(&api, &whole(), json!({})).await["applied"], json!(true));
}
