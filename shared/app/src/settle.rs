//! Settle: an execution ends exactly once, whoever tells it first: its agent, the launcher, or the sweep.

use jiff::Timestamp;
use ozma_domain::failure::FailureClass;
use ozma_domain::id::{ExecutionId, TeamId};
use ozma_domain::lifecycle::Ending;
use ozma_domain::limits;
use ozma_domain::outcome::Outcome;
use ozma_domain::protocol::Usage;
use ozma_domain::run::Run;
use ozma_domain::state::RunState;
use ozma_domain::subscription::Topic;
use ozma_domain::text::chain;
use ozma_store::{KeyRelease, Owed, StoreError, Want, Written};

use crate::App;
use crate::accept::send_tick;
use crate::app::after;
use crate::budget::closing;
use crate::metrics;
use crate::notify::send_changed;
use crate::ports::{ContainerEnd, QueueMessage};
use crate::queueing::{after_release, release};

/// What an end came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The run has its outcome, goes back to the queue, or, cancelled before, gave its slot back.
    Now(RunState),
    /// Told before.
    Already,
    /// Another execution is the current one, or there is no such run.
    Stale,
}

#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    #[error("the end of an execution could not be stored")]
    Store(#[from] StoreError),
}

pub async fn settle(
    app: &App,
    execution: ExecutionId,
    outcome: &Outcome,
    last_segment: Option<u32>,
) -> Result<Settled, SettleError> {
    let Some(run) = app.store.run(execution.run).await? else { return Ok(Settled::Stale) };
    settle_run(app, run, execution, outcome, last_segment, None).await
}

/// The same for a run that was just read.
pub(crate) async fn settle_run(
    app: &App,
    mut run: Run,
    execution: ExecutionId,
    outcome: &Outcome,
    last_segment: Option<u32>,
    usage: Option<Usage>,
) -> Result<Settled, SettleError> {
    loop {
        let slot = run.held_slot();
        let mut key = KeyRelease::Nothing;
        let now = app.now();
        let used = usage.filter(|_| run.is_current(execution)).and_then(|usage| run.used(usage));
        let last = used.as_ref().unwrap_or(&run);
        let ledger = closing(app, last, last.seconds_of_execution(now), now).await?;
        let ledger = ledger.as_ref();
        let (written, after) = match last.ended(execution.number, outcome, now, last_segment) {
            Ending::Ended(ended) => {
                key = release(app, &ended).await?;
                (app.store.end_run(&run, &ended, slot, &Owed::of(&ended), &key, ledger).await?, ended)
            }
            Ending::Requeued(queued) => match slot {
                Some(slot) => (app.store.requeue_run(&run, &queued, slot, ledger).await?, queued),
                None => return Ok(Settled::Already),
            },
            Ending::Released(closed) => match slot {
                Some(slot) => {
                    key = release(app, &closed).await?;
                    (app.store.release_slot(&run, &closed, slot, &key, ledger).await?, closed)
                }
                None => return Ok(Settled::Already),
            },
            Ending::Already => return Ok(Settled::Already),
            Ending::Stale => return Ok(Settled::Stale),
        };
        if written == Written::Now {
            after_release(app, &key).await;
            if ledger.is_some() {
                lift(app, &after.team).await;
            }
            announce(app, execution, &after, outcome).await;
            return Ok(Settled::Now(after.state));
        }
        match app.store.run(execution.run).await? {
            Some(read) => run = read,
            None => return Ok(Settled::Stale),
        }
    }
}

/// The container of an execution is gone. If its agent has not said how it ended, and the launcher does not know better,
/// that is a failure of the platform.
pub async fn container_gone(
    app: &App,
    execution: ExecutionId,
    end: Option<&ContainerEnd>,
) -> Result<Settled, SettleError> {
    let Some(run) = app.store.run(execution.run).await? else { return Ok(Settled::Stale) };
    let failure = match end {
        Some(ContainerEnd { reason, class: Some(class) }) if *class != FailureClass::Interrupted => {
            Outcome::failed(*class, reason.as_str())
        }
        // Stopped because its time was up: that is the reason, not the stop.
        _ if let Some(failure) = overdue(app, &run, Timestamp::MIN) => failure,
        Some(ContainerEnd { reason, class: Some(class) }) => Outcome::failed(*class, reason.as_str()),
        _ => {
            let claimed = run.execution.as_ref().is_some_and(|current| current.claimed_at.is_some());
            let (class, what) = if claimed {
                (FailureClass::AgentLost, "the agent ended without a report")
            } else {
                (FailureClass::NeverClaimed, "the agent ended before it began")
            };
            Outcome::failed(class, end.map_or_else(|| what.to_owned(), |end| format!("{what}: {}", end.reason)))
        }
    };
    settle_run(app, run, execution, &failure, None, None).await
}

