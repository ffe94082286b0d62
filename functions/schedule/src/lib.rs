//! Takes planned events: each starts a run from a stored template, once, however often it is delivered.
//!
//! Two forms come in. An event of EventBridge says `{"automation": "<id>"}` in its `detail`, and is told from others by its
//! `id`. A schedule of EventBridge Scheduler sends its input as it is, `{"automation": "<id>", "scheduled_time": "…"}`,
//! where the time is Scheduler's `<aws.scheduler.scheduled-time>`: planned for once, it starts once.

use jiff::Timestamp;
use ozma_app::App;
use ozma_app::accept::AcceptError;
use ozma_app::receive::{self, ReceiveError, Received};
use ozma_domain::id::AutomationId;
use serde::Deserialize;
use serde_json::Value;

/// What became of an event that is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    Started(Received),
    /// The automation is paused, and what is planned meanwhile is left out.
    Paused,
}

#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error("this is no event for an automation: {0}")]
    Malformed(String),
    #[error("no run was started")]
    Receive(#[source] ReceiveError),
}

/// What is to be done with an event that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It may work later.
    Retry,
    /// It never will: keep it where a person looks.
    Park,
}

/// An event that asks for a run.
struct Planned {
    automation: AutomationId,
    /// The same whenever the same event is delivered.
    occurrence: String,
    /// What must then be the same as well.
    content: String,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    automation: AutomationId,
}

#[derive(Deserialize)]
struct ScheduleInput {
    automation: AutomationId,
    scheduled_time: Timestamp,
}

/// Starts the run that the event asks for, or finds the one that it has started before.
pub async fn handle(app: &App, event: &Value) -> Result<Handled, ScheduleError> {
    let Planned { automation, occurrence, content } = read(event)?;
    match receive::planned(app, &automation, &occurrence, content.as_bytes()).await {
        Ok(received) => Ok(Handled::Started(received)),
        Err(err @ ReceiveError::Paused(_)) => {
            tracing::info!("an event was left out: {err}");
            Ok(Handled::Paused)
        }
        Err(err) => Err(ScheduleError::Receive(err)),
    }
}

fn read(event: &Value) -> Result<Planned, ScheduleError> {
    let malformed = |err: serde_json::Error| ScheduleError::Malformed(err.to_string());
    if let Some(detail) = event.get("detail") {
        let content = detail.to_string();
        let Event { id, detail } = Event::deserialize(event).map_err(malformed)?;
        if id.is_empty() {
            return Err(ScheduleError::Malformed("its id is empty".to_owned()));
        }
        return Ok(Planned { automation: detail.automation, occurrence: format!("event\n{id}"), content });
    }
    let ScheduleInput { automation, scheduled_time } = ScheduleInput::deserialize(event).map_err(malformed)?;
    let occurrence = format!("schedule\n{scheduled_time}");
    Ok(Planned { automation, occurrence, content: String::new() })
}

impl ScheduleError {
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Receive(ReceiveError::Store(_) | ReceiveError::Accept(AcceptError::Store(_))) => Disposition::Retry,
            Self::Malformed(_) | Self::Receive(_) => Disposition::Park,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AUTOMATION: &str = "3Fz9kQ0vWm7LxYb2RtUe1C";

    #[track_caller]
    fn check(event: &Value, expected: &str) {
        let told = match read(event) {
            Ok(planned) => format!("{} {}", planned.automation, planned.occurrence.replace('\n', " ")),
            Err(err) => {
                assert_eq!(err.disposition(), Disposition::Park);
                err.to_string()
            }
        };
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn an_event_is_told_by_its_id_and_a_schedule_by_its_time() {
        let detail = json!({"automation": AUTOMATION});
        check(&json!({"id": "e-1", "detail": detail}), &format!("{AUTOMATION} event e-1"));
        let at = |time: &str| json!({"automation": AUTOMATION, "scheduled_time": time});
        check(&at("2026-11-21T03:00:00Z"), &format!("{AUTOMATION} schedule 2026-11-21T03:00:00Z"));
        // However it is spelled.
        check(&at("2026-11-21T04:00:00.000+01:00"), &format!("{AUTOMATION} schedule 2026-11-21T03:00:00Z"));
        let no = "this is no event for an automation: ";
        check(&json!({"detail": detail}), &format!("{no}missing field `id`"));
        check(&json!({"id": "", "detail": detail}), &format!("{no}its id is empty"));
        check(&json!({"id": "e-1", "detail": {}}), &format!("{no}missing field `automation`"));
        check(&json!({"id": "e-1", "detail": null}), no);
        check(&json!({"automation": AUTOMATION}), &format!("{no}missing field `scheduled_time`"));
        check(&at("<aws.scheduler.scheduled-time>"), no);
        check(
            &json!({"automation": "nightly", "scheduled_time": "2026-11-21T03:00:00Z"}),
            &format!("{no}\"nightly\" is"),
        );
        check(&json!([]), no);
        check(&json!("text"), no);
    }
}
