//! Agents in containers, with a program that answers as Docker and Podman do in the place of an engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use ozma_app::ports::{ContainerStatus, Launched, Launcher};
use ozma_domain::environment::Network;
use ozma_domain::run::Isolation;
use ozma_local::launcher::Prefer;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::bench::{Bench, execution, launch, request, until};

/// What such an engine knows.
#[derive(Default)]
struct Engine {
    containers: Mutex<BTreeMap<String, Container>>,
    images: Mutex<Vec<String>>,
    calls: Mutex<Vec<String>>,
    changed: Notify,
}

#[derive(Clone)]
struct Container {
    settings: Value,
    state: &'static str,
    exit_code: i32,
}

impl Engine {
    /// An engine that listens at `socket`.
    fn listen(socket: &Path) -> Arc<Self> {
        let engine = Arc::new(Self::default());
        let router = Router::new().fallback(answer).with_state(engine.clone());
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        engine
    }

    fn container(&self, name: &str) -> Option<Container> {
        self.containers.lock().unwrap().get(name).cloned()
    }

    fn end(&self, name: &str, exit_code: i32) {
        if let Some(container) = self.containers.lock().unwrap().get_mut(name) {
            container.state = "exited";
            container.exit_code = exit_code;
        }
        self.changed.notify_waiters();
    }

    fn called(&self, call: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|line| line.starts_with(call)).count()
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}

async fn answer(
    State(engine): State<Arc<Engine>>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    body: String,
) -> Response {
    let path = uri.path().trim_start_matches('/');
    engine.calls.lock().unwrap().push(format!("{method} {path}"));
    let parts: Vec<&str> = path.split('/').collect();
    let image_of = |container: &Container| container.settings["Image"].as_str().unwrap().to_owned();
    match (method.as_str(), &parts[..]) {
        ("GET", ["_ping"]) => "OK".into_response(),
        ("POST", ["images", "create"]) => {
            let image = format!("{}:{}", query["fromImage"], query.get("tag").map_or("", String::as_str));
            let image = image.trim_end_matches(':').to_owned();
            if image.starts_with("missing") {
                let text = format!("manifest for {image} not found");
                return Json(json!({ "errorDetail": { "message": text }, "error": text })).into_response();
            }
            engine.images.lock().unwrap().push(image);
            Json(json!({ "status": "Download complete" })).into_response()
        }
        ("GET", ["images", name @ .., "json"]) => {
            let name = name.join("/");
            if engine.images.lock().unwrap().iter().any(|image| *image == name || *image == format!("{name}:latest")) {
                Json(json!({ "Id": "sha256:1" })).into_response()
            } else {
                error(StatusCode::NOT_FOUND, "No such image")
            }
        }
        ("POST", ["containers", "create"]) => {
            let mut containers = engine.containers.lock().unwrap();
            if containers.contains_key(&query["name"]) {
                return error(StatusCode::CONFLICT, "the name is in use");
            }
            let settings = serde_json::from_str(&body).unwrap();
            containers.insert(query["name"].clone(), Container { settings, state: "created", exit_code: 0 });
            (StatusCode::CREATED, Json(json!({ "Id": query["name"], "Warnings": [] }))).into_response()
        }
        ("GET", ["containers", "json"]) => {
            let filters: Value = serde_json::from_str(&query["filters"]).unwrap();
            let label = filters["label"][0].as_str().unwrap().split_once('=').unwrap();
            let containers = engine.containers.lock().unwrap();
            let matching = containers.iter().filter(|(_, container)| container.settings["Labels"][label.0] == label.1);
            let list: Vec<_> = matching
                .map(|(name, container)| json!({ "Id": name, "Labels": container.settings["Labels"] }))
                .collect();
            Json(list).into_response()
        }
        (verb, ["containers", name, rest @ ..]) => {
            let Some(container) = engine.container(name) else {
                return error(StatusCode::NOT_FOUND, "No such container");
            };
            match (verb, rest) {
                ("POST", ["start"]) if image_of(&container).starts_with("bare") => error(
                    StatusCode::BAD_REQUEST,
                    "OCI runtime create failed: exec: \"/oz/oz\": no such file or directory",
                ),
                ("POST", ["start"]) => {
                    if container.state == "running" {
                        return StatusCode::NOT_MODIFIED.into_response();
                    }
                    engine.containers.lock().unwrap().get_mut(*name).unwrap().state = "running";
                    StatusCode::NO_CONTENT.into_response()
                }
                ("POST", ["wait"]) => loop {
                    let changed = engine.changed.notified();
                    match engine.container(name) {
                        Some(container) if container.state == "running" => changed.await,
                        container => {
                            let code = container.map_or(0, |container| container.exit_code);
                            return Json(json!({ "StatusCode": code })).into_response();
                        }
                    }
                },
                ("POST", ["kill"]) if container.state != "running" => error(StatusCode::CONFLICT, "is not running"),
                ("POST", ["kill"]) => {
                    match query["signal"].as_str() {
                        "SIGTERM" if image_of(&container).starts_with("stubborn") => (),
                        "SIGTERM" => engine.end(name, 0),
                        _ => engine.end(name, 137),
                    }
                    StatusCode::NO_CONTENT.into_response()
                }
                ("GET", ["json"]) => {
                    let state = json!({
                        "Status": container.state,
                        "Running": container.state == "running",
                        "ExitCode": container.exit_code,
                    });
                    Json(json!({ "Id": name, "State": state })).into_response()
                }
                // One frame of standard output.
                ("GET", ["logs"]) => Response::builder()
                    .header("content-type", "application/vnd.docker.multiplexed-stream")
                    .body(Body::from(&b"\x01\x00\x00\x00\x00\x00\x00\x06words\n"[..]))
                    .unwrap(),
                ("DELETE", []) => {
                    engine.containers.lock().unwrap().remove(*name);
                    engine.changed.notify_waiters();
                    StatusCode::NO_CONTENT.into_response()
                }
                _ => error(StatusCode::NOT_FOUND, "page not found"),
            }
        }
        _ => error(StatusCode::NOT_FOUND, "page not found"),
    }
}

