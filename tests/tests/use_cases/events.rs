//! The payloads in `events/`: each is one that really comes in, and the type it belongs to reads all of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::eventbridge::EventBridgeEvent;
use aws_lambda_events::sqs::SqsEvent;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine as _;
use jiff::Timestamp;
use ozma_api::wire::CreateRunRequest;
use ozma_app::ports::{QueueMessage, QueueName};
use ozma_domain::automation::Automation;
use ozma_domain::id::ExecutionId;
use ozma_schedule::{Handled, handle};
use ozma_tests::world::World;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::ServiceExt as _;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

fn payload(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).expect("a text");
    serde_json::from_str(&text).unwrap_or_else(|err| panic!("{name}: {err}"))
}

/// Parses it, and writes it again: what the type does not know would be lost. It may write more, such as nulls.
fn reads_whole<T: DeserializeOwned + Serialize>(payload: &Value) -> Result<(), String> {
    let read: T = serde_json::from_value(payload.clone()).map_err(|err| err.to_string())?;
    let written = serde_json::to_value(&read).map_err(|err| err.to_string())?;
    match lost(payload, &written, "$") {
        None => Ok(()),
        Some(path) => Err(format!("{path} is lost: it reads as {written}")),
    }
}

/// Where something of `payload` is not in `written`.
fn lost(payload: &Value, written: &Value, path: &str) -> Option<String> {
    match (payload, written) {
        (Value::Object(members), Value::Object(_)) => members.iter().find_map(|(name, value)| {
            lost(value, written.get(name).unwrap_or(&Value::Null), &format!("{path}.{name}"))
        }),
        (Value::Array(items), Value::Array(read)) if items.len() == read.len() => {
            items.iter().zip(read).enumerate().find_map(|(at, (item, read))| lost(item, read, &format!("{path}[{at}]")))
        }
        _ => (payload != written).then(|| path.to_owned()),
    }
}

#[test]
fn each_payload_is_read_by_its_type() {
    let mut payloads = 0;
    for entry in std::fs::read_dir(folder()).expect("events/") {
        let entry = entry.expect("a file");
        // Each folder is of a provider, whose payloads its module in `shared/domain` reads.
        if entry.path().is_dir() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let payload = payload(&name);
        let is = |kinds: &[&str]| kinds.iter().any(|kind| name.starts_with(kind));
        let read = if is(&["api-create-run"]) {
            reads_whole::<CreateRunRequest>(&payload)
        } else if is(&["api-", "executions-", "webhook-"]) {
            reads_whole::<ApiGatewayV2httpRequest>(&payload)
        } else if is(&["dispatch-", "announce-", "notify-"]) {
            reads_whole::<SqsEvent>(&payload)
        } else if is(&["settle-", "sweep-", "schedule-eventbridge"]) {
            reads_whole::<EventBridgeEvent<Value>>(&payload)
        } else if is(&["schedule-scheduler", "schedule-alarm"]) {
            Ok(())
        } else {
            Err("belongs to no type; give it a line here".to_owned())
        };
        read.unwrap_or_else(|err| panic!("{name}: {err}"));
        payloads += 1;
    }
    assert!(payloads >= 20, "the payloads are found");
}

#[test]
fn messages_of_queues_are_ours_but_for_the_poisoned() {
    let messages = |name: &str| -> Vec<Option<QueueMessage>> {
        let event: SqsEvent = serde_json::from_value(payload(name)).expect("an event");
        let read = event.records.iter().map(|record| serde_json::from_str(record.body.as_deref()?).ok());
        let read: Vec<Option<QueueMessage>> = read.collect();
        let queue = match name.split('-').next() {
            Some("dispatch") => QueueName::Ticks,
            Some("announce") => QueueName::Ends,
            _ => QueueName::Errands,
        };
        assert!(read.iter().flatten().all(|message| message.queue() == queue), "{name} is for another function");
        read
    };
    assert!(matches!(messages("dispatch-tick.json")[..], [Some(QueueMessage::Tick { .. })]));
    assert!(matches!(messages("dispatch-poison.json")[..], [Some(QueueMessage::Tick { .. }), None]));
    assert!(matches!(messages("announce-complete.json")[..], [Some(QueueMessage::Complete { .. })]));
    assert!(matches!(messages("announce-changed.json")[..], [Some(QueueMessage::Changed { .. })]));
    assert!(matches!(messages("notify-notify.json")[..], [Some(QueueMessage::Notify { .. })]));
    assert!(matches!(messages("notify-reply.json")[..], [Some(QueueMessage::Reply { .. })]));
    assert!(matches!(messages("notify-identify.json")[..], [Some(QueueMessage::Identify { .. })]));
}

