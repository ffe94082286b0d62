//! A run's milestones, read off its row and those of its executions: nothing is written for them.

use jiff::Timestamp;
use ozma_domain::audit::digest;
use ozma_domain::id::ExecutionId;
use ozma_domain::run::{Execution, Run, RunRequest};
use ozma_domain::state::RunState;
use serde_json::{Map, Value, json};

use crate::wire::{Timeline, TimelineEvent, TimelineEventType};

/// `executions` are all of them, first to last.
pub(crate) fn timeline(request: &RunRequest, run: &Run, executions: &[Execution]) -> Timeline {
    let mut events = vec![event(
        run,
        TimelineEventType::OzRunCreated,
        None,
        request.created_at,
        json!({"source": request.source, "creator": request.creator}),
    )];
    for execution in executions {
        let mut add = |kind, at: Option<Timestamp>, payload| {
            events.extend(at.map(|at| event(run, kind, Some(execution.number), at, payload)));
        };
        add(TimelineEventType::OzRunClaimed, Some(execution.dispatched_at), json!({"slot": execution.slot}));
        let isolation = json!({"isolation": execution.isolation});
        add(TimelineEventType::WorkerContainerReady, execution.claimed_at, isolation);
        add(TimelineEventType::AgentStarted, execution.started_at, json!({}));
        add(TimelineEventType::VmShutdown, execution.ended_at, json!({}));
    }
    let end = match run.state {
        RunState::Succeeded => Some(TimelineEventType::OzRunDone),
        RunState::Blocked => Some(TimelineEventType::OzRunBlocked),
        RunState::Cancelled => Some(TimelineEventType::OzRunCancelled),
        RunState::Failed => Some(TimelineEventType::OzRunFailed),
        RunState::Error => Some(TimelineEventType::OzRunErrored),
        RunState::Queued | RunState::Pending | RunState::Claimed | RunState::InProgress => None,
    };
    if let (Some(kind), Some(at)) = (end, run.ended_at) {
        let message = run.status.as_ref().map(|status| status.message.as_str());
        events.push(event(run, kind, None, at, json!({"message": message})));
    }
    // Stable: of what happened in the same millisecond, the order above holds, but the end comes before the shutdown.
    events.sort_by_key(|event| (event.occurred_at, event.event_type == TimelineEventType::VmShutdown));
    Timeline { events }
}

fn event(
    run: &Run,
    event_type: TimelineEventType,
    execution: Option<u32>,
    occurred_at: Timestamp,
    payload: Value,
) -> TimelineEvent {
    // The same milestone has the same id each time it is told.
    let name = format!("{} {} {event_type:?} {occurred_at}", run.run_id, execution.unwrap_or(0));
    let hash = digest(name.as_bytes()).to_string();
    let payload = if let Value::Object(payload) = payload { payload } else { Map::new() };
    TimelineEvent {
        event_uuid: format!("{}-{}-8{}-8{}-{}", &hash[..8], &hash[8..12], &hash[13..16], &hash[17..20], &hash[20..32]),
        event_type,
        execution_id: execution.map(|number| ExecutionId::new(run.run_id, number)),
        occurred_at,
        payload,
    }
}
