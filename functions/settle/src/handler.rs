//! "ECS Task State Change". Events come at least once and in no order: only a task that has stopped is looked at, which
//! is its last version and never changes again, so that no earlier one can undo what a later one said.

use ozma_app::App;
use ozma_app::settle::{SettleError, container_gone};
use ozma_boot::aws::{Parking, Task};
use ozma_domain::text::chain;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, thiserror::Error)]
pub(crate) enum HandleError {
    #[error("the end of a task could not be stored")]
    Settle(#[from] SettleError),
    #[error("a malformed event could not be parked")]
    Port(#[from] ozma_app::ports::PortError),
}

/// The envelope of EventBridge, as far as it matters.
#[derive(Deserialize)]
struct Event {
    source: String,
    detail: Task,
}

/// An error is EventBridge's to repeat; what will never be understood is parked.
pub(crate) async fn handle(app: &App, parking: &Parking, event: &Value) -> Result<(), HandleError> {
    let task = match decode(event) {
        Ok(task) => task,
        Err(reason) => return Ok(parking.park("settle", &reason, &event.to_string()).await?),
    };
    let Some(execution) = task.execution().filter(|_| task.is_stopped()) else {
        return Ok(());
    };
    let end = task.end();
    let settled = container_gone(app, execution, Some(&end)).await.inspect_err(|err| {
        tracing::error!(%execution, error = %chain(err), "the end of a task could not be stored");
    })?;
    let trace_id = execution.run.trace_id();
    tracing::info!(%execution, trace_id, version = task.version, reason = end.reason, ?settled, "a task stopped");
    Ok(())
}

fn decode(event: &Value) -> Result<Task, String> {
    let event = Event::deserialize(event).map_err(|err| format!("it is not a task-state event: {err}"))?;
    if event.source != "aws.ecs" {
        return Err(format!("its source is \"{}\", not aws.ecs", event.source));
    }
    if event.detail.task_arn.is_empty() {
        return Err("detail.taskArn is missing: it is not about a task".to_owned());
    }
    Ok(event.detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_task_state_event_is_told() {
        #[track_caller]
        fn check(event: &Value, expected: &str) {
            let told = decode(event).map_or_else(|err| err, |task| format!("{} {}", task.last_status, task.version));
            assert!(told.starts_with(expected), "{told}");
        }
        let detail = json!({"taskArn": "arn:aws:ecs:…:task/x", "lastStatus": "STOPPED", "version": 5, "new": {"a": 1}});
        check(&json!({"source": "aws.ecs", "detail": detail, "more": true}), "STOPPED 5");
        check(&json!({"source": "aws.ec2", "detail": detail}), "its source is \"aws.ec2\"");
        check(&json!({"source": "aws.ecs", "detail": {}}), "detail.taskArn is missing");
        check(&json!({"source": "aws.ecs"}), "it is not a task-state event: missing field `detail`");
        check(&json!([1]), "it is not a task-state event");
    }
}