#[test]
fn tasks_that_ended_tell_of_their_execution_and_their_containers() {
    let mut ends = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("events/") {
        let name = entry.expect("a file").file_name().to_string_lossy().into_owned();
        if !name.starts_with("settle-") {
            continue;
        }
        let payload = payload(&name);
        let detail = &payload["detail"];
        assert_eq!((&payload["source"], &payload["detail-type"]), (&json!("aws.ecs"), &json!("ECS Task State Change")));
        assert_eq!((&detail["lastStatus"], &detail["group"]), (&json!("STOPPED"), &json!("family:ozma-agent")));
        detail["startedBy"].as_str().unwrap().parse::<ExecutionId>().expect("an execution id");
        let containers = detail["containers"].as_array().unwrap().iter().map(|container| {
            let code = container["exitCode"].as_i64().map_or("-".to_owned(), |code| code.to_string());
            format!("{} {code}", container["name"].as_str().unwrap())
        });
        let containers: Vec<String> = containers.collect();
        ends.push(format!("{name} {} {}", detail["stopCode"].as_str().unwrap(), containers.join(" ")));
    }
    ends.sort();
    insta::assert_snapshot!(ends.join("\n"), @r"
settle-cannot-pull.json TaskFailedToStart install - agent -
settle-exited.json EssentialContainerExited install 0 agent 0
settle-never-started.json TaskFailedToStart install - agent -
settle-no-entrypoint.json TaskFailedToStart install 0 agent -
settle-out-of-memory.json EssentialContainerExited install 0 agent 137
settle-spot-interruption.json SpotInterruption install 0 agent 143
settle-user-initiated.json UserInitiated install 0 agent 143
settle-wrong-architecture.json TaskFailedToStart install - agent -
");
}

/// What API Gateway hands to a function, as the router gets it.
async fn request(router: Router, name: &str) -> (u16, Value) {
    let event: ApiGatewayV2httpRequest = serde_json::from_value(payload(name)).expect("a request");
    let body = event.body.unwrap_or_default();
    let body = if event.is_base64_encoded {
        base64::engine::general_purpose::STANDARD.decode(body).expect("base64")
    } else {
        body.into_bytes()
    };
    let path = event.raw_path.unwrap_or_default();
    let mut request = Request::builder().method(event.request_context.http.method).uri(path);
    for (name, value) in &event.headers {
        request = request.header(name, value);
    }
    let response = router.oneshot(request.body(Body::from(body)).expect("a request")).await.expect("an answer");
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    (status, serde_json::from_slice(&bytes).expect("JSON"))
}

/// A world at the time of the payloads, with the automation that they are for.
async fn world() -> World {
    let world = World::new("free").await;
    let then: Timestamp = "2026-11-21T02:15:30Z".parse().unwrap();
    world.clock.forward(then.duration_since(world.now()));
    let automation: Automation = serde_json::from_value(json!({
        "id": "3Fz9kQ0vWm7LxYb2RtUe1C", "team": world.team, "secret_generation": 1,
        "config": {"name": "nightly", "template": {"prompt": "true", "harness": "shell", "agent_config": {}}},
        "created_at": then, "last_updated": then,
    }))
    .unwrap();
    world.app.store.create_automation(&automation).await.unwrap();
    world
}

#[tokio::test]
async fn requests_through_the_gateway_reach_their_routes() {
    let world = world().await;
    let app = Arc::new(world.app.clone());
    for name in ["webhook-standard.json", "webhook-standard-svix.json"] {
        let (status, answer) = request(ozma_webhook::router(app.clone()), name).await;
        assert_eq!((status, &answer["duplicate"]), (202, &json!(false)), "{name}: {answer}");
    }
    // The key is well-formed, and nobody's here.
    for name in ["api-get-run.json", "api-list-runs.json"] {
        let (status, answer) = request(ozma_api::router(app.clone()), name).await;
        assert_eq!(
            (status, &answer["detail"]),
            (401, &json!("this API key is not known here, or no longer")),
            "{name}: {answer}"
        );
    }
}

#[tokio::test]
async fn planned_events_start_their_runs() {
    let world = world().await;
    for name in ["schedule-eventbridge.json", "schedule-scheduler.json", "schedule-alarm.json"] {
        for duplicate in [false, true] {
            let handled = handle(&world.app, &payload(name)).await.unwrap();
            assert!(matches!(handled, Handled::Delivered(delivered) if delivered.duplicate == duplicate), "{name}");
        }
    }
}
