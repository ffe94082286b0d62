//! What a run tells while it works and after: milestones, transcript, audit trail.

use std::io::Read as _;

use jiff::SignedDuration;
use ozma_domain::id::RunId;
use ozma_domain::outcome::Outcome;
use ozma_domain::protocol::Report;
use serde_json::{Value, json};

use crate::api::{Api, time};

const NOTICE: &str = "{\"type\":\"notice\",\"text\":\"hello\"}\n";

fn names(timeline: &Value) -> Vec<&str> {
    timeline["events"].as_array().unwrap().iter().map(|event| event["event_type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_timeline_has_each_milestone_in_order() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    let path = format!("/agent/runs/{run}/timeline");
    assert_eq!(names(&api.get(&path).await), ["oz_run_created"]);
    let later = |by: i64| api.world.clock.forward(SignedDuration::from_secs(by));
    later(1);
    api.world.drain().await;
    later(1);
    let lost = api.world.agent(run).await;
    lost.claim(&api.world).await.map(drop).unwrap();
    later(1);
    api.world.launcher.end(lost.execution);
    ozma_app::settle::container_gone(&api.world.app, lost.execution, None).await.unwrap();
    later(1);
    api.world.drain().await;
    let agent = api.world.agent(run).await;
    later(1);
    agent.work(&api.world).await;
    let timeline = api.get(&path).await;
    let expected = [
        "oz_run_created",
        "oz_run_claimed",
        "worker_container_ready",
        "vm_shutdown",
        "oz_run_claimed",
        "worker_container_ready",
        "agent_started",
        "oz_run_done",
        "vm_shutdown",
    ];
    assert_eq!(names(&timeline), expected);
    let events = timeline["events"].as_array().unwrap();
    assert!(events.is_sorted_by_key(|event| time(&event["occurred_at"])), "{timeline}");
    let executions: Vec<&Value> = events.iter().map(|event| &event["execution_id"]).collect();
    assert_eq!((executions[1], executions[4]), (&json!(format!("{run}-1")), &json!(format!("{run}-2"))));
    let mut ids: Vec<&str> = events.iter().map(|event| event["event_uuid"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), ids[0].len()), (events.len(), 36));
    assert_eq!(api.get(&path).await, timeline, "told again it is the same");
}

#[tokio::test]
async fn a_run_shows_its_states_and_its_times() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    let path = format!("/agent/runs/{run}");
    let shows = async |state: &str, sandbox: bool| {
        let run = api.get(&path).await;
        assert_eq!((&run["state"], &run["is_sandbox_running"]), (&json!(state), &json!(sandbox)));
        run
    };
    shows("QUEUED", false).await;
    api.world.drain().await;
    shows("PENDING", true).await;
    let agent = api.world.agent(run).await;
    agent.claim(&api.world).await.map(drop).unwrap();
    let claimed = shows("CLAIMED", true).await;
    assert_eq!((&claimed["isolation"], &claimed["attempt"]), (&json!("process"), &json!(1)));
    agent.start(&api.world).await.unwrap();
    api.world.clock.forward(SignedDuration::from_secs(150));
    let works = shows("INPROGRESS", true).await;
    assert_eq!((&works["run_time"], works.get("ended_at")), (&json!("PT2M30S"), None));
    assert!(works["request_usage"]["estimated_fargate_usd"].as_f64().unwrap() > 0.0);
    assert_eq!(works["request_usage"]["compute_cost_usd"], 0.0, "a laptop's compute costs nothing");
    agent.finish(&api.world, 0).await.unwrap();
    api.world.clock.forward(SignedDuration::from_secs(150));
    let ended = shows("SUCCEEDED", false).await;
    assert_eq!((&ended["run_time"], &ended["status_message"]), (&json!("PT2M30S"), &json!({"message": "done"})));
    assert_eq!(ended["updated_at"], ended["ended_at"]);
}

