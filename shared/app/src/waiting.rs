//! Why a run waits: its position, when it may start, and which limit holds it.

use jiff::Timestamp;
use ozma_domain::error_code::ErrorCode;
use ozma_domain::limits;
use ozma_domain::run::{Place, Run};
use ozma_domain::waiting::{Agents, WaitingFor};
use ozma_store::{Hold, StoreError, Want};

use crate::App;

/// Ended runs that are looked at for how long runs take.
const MEASURED: usize = 20;

/// What is told of a run that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// 1 is next: in the queue, or in line for the concurrency key.
    pub position: u64,
    /// There are more ahead than were counted.
    pub at_least: bool,
    pub waiting_for: WaitingFor,
    pub reason: String,
    pub estimated_start_at: Option<Timestamp>,
}

/// None: the run does not wait.
pub async fn waiting(app: &App, run: &Run) -> Result<Option<Waiting>, StoreError> {
    let Some(place) = run.place() else { return Ok(None) };
    let team = app.team(&run.team).await?;
    let mut told = match place {
        Place::Until(at) => until(run, at),
        Place::Line => in_line(app, run).await?,
        Place::Queue(_) => {
            let ahead = app.store.queued_before(run, limits::QUEUE_POSITION).await?;
            let agents = agents(app, run, team.plan.concurrent_agents).await?;
            let position = ahead as u64 + 1;
            let taken = agents.ages.len();
            let (waiting_for, reason) = match team.held(app.now()) {
                Some(Hold { want: Want::Room, reason, .. }) => (WaitingFor::Capacity, reason.clone()),
                Some(Hold { want: Want::Budget, reason, .. }) => (WaitingFor::Budget, give_back(reason)),
                _ if taken >= agents.slots => {
                    let reason = format!("all {} agents of the plan {} are at work", agents.slots, team.plan.name);
                    (WaitingFor::Plan, reason)
                }
                _ => (WaitingFor::Start, "it is about to start".to_owned()),
            };
            Waiting {
                position,
                at_least: ahead >= limits::QUEUE_POSITION,
                waiting_for,
                reason,
                estimated_start_at: agents.estimate(position, app.now()),
            }
        }
    };
    if let Some(pause) = &team.paused {
        told.waiting_for = WaitingFor::Pause;
        told.reason = format!("{} paused the team at {:.0}; `oz team resume` lets it go on", pause.by, pause.at);
        told.estimated_start_at = None;
    }
    Ok(Some(told))
}

fn give_back(reason: &str) -> String {
    format!("{reason}; others may give some back")
}

fn until(run: &Run, at: Timestamp) -> Waiting {
    let by_budget = run.status.as_ref().is_some_and(|status| status.error_code == Some(ErrorCode::BudgetExceeded));
    let said = run.status.as_ref().map(|status| status.message.clone());
    let (waiting_for, reason) = match said {
        Some(said) if by_budget => (WaitingFor::Budget, give_back(&said)),
        // It was sent back for want of room, which is no attempt, or after one that failed.
        Some(said) if run.attempts == 0 => (WaitingFor::Capacity, said),
        Some(said) => (WaitingFor::Retry, format!("it is tried again soon; {said}")),
        None => (WaitingFor::Schedule, "it is not to start before its time".to_owned()),
    };
    Waiting { position: 1, at_least: false, waiting_for, reason, estimated_start_at: Some(at) }
}

async fn in_line(app: &App, run: &Run) -> Result<Waiting, StoreError> {
    let key = run.key.as_deref().unwrap_or_default();
    let line = app.store.line(&run.team, key, limits::QUEUE_POSITION).await?;
    let ahead = line.iter().take_while(|other| **other != run.run_id).count();
    let mut reason = format!("it waits for the concurrency key \"{key}\"");
    let mut estimated_start_at = None;
    if let Some(lock) = app.store.key_lock(&run.team, key).await? {
        reason = format!("the run {} has the concurrency key \"{key}\"", lock.run_id);
        let agents = Agents { durations: durations(app, run).await?, ..Agents::default() };
        let holder = app.store.run(lock.run_id).await?;
        let age = holder.and_then(|run| run.execution).map(|current| age(app, current.dispatched_at));
        estimated_start_at = agents.estimate_in_line(age, ahead as u64, app.now());
    }
    Ok(Waiting {
        position: ahead as u64 + 1,
        at_least: ahead >= limits::QUEUE_POSITION,
        waiting_for: WaitingFor::Key,
        reason,
        estimated_start_at,
    })
}

async fn agents(app: &App, run: &Run, slots: u16) -> Result<Agents, StoreError> {
    let taken = app.store.taken_slots_lately(&run.team).await?;
    Ok(Agents {
        slots: usize::from(slots),
        ages: taken.iter().map(|slot| age(app, slot.taken_at)).collect(),
        durations: durations(app, run).await?,
    })
}

/// How long the last executions of the team took, in seconds.
async fn durations(app: &App, run: &Run) -> Result<Vec<i64>, StoreError> {
    let ended = app.store.latest_ended(&run.team, None, MEASURED).await?;
    let ids: Vec<_> = ended.iter().map(|entry| entry.run_id).collect();
    let runs = app.store.runs(&ids).await?;
    let took = runs.iter().filter_map(|run| {
        let execution = run.execution.as_ref()?;
        Some(execution.ended_at?.duration_since(execution.dispatched_at).as_secs())
    });
    Ok(took.collect())
}

fn age(app: &App, since: Timestamp) -> i64 {
    app.now().duration_since(since).as_secs().max(0)
}