fn bench() -> (Bench, Arc<Engine>) {
    let mut bench = Bench::new(Prefer::Isolation, "true");
    bench.engines = vec![bench.path("no-engine.sock"), bench.path("engine.sock")];
    bench.grace = Duration::from_millis(300);
    let engine = Engine::listen(&bench.path("engine.sock"));
    (bench, engine)
}

fn with_image(slot: u16, image: &str) -> ozma_app::ports::LaunchRequest {
    let mut request = request(execution(u32::from(slot)), slot);
    request.image = Some(image.to_owned());
    request
}

#[tokio::test]
async fn an_image_is_pulled_and_its_container_confined() {
    let (mut bench, engine) = bench();
    let launcher = bench.launcher();
    let mut request = with_image(0, "registry.example:5000/team/image");
    request.network = Network::None;
    assert_eq!(launch(&launcher, &request).await, Isolation::Container);
    let name = format!("oz-{}", request.execution);
    let settings = engine.container(&name).unwrap().settings;
    let host = &settings["HostConfig"];
    assert_eq!(settings["Entrypoint"], json!(["/oz/oz"]));
    assert_eq!(settings["Cmd"], json!(["agent-process"]));
    let variables = [
        "OZ_CLAIM_TOKEN=token-once".to_owned(),
        "OZ_CONTROL_URL=unix:/run/oz/oz.sock".to_owned(),
        format!("OZ_EXECUTION_ID={}", request.execution),
        "OZ_ISOLATION=container".to_owned(),
        "OZ_WORKSPACE=/workspace".to_owned(),
    ];
    assert_eq!(settings["Env"], json!(variables));
    assert_eq!(settings["Labels"]["oz.execution"], json!(request.execution));
    assert_eq!((&host["NanoCpus"], &host["Memory"]), (&json!(2_000_000_000_u64), &json!(4_u64 << 30)));
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
    assert_eq!((&host["CapDrop"], &host["NetworkMode"]), (&json!(["ALL"]), &json!("none")));
    assert_eq!(host["PidsLimit"], json!(5120));
    let mounts: Vec<_> =
        host["Mounts"].as_array().unwrap().iter().map(|mount| (&mount["Target"], &mount["ReadOnly"])).collect();
    assert_eq!(
        mounts,
        [(&json!("/oz/oz"), &json!(true)), (&json!("/run/oz"), &json!(true)), (&json!("/workspace"), &Value::Null)]
    );

    assert_eq!(launcher.status(request.execution).await.unwrap(), ContainerStatus::Alive);
    assert_eq!(launcher.list().await.unwrap(), [request.execution]);
    launch(&launcher, &request).await;
    assert_eq!((engine.called("POST images/create"), engine.called("POST containers/create")), (1, 1));
    engine.end(&name, 3);
    assert_eq!(bench.exit().await, (request.execution, Some("exit code 3".to_owned())));
    assert!(engine.container(&name).is_none());
    assert_eq!(bench.log(request.execution), "words\n");
    let reason = Some("exit code 3".to_owned());
    assert_eq!(
        launcher.status(request.execution).await.unwrap(),
        ContainerStatus::Gone { end: reason.map(ozma_app::ports::ContainerEnd::from) }
    );
}