#[tokio::test]
async fn the_transcript_is_read_from_a_place_on() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    let read = async |query: &str| {
        let page = api.get(&format!("/agent/runs/{run}/events{query}")).await;
        let next = page["next"].as_str().unwrap().to_owned();
        (page["events"].as_array().unwrap().len(), next, page["ended"].as_bool().unwrap())
    };
    let is = |events: usize, next: &str, ended: bool| (events, next.to_owned(), ended);
    assert_eq!(read("").await, is(0, "0.0", false));
    api.world.drain().await;
    let agent = api.world.agent(run).await;
    agent.claim(&api.world).await.map(drop).unwrap();
    agent.segment(&api.world, 1, &NOTICE.repeat(3)).await.unwrap();
    assert_eq!(read("").await, is(3, "1.1", false));
    assert_eq!(read("?after=0.0").await, is(3, "1.1", false));
    assert_eq!(read("?after=1.1").await, is(0, "1.1", false));
    assert_eq!(read("?after=1.1&wait=0").await, is(0, "1.1", false));

    let waits = async || {
        let started = std::time::Instant::now();
        (read("?after=1.1&wait=20").await, started.elapsed())
    };
    let speaks = async || {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        agent.segment(&api.world, 2, NOTICE).await.map(drop).unwrap();
    };
    let ((answer, waited), ()) = tokio::join!(waits(), speaks());
    assert_eq!(answer, is(1, "1.2", false));
    assert!((250..5_000).contains(&waited.as_millis()), "answered when there is something: {waited:?}");
    let started = std::time::Instant::now();
    assert_eq!(read("?after=1.2&wait=1").await, is(0, "1.2", false));
    assert!((900..5_000).contains(&started.elapsed().as_millis()), "or when the time is up");

    agent.finish(&api.world, 2).await.unwrap();
    assert_eq!(read("?after=1.2&wait=20").await, is(0, "1.2", true));
    assert_eq!(read("").await, is(4, "1.2", true));
    for bad in ["after=x", "after=1", "after=", "wait=x", "wait=-1"] {
        let field = bad.split('=').next().unwrap();
        let path = format!("/agent/runs/{run}/events?{bad}");
        api.check("GET", &path, "", &format!("400 invalid_request: {field}: ")).await;
    }
    api.check("GET", &format!("/agent/runs/{}/events?wait=20", RunId::first_at(1)), "", "404 ").await;
}

#[tokio::test]
async fn the_audit_trail_is_served_as_stored() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    let path = format!("/agent/runs/{run}/audit");
    let trail = api.get(&path).await;
    assert_eq!((&trail["sealed"], trail.get("manifest"), &trail["segments"]), (&json!(false), None, &json!([])));
    api.world.drain().await;
    let agent = api.world.agent(run).await;
    agent.claim(&api.world).await.map(drop).unwrap();
    agent.segment(&api.world, 1, &NOTICE.repeat(2)).await.unwrap();
    agent.segment(&api.world, 2, NOTICE).await.unwrap();
    let report = Report { outcome: Outcome::Succeeded { summary: String::new() }, last_segment: 2, usage: None };
    agent.report(&api.world, &report).await.unwrap();
    api.world.launcher.end(agent.execution);
    api.world.pump().await;
    let trail = api.get(&path).await;
    assert_eq!((&trail["sealed"], trail["segments"].as_array().unwrap().len()), (&json!(true), 2));
    assert!(trail["manifest"]["payload"].is_string() && trail["manifest"]["signatures"].is_array());
    assert_eq!((&trail["segments"][1]["execution"], &trail["segments"][1]["sequence"]), (&json!(1), &json!(2)));
    let segment = api.call("GET", &format!("{path}/1/1"), "").await;
    assert_eq!((segment.status, segment.header("content-type")), (200, "application/gzip"));
    let mut lines = String::new();
    flate2::read::GzDecoder::new(segment.bytes.as_slice()).read_to_string(&mut lines).unwrap();
    assert_eq!(lines.lines().count(), 2);
    let nothing = ["1/3", "2/1", "0/1", "1/0", "x/1", "1/x", "-1/1", "99999999999/1"];
    for nothing in nothing {
        api.check("GET", &format!("{path}/{nothing}"), "", "404 resource_not_found: there is no ").await;
    }
    api.check("GET", &format!("/agent/runs/{}/audit", RunId::first_at(1)), "", "404 ").await;
}
