//! What the API's timelines tell: who was where, and when.

use std::time::Duration;

use jiff::Timestamp;
use ozma_api::wire::{Timeline, TimelineEventType};
use ozma_domain::id::{ExecutionId, RunId};
use tokio::task::JoinSet;

use crate::Result;
use crate::control_plane::Api;
use crate::report::Times;

/// Timelines asked for at once.
const AT_ONCE: usize = 8;

/// The milestones of an execution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Milestones {
    pub(crate) execution: ExecutionId,
    /// The run's.
    pub(crate) created: Timestamp,
    pub(crate) slot: u64,
    pub(crate) dispatched: Timestamp,
    pub(crate) claimed: Option<Timestamp>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
}

/// From the end of an execution to the next one in its slot.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub(crate) to_dispatch: Times,
    pub(crate) to_claim: Times,
}

/// Every execution of `runs`.
pub(crate) async fn read(api: &Api, runs: Vec<RunId>) -> Result<Vec<Milestones>> {
    let mut left = runs.into_iter();
    let mut asked = JoinSet::new();
    let mut all = Vec::new();
    loop {
        while asked.len() < AT_ONCE
            && let Some(run) = left.next()
        {
            let api = api.clone();
            asked.spawn(async move { api.timeline(run).await });
        }
        let Some(timeline) = asked.join_next().await else { return Ok(all) };
        all.extend(milestones(&timeline??));
    }
}

fn milestones(timeline: &Timeline) -> Vec<Milestones> {
    use TimelineEventType as T;
    let mut all: Vec<Milestones> = Vec::new();
    let mut created = Timestamp::UNIX_EPOCH;
    for event in &timeline.events {
        let at = event.occurred_at;
        if event.event_type == T::OzRunCreated {
            created = at;
        }
        let Some(execution) = event.execution_id else { continue };
        if event.event_type == T::OzRunClaimed {
            let slot = event.payload.get("slot").and_then(serde_json::Value::as_u64).unwrap_or(u64::MAX);
            let new =
                Milestones { execution, created, slot, dispatched: at, claimed: None, started: None, ended: None };
            all.push(new);
            continue;
        }
        let Some(known) = all.iter_mut().find(|known| known.execution == execution) else { continue };
        match event.event_type {
            T::WorkerContainerReady => known.claimed = Some(at),
            T::AgentStarted => known.started = Some(at),
            T::VmShutdown => known.ended = Some(at),
            _ => {}
        }
    }
    all
}

/// The largest number of slots held at the same time.
pub(crate) fn most_at_once(executions: &[Milestones]) -> usize {
    let mut changes: Vec<(Timestamp, isize)> = Vec::new();
    for execution in executions {
        changes.push((execution.dispatched, 1));
        changes.extend(execution.ended.map(|at| (at, -1)));
    }
    // In the same instant a slot is given back before it is taken.
    changes.sort_unstable();
    let mut held = 0_isize;
    let most = changes.iter().map(|(_, change)| {
        held += change;
        held
    });
    usize::try_from(most.max().unwrap_or(0)).unwrap_or(0)
}

/// How long slots stood free while runs waited.
pub(crate) fn turns(executions: &[Milestones]) -> Turns {
    let mut in_order: Vec<&Milestones> = executions.iter().collect();
    in_order.sort_unstable_by_key(|execution| (execution.slot, execution.dispatched));
    let mut turns = Turns::default();
    for pair in in_order.windows(2) {
        let [before, next] = pair else { continue };
        let Some(freed) = before.ended.filter(|freed| before.slot == next.slot && next.created < *freed) else {
            continue;
        };
        turns.to_dispatch.add(since(freed, next.dispatched));
        if let Some(claimed) = next.claimed {
            turns.to_claim.add(since(freed, claimed));
        }
    }
    turns
}

/// None comes out negative: clocks of one machine.
pub(crate) fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
