//! Takes events of the account: each starts a run of the automation that it is for, once, however often it is delivered.
//!
//! Three forms come in. A rule of EventBridge for whatever happens (an alarm, a pipeline, an object) wraps the event as
//! `{"automation": "<id>", "event": <aws.events.event.json>}`; the automation's filter and prompt are over the event. An event
//! that somebody puts on the bus for us says `{"automation": "<id>"}` in its `detail`. Both are told from others by the
//! event's `id`. A schedule of EventBridge Scheduler sends its input as it is, `{"automation": "<id>", "scheduled_time": "…"}`,
//! where the time is Scheduler's `<aws.scheduler.scheduled-time>`: planned for once, it starts once.

use jiff::Timestamp;
use ozma_app::App;
use ozma_app::receive::{self, Delivered, ReceiveError, Refused};
use ozma_domain::id::AutomationId;
use serde::Deserialize;
use serde_json::Value;

/// What became of an event that is done with.
#[derive(Clone, Debug, PartialEq)]
pub enum Handled {
    /// Written down, with the run that it started if the automation takes it.
    Delivered(Box<Delivered>),
    /// The automation is paused, and what is planned meanwhile is left out.
    Paused,
}

#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error("this is no event for an automation: {0}")]
    Malformed(String),
    #[error("no run was started")]
    Receive(#[source] ReceiveError),
    #[error("no run was started: {}", match .0 {
        Refused::TooMany { reason, .. } | Refused::Environment { reason } => reason,
    })]
    Refused(Refused),
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
#[derive(Debug)]
enum Asked<'a> {
    /// `occurrence` is the same whenever the same is delivered, and `content` must then be the same as well.
    Planned {
        automation: AutomationId,
        occurrence: String,
        content: String,
    },
    Happened {
        automation: AutomationId,
        event_id: String,
        kind: Option<String>,
        event: &'a Value,
    },
}

#[derive(Deserialize)]
struct Wrapped {
    automation: AutomationId,
    event: Happened,
}

#[derive(Deserialize)]
struct Happened {
    id: String,
    #[serde(rename = "detail-type")]
    kind: Option<String>,
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
    let received = match read(event)? {
        Asked::Planned { automation, occurrence, content } => {
            receive::planned(app, &automation, &occurrence, content.as_bytes()).await
        }
        Asked::Happened { automation, event_id, kind, event } => {
            receive::account_event(app, &automation, &event_id, kind.as_deref(), event).await
        }
    };
    match received {
        Ok(Delivered { refused: Some(refused), .. }) => Err(ScheduleError::Refused(refused)),
        Ok(delivered) => Ok(Handled::Delivered(Box::new(delivered))),
        Err(err @ ReceiveError::Paused(_)) => {
            tracing::info!("an event was left out: {err}");
            Ok(Handled::Paused)
        }
        Err(err) => Err(ScheduleError::Receive(err)),
    }
}

fn read(event: &Value) -> Result<Asked<'_>, ScheduleError> {
    let malformed = |err: serde_json::Error| ScheduleError::Malformed(err.to_string());
    if let Some(whole) = event.get("event") {
        let Wrapped { automation, event: Happened { id, kind } } = Wrapped::deserialize(event).map_err(malformed)?;
        if id.is_empty() {
            return Err(ScheduleError::Malformed("its id is empty".to_owned()));
        }
        return Ok(Asked::Happened { automation, event_id: id, kind, event: whole });
    }
    if let Some(detail) = event.get("detail") {
        let content = detail.to_string();
        let Event { id, detail } = Event::deserialize(event).map_err(malformed)?;
        if id.is_empty() {
            return Err(ScheduleError::Malformed("its id is empty".to_owned()));
        }
        return Ok(Asked::Planned { automation: detail.automation, occurrence: format!("event\n{id}"), content });
    }
    let ScheduleInput { automation, scheduled_time } = ScheduleInput::deserialize(event).map_err(malformed)?;
    let occurrence = format!("schedule\n{scheduled_time}");
    Ok(Asked::Planned { automation, occurrence, content: String::new() })
}

impl ScheduleError {
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Receive(ReceiveError::Store(_) | ReceiveError::TooMany { .. }) => Disposition::Retry,
            Self::Refused(Refused::TooMany { .. }) => Disposition::Retry,
            Self::Malformed(_) | Self::Receive(_) | Self::Refused(Refused::Environment { .. }) => Disposition::Park,
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
            Ok(Asked::Planned { automation, occurrence, .. }) => {
                format!("{automation} {}", occurrence.replace('\n', " "))
            }
            Ok(Asked::Happened { automation, event_id, kind, .. }) => format!("{automation} {event_id} {kind:?}"),
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
        let alarm = json!({"id": "e-2", "detail-type": "CloudWatch Alarm State Change", "detail": {"state": {}}});
        let wrapped = json!({"automation": AUTOMATION, "event": alarm});
        check(&wrapped, &format!("{AUTOMATION} e-2 Some(\"CloudWatch Alarm State Change\")"));
        check(&json!({"automation": AUTOMATION, "event": {}}), &format!("{no}missing field `id`"));
        check(&json!({"automation": AUTOMATION, "event": {"id": ""}}), &format!("{no}its id is empty"));
        check(&json!({"event": alarm}), &format!("{no}missing field `automation`"));
        check(&json!([]), no);
        check(&json!("text"), no);
    }
}
