//! Schedules over REST, as the contract has them, with what is this API's own.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::api::{Api, time};

const SCHEDULES: &str = "/agent/schedules";

fn nightly() -> Value {
    json!({
        "name": "nightly", "cron_schedule": "0 3 * * *", "prompt": "make report",
        "agent_config": {"harness": {"type": "shell"}},
    })
}

fn with(name: &str, value: Value) -> String {
    let mut request = nightly();
    request[name] = value;
    request.to_string()
}

#[tokio::test]
async fn a_schedule_lives_as_the_contract_says() {
    let api = Api::new("free").await;
    let created = api.check("POST", SCHEDULES, nightly().to_string(), r#"201 {"id":""#).await.json();
    let id = created["id"].as_str().unwrap();
    let path = format!("{SCHEDULES}/{id}");
    assert_eq!((&created["enabled"], &created["cron_schedule"]), (&json!(true), &json!("0 3 * * *")));
    assert_eq!((&created["timezone"], &created["overlap"]), (&json!("UTC"), &json!("skip")));
    assert_eq!(created["next_runs"].as_array().unwrap().len(), 10);
    assert_eq!(created["next_runs"][0], created["history"]["next_run"]);
    assert!(time(&created["next_runs"][0]) > api.world.now());
    assert_eq!(api.get(&path).await, created);
    let list = api.get(SCHEDULES).await;
    assert_eq!((&list["schedules"][0]["id"], list["schedules"][0].get("next_runs")), (&created["id"], None));

    let paused = api.check("POST", &format!("{path}/pause"), "", "200 ").await.json();
    assert_eq!((&paused["enabled"], paused["history"].get("next_run")), (&json!(false), None));
    let resumed = api.check("POST", &format!("{path}/resume"), "", "200 ").await.json();
    assert_eq!(resumed["history"], created["history"]);

    let run = api.check("POST", &format!("{path}/run"), "", r#"201 {"run_id":""#).await.json();
    let run = api.get(&format!("/agent/runs/{}", run["run_id"].as_str().unwrap())).await;
    let snapshot = json!({"schedule_id": id, "schedule_name": "nightly", "cron_schedule": "0 3 * * *"});
    assert_eq!((&run["schedule"], &run["source"]), (&snapshot, &json!("SCHEDULED_AGENT")));
    let told = api.get(&path).await;
    assert_eq!(
        (&told["occurrences"][0]["run_id"], &told["occurrences"][0]["run_state"]),
        (&run["run_id"], &json!("QUEUED"))
    );

    // Replaced as a whole: what it is sent back as is the same, and what it does not name is gone.
    api.world.clock.forward(SignedDuration::from_secs(1));
    let mut berlin = nightly();
    berlin["enabled"] = json!(true);
    berlin["timezone"] = json!("Europe/Berlin");
    berlin["missed"] = json!({"policy": "all", "at_most": 3});
    let berlin = api.check("PUT", &path, berlin.to_string(), "200 ").await.json();
    assert_eq!((&berlin["timezone"], &berlin["missed"]["at_most"]), (&json!("Europe/Berlin"), &json!(3)));
    let again = api.check("PUT", &path, berlin.to_string(), "200 ").await.json();
    assert_eq!((&again["missed"], &again["next_runs"]), (&berlin["missed"], &berlin["next_runs"]));
    api.check("PUT", &path, nightly().to_string(), "400 invalid_request: enabled: needed").await;

    api.check("DELETE", &path, "", r#"200 {"success":true}"#).await;
    api.check("GET", &path, "", "404 resource_not_found: there is no schedule").await;
    for (method, action) in [("POST", "/pause"), ("POST", "/resume"), ("POST", "/run"), ("DELETE", "")] {
        api.check(method, &format!("{path}{action}"), "", "404 resource_not_found: there is no schedule").await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_schedule_is_told_by_field() {
    let api = Api::new("free").await;
    let check = async |body: String, expected: &str| {
        api.check("POST", SCHEDULES, body, &format!("400 invalid_request: {expected}")).await;
    };
    check(with("name", Value::Null), "name: a schedule needs a name").await;
    check(with("cron_schedule", Value::Null), "cron_schedule: ").await;
    check(with("cron_schedule", json!("0 3 * *")), "cron_schedule: ").await;
    check(with("cron_schedule", json!("61 3 * * *")), "cron_schedule: ").await;
    check(with("cron_schedule", json!("0 0 30 2 *")), "cron_schedule: ").await;
    check(with("cron_schedule", json!("rate(0 minutes)")), "cron_schedule: ").await;
    check(with("cron_schedule", json!("at(2020-01-01T00:00:00)")), "cron_schedule: is over").await;
    check(with("timezone", json!("Europe/Berln")), "timezone: ").await;
    check(with("missed", json!({"policy": "some"})), "missed.policy: ").await;
    check(with("missed", json!({"policy": "all"})), "missed.at_most: needed").await;
    check(with("missed", json!({"policy": "all", "at_most": 200})), "missed: all takes from 1").await;
    check(with("missed", json!({"at_most": 2})), "missed.at_most: says nothing").await;
    check(with("overlap", json!("both")), "overlap").await;
    check(with("jitter_seconds", json!(86_400)), "jitter_seconds: from 0 to").await;
    check(with("prompt", Value::Null), "prompt: needed").await;
    check(with("agent_config", json!({"harness": {"type": "vi"}})), "agent_config.harness.type: ").await;
    let busy = json!({"concurrency": {"key": "k"}});
    check(with("scheduling", busy.clone()), "scheduling.concurrency: ").await;
    check(with("scheduling", json!({"not_before": "2030-01-01T00:00:00Z"})), "scheduling.not_before: ").await;
    let dates = with("ends_at", json!("2020-01-01T00:00:00Z"));
    check(dates, "cron_schedule: is over").await;
    api.check("POST", SCHEDULES, with("agent_uid", json!("x")), "400 invalid_request: agent_uid: ").await;
    assert_eq!(api.get(SCHEDULES).await, json!({"schedules": []}));
    // Two of one name are told apart by their ids alone.
    for _ in 0..2 {
        api.check("POST", SCHEDULES, nightly().to_string(), "201 ").await;
    }
    api.check("GET", &format!("{SCHEDULES}/nightly"), "", "409 conflict: more than one schedule is named").await;
    let mut own = nightly();
    own["scheduling"] = busy;
    own["overlap"] = json!("allow");
    api.check("POST", SCHEDULES, own.to_string(), "201 ").await;
}
