//! Tasks after their start: what is told of them, and how they are stopped.

use ozma_app::ports::{ContainerStatus, Launcher};
use ozma_domain::failure::FailureClass;
use serde_json::{Value, json};

use crate::seam::{Seam, Step, execution, failed, launch, ok, refused, request, started, task};

fn listed(tasks: &[u32]) -> Step {
    ok("ListTasks", json!({ "taskArns": tasks.iter().map(|number| task(*number)).collect::<Vec<_>>() }))
}

fn page(tasks: &[u32], next: &str) -> Step {
    let arns: Vec<_> = tasks.iter().map(|number| task(*number)).collect();
    ok("ListTasks", json!({ "taskArns": arns, "nextToken": next }))
}

fn described(tasks: &[Value]) -> Step {
    ok("DescribeTasks", json!({ "tasks": tasks, "failures": [] }))
}

/// The task of an execution, as ECS describes it.
fn of(number: u32, status: &str) -> Value {
    json!({ "taskArn": task(number), "startedBy": execution(number).to_string(), "lastStatus": status })
}

fn killed(number: u32) -> Value {
    let mut task = of(number, "STOPPED");
    task["stopCode"] = "SpotInterruption".into();
    task["stoppedReason"] = "Your Spot Task was interrupted.".into();
    task["containers"] = json!([{ "name": "install", "exitCode": 0 }, { "name": "agent", "exitCode": 143 }]);
    task
}

/// One word, and how it ended.
async fn status(script: impl IntoIterator<Item = Step>) -> (String, Vec<Value>) {
    let seam = Seam::new(script);
    let word = match seam.launcher().status(execution(1)).await.unwrap() {
        ContainerStatus::Alive => "alive".to_owned(),
        ContainerStatus::Gone { end: None } => "gone".to_owned(),
        ContainerStatus::Gone { end: Some(end) } => format!("{:?}: {}", end.class, end.reason),
    };
    (word, seam.sent())
}

#[tokio::test]
async fn a_task_that_is_to_run_is_alive_in_each_of_its_states() {
    for state in ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING"] {
        let (word, sent) = status([listed(&[1]), described(&[of(1, state)])]).await;
        assert_eq!(word, "alive", "{state}");
        assert_eq!(sent[0], json!({ "cluster": "ozma", "startedBy": execution(1).to_string() }));
        assert_eq!(sent[1], json!({ "cluster": "ozma", "tasks": [task(1)] }));
    }
}

#[tokio::test]
async fn a_task_that_is_listed_and_not_yet_described_is_alive() {
    let missing = json!({ "tasks": [], "failures": [{ "arn": task(1), "reason": "MISSING" }] });
    assert_eq!(status([listed(&[1]), ok("DescribeTasks", missing)]).await.0, "alive");
}

#[tokio::test]
async fn a_task_that_is_stopping_is_alive_until_it_has_stopped() {
    let (word, sent) = status([listed(&[]), listed(&[2, 1]), described(&[killed(2), of(1, "STOPPING")])]).await;
    assert_eq!(word, "alive");
    assert_eq!(sent[1], json!({ "cluster": "ozma", "desiredStatus": "STOPPED" }), "startedBy cannot be asked with it");
}

#[tokio::test]
async fn a_stopped_task_tells_how_it_ended() {
    let (word, _) = status([listed(&[]), listed(&[1]), described(&[killed(1)])]).await;
    assert!(word.starts_with(&format!("{:?}: ", Some(FailureClass::Interrupted))), "{word}");
    assert!(word.contains("Your Spot Task was interrupted."), "{word}");
    // Stopped a moment ago: ECS still lists it among those that are to run.
    let again = [listed(&[1]), described(&[killed(1)]), listed(&[1]), described(&[killed(1)])];
    assert_eq!(status(again).await.0, word);
}

#[tokio::test]
async fn a_stopped_task_is_found_on_a_later_page() {
    let script = [listed(&[]), page(&[2], "next"), described(&[killed(2)]), listed(&[1]), described(&[killed(1)])];
    let (word, sent) = status(script).await;
    assert!(word.contains("Spot"), "{word}");
    assert_eq!(sent[3]["nextToken"], "next");
}

#[tokio::test]
async fn what_nobody_knows_is_gone() {
    assert_eq!(status([listed(&[]), listed(&[])]).await.0, "gone");
    assert_eq!(status([listed(&[]), listed(&[2]), described(&[killed(2)])]).await.0, "gone");
}

#[tokio::test]
async fn all_tasks_of_an_execution_are_stopped() {
    let seam = Seam::new([listed(&[1, 2]), ok("StopTask", json!({})), ok("StopTask", json!({}))]);
    seam.launcher().stop(execution(1)).await.unwrap();
    let stop = |number| json!({ "cluster": "ozma", "task": task(number), "reason": "stopped by Ozma" });
    assert_eq!(seam.sent()[1..], [stop(1), stop(2)]);
}

#[tokio::test]
async fn a_task_that_only_this_process_knows_is_stopped_too() {
    let seam = Seam::new([started(5), listed(&[]), ok("StopTask", json!({}))]);
    let launcher = seam.launcher();
    launch(&launcher, &request(1)).await;
    launcher.stop(execution(1)).await.unwrap();
    assert_eq!(seam.sent()[2]["task"], task(5));
    // Known twice, stopped once.
    seam.then([listed(&[5]), ok("StopTask", json!({})), listed(&[])]);
    launcher.stop(execution(1)).await.unwrap();
    launcher.stop(execution(2)).await.expect("what is unknown is fine");
    assert_eq!(seam.sent().len(), 3);
}

#[tokio::test]
async fn a_task_that_is_gone_need_not_be_stopped_but_a_failed_stop_is_an_error() {
    let gone = refused("StopTask", "InvalidParameterException", "The referenced task was not found.");
    let seam = Seam::new([listed(&[1]), gone]);
    seam.launcher().stop(execution(1)).await.unwrap();
    seam.sent();
    let seam = Seam::new([listed(&[1]), failed("StopTask"), failed("StopTask"), failed("StopTask")]);
    seam.launcher().stop(execution(1)).await.expect_err("it may still run");
    seam.sent();
}

#[tokio::test]
async fn every_page_is_listed_and_strangers_are_not() {
    let stranger = json!({ "taskArn": task(9), "startedBy": "ecs-svc/123", "lastStatus": "RUNNING" });
    let seam = Seam::new([
        page(&[1, 9], "next"),
        described(&[of(1, "RUNNING"), stranger]),
        listed(&[2, 3]),
        described(&[of(2, "PENDING"), killed(3)]),
    ]);
    assert_eq!(seam.launcher().list().await.unwrap(), [execution(1), execution(2)]);
    seam.sent();
}