/// Why a live execution has to end, if it has to.
pub(crate) fn overdue(app: &App, run: &Run, awake_since: Timestamp) -> Option<Outcome> {
    let (current, now) = (run.execution.as_ref()?, app.now());
    let last_moment = after(current.deadline_at, limits::DEADLINE_GRACE_SECONDS);
    if now >= last_moment {
        let failure = Outcome::failed(FailureClass::NoReport, "past its deadline, and the agent did not report");
        return Some(failure);
    }
    // What it reserved of a shared budget is used up, and it has not been heard since.
    if let Some(booking) = &current.booking {
        let seconds = i64::try_from(booking.seconds).unwrap_or(i64::MAX);
        if now >= after(after(current.dispatched_at, seconds), limits::DEADLINE_GRACE_SECONDS) {
            let message = "silent past what it had reserved of a budget";
            return Some(Outcome::failed(FailureClass::BudgetReached, message));
        }
    }
    let lease_until = current.lease_until.max(after(awake_since, app.settings.lease_seconds));
    if now < lease_until {
        return None;
    }
    let failure = if current.claimed_at.is_some() {
        Outcome::failed(FailureClass::AgentLost, "the agent has been silent for longer than its lease")
    } else {
        let message = format!("no agent claimed the run within {} s of its launch", app.settings.start_seconds);
        Outcome::failed(FailureClass::NeverClaimed, message)
    };
    Some(failure)
}

/// Something of a budget was given back: whoever waits for that may ask again. If this is lost, they do in a while.
async fn lift(app: &App, team: &TeamId) {
    let lifted = async {
        if app.team(team).await?.held(app.now()).is_some_and(|hold| hold.want == Want::Budget) {
            app.store.release(team).await?;
        }
        Ok::<(), StoreError>(())
    };
    if let Err(err) = lifted.await {
        tracing::warn!(%team, error = %chain(&err), "a team waits for what was given back");
    }
}

/// Everything here may be lost: the sweep finds what is owed and who waits.
async fn announce(app: &App, execution: ExecutionId, run: &Run, outcome: &Outcome) {
    app.maskers.forget(execution);
    tracing::info!(
        run.id = %run.run_id,
        execution = %execution,
        trace_id = run.run_id.trace_id(),
        state = %run.state,
        outcome = ?outcome.event(),
        "an execution ended"
    );
    if let Some(current) = &run.execution
        && let (Some(started), Some(ended)) = (current.started_at, current.ended_at)
    {
        metrics::stage("Run", run, started, ended);
    }
    // A tick for nobody costs as much as one for somebody. Whoever is queued from now on sends one of their own, and finds
    // the slot that was given back.
    let waiting = app.store.queue_head(&run.team, 1).await;
    if waiting.is_ok_and(|waiting| waiting.is_empty()) {
        tracing::debug!(run.id = %run.run_id, "nobody waits for the slot");
    } else {
        send_tick(app, &run.team).await;
    }
    if let Some(until) = run.not_before
        && let Err(err) = app.timer.send_at(until, QueueMessage::Tick { team: run.team.clone() }).await
    {
        tracing::warn!(run.id = %run.run_id, error = %chain(&err), "could not set the timer for a retry; the sweep will start it");
    }
    if run.state.is_terminal() {
        send_complete(app, run).await;
    } else {
        send_changed(app, run, run.subscribed, Topic::Queued, run.updated_at).await;
    }
}

pub(crate) async fn send_complete(app: &App, run: &Run) {
    let message = QueueMessage::Complete { team: run.team.clone(), run: run.run_id };
    if let Err(err) = app.queue.send(message).await {
        tracing::warn!(run.id = %run.run_id, error = %chain(&err), "could not announce an end; the sweep will");
    }
}