#[tokio::test]
async fn a_container_is_asked_to_end_and_then_ended() {
    let (mut bench, _engine) = bench();
    let launcher = bench.launcher();
    for (slot, image, expected) in
        [(0, "gentle:1", "exit code 0"), (1, "stubborn:1", "exit code 137, killed by SIGKILL")]
    {
        let request = with_image(slot, image);
        launch(&launcher, &request).await;
        launcher.stop(request.execution).await.unwrap();
        launcher.stop(request.execution).await.unwrap();
        assert_eq!(bench.exit().await, (request.execution, Some(expected.to_owned())));
    }
}

#[tokio::test]
async fn what_the_engine_refuses_is_refused_in_its_words() {
    let (bench, engine) = bench();
    let launcher = bench.launcher();
    let check = async |slot, image: &str, expected: &str| match launcher.launch(&with_image(slot, image)).await.unwrap()
    {
        Launched::Refused { reason } => assert!(reason.contains(expected) && reason.contains(image), "{reason}"),
        other => panic!("{image}: {other:?}"),
    };
    check(0, "missing:1", "manifest for missing:1 not found").await;
    check(1, "bare:1", "exec: \"/oz/oz\": no such file or directory").await;
    assert!(engine.containers.lock().unwrap().is_empty());
    assert_eq!(launcher.list().await.unwrap(), []);
}

#[tokio::test]
async fn containers_are_found_again_and_orphans_removed() {
    let (mut bench, engine) = bench();
    let before = bench.launcher();
    let (lives, ends) = (with_image(0, "a:1"), with_image(1, "a:1"));
    launch(&before, &lives).await;
    launch(&before, &ends).await;
    drop(before);
    engine.end(&format!("oz-{}", ends.execution), 5);
    // Made by a control plane that died before it could start it; and one of another data folder.
    let container = |data: &str, request: &ozma_app::ports::LaunchRequest| Container {
        settings: json!({ "Image": "a:1", "Labels": { "oz.execution": request.execution, "oz.data": data } }),
        state: "created",
        exit_code: 0,
    };
    let (orphan, foreign) = (with_image(2, "a:1"), with_image(3, "a:1"));
    let data = bench.path("data").display().to_string();
    engine.containers.lock().unwrap().insert(format!("oz-{}", orphan.execution), container(&data, &orphan));
    engine.containers.lock().unwrap().insert(format!("oz-{}", foreign.execution), container("/other", &foreign));

    let after = bench.launcher();
    after.adopt().await;
    assert_eq!(bench.exit().await, (ends.execution, Some("exit code 5".to_owned())));
    assert_eq!(after.list().await.unwrap(), [lives.execution]);
    let names: Vec<_> = engine.containers.lock().unwrap().keys().cloned().collect();
    let mut expected = [&lives, &foreign].map(|request| format!("oz-{}", request.execution));
    expected.sort();
    assert_eq!(names, expected);
    after.stop(lives.execution).await.unwrap();
    assert_eq!(bench.exit().await, (lives.execution, Some("exit code 0".to_owned())));
    until("the container is removed", || engine.containers.lock().unwrap().len() == 1).await;
}
