//! Dispatch: a tick means that a team may have both work and a free slot. Drain until one of them is gone.

use std::collections::BTreeSet;

use futures_util::stream::{FuturesUnordered, StreamExt};
use ozma_domain::id::TeamId;
use ozma_domain::ledger::TEAM_ACCOUNT;
use ozma_domain::limits;
use ozma_domain::run::{Run, RunRequest};
use ozma_domain::text::chain;
use ozma_store::{Hold, KeyStep, QueueEntry, StoreError, TeamRow, Want, Written};

use crate::App;
use crate::app::after;
use crate::budget::{Affordable, Means, afford};
use crate::launch::{LaunchError, Room, launch};
use crate::metrics;
use crate::ports::QueueMessage;
use crate::queueing::{end, is_superseded, ring};

#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    #[error("the queue could not be drained")]
    Store(#[from] StoreError),
    #[error("some agents could not be started")]
    Launch(#[from] LaunchError),
}

/// What became of one attempt to take a slot.
enum Taking {
    Taken(Box<Run>, Box<RunRequest>),
    /// The entry is stale: its run has gone on.
    NotQueued,
    /// Somebody else took the slot or the run.
    Lost,
    /// There is nothing left of the team's budget, for this run or another.
    NoMeans,
}

/// Looks after the runs whose time has come, then starts as many as there are slots, in the order of their turns. Returns how
/// many.
///
/// Where there was no room for one, nobody asks for a while; then one asks for all.
pub async fn drain(app: &App, team: &TeamId) -> Result<usize, DispatchError> {
    ring(app, team).await?;
    let row = app.team(team).await?;
    if row.paused.is_some() || row.is_held(app.now()) {
        return Ok(0);
    }
    if row.hold.is_none() {
        return Ok(start(app, &row, usize::MAX).await?.0);
    }
    let (first, room) = start(app, &row, 1).await?;
    if first == 0 || room == Room::Nothing {
        return Ok(first);
    }
    app.store.release(team).await?;
    Ok(first + start(app, &row, usize::MAX).await?.0)
}

/// Starts at most so many. Returns how many, and whether there may be room for more.
async fn start(app: &App, team: &TeamRow, most: usize) -> Result<(usize, Room), DispatchError> {
    let mut taken = Vec::new();
    // Whatever goes wrong on the way, those that have a slot are launched.
    let mut failure = take_all(app, team, most, &mut taken).await.map_err(DispatchError::from);
    let launches = taken.iter().map(|(run, request)| launch(app, run, request, &team.plan));
    let mut launches: FuturesUnordered<_> = launches.collect();
    let mut room = Room::ForMore;
    while let Some(launched) = launches.next().await {
        match launched {
            Ok(Room::ForMore) => {}
            Ok(Room::Nothing) => room = Room::Nothing,
            Err(err) => failure = failure.and(Err(err.into())),
        }
    }
    failure.map(|()| (taken.len(), room))
}

/// Takes slots for waiting runs until there are no more of one of them, or `most` are taken.
async fn take_all(
    app: &App,
    row: &TeamRow,
    most: usize,
    all: &mut Vec<(Box<Run>, Box<RunRequest>)>,
) -> Result<(), StoreError> {
    let TeamRow { team, plan, .. } = row;
    loop {
        let taken: BTreeSet<u16> = app.store.taken_slots(team).await?.iter().map(|row| row.slot).collect();
        let cap = usize::from(plan.concurrent_agents);
        let mut free: Vec<u16> = (0..plan.concurrent_agents).filter(|slot| !taken.contains(slot)).collect();
        // Agents of a larger plan before this one may hold slots beyond it.
        free.truncate(cap.saturating_sub(taken.len()).min(most - all.len()));
        if free.is_empty() {
            return Ok(());
        }
        let waiting = app.store.queue_head(team, free.len()).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        // Nobody is left, or no slot is: whoever is accepted or gives back a slot from now on sends a tick.
        let mut done = true;
        for (entry, slot) in waiting.into_iter().zip(free) {
            match take(app, row, &entry, slot, !taken.is_empty() || !all.is_empty()).await? {
                Taking::Taken(run, request) => all.push((run, request)),
                Taking::NotQueued => done = false,
                Taking::NoMeans => return Ok(()),
                // The loop looks again at what is free and who waits: each loss is another's gain, so it ends.
                Taking::Lost => {
                    done = false;
                    break;
                }
            }
        }
        if done {
            return Ok(());
        }
    }
}

/// `others` says whether other agents of the team are at work.
async fn take(app: &App, row: &TeamRow, entry: &QueueEntry, slot: u16, others: bool) -> Result<Taking, StoreError> {
    let (team, longest) = (&row.team, row.plan.deadline_seconds(None));
    let run_id = entry.run_id;
    let found = (app.store.run(run_id).await?, app.store.request(team, run_id).await?);
    // An entry of an earlier version was left over: the run may be queued again, but not before its time.
    let taking = if let (Some(queued), Some(request)) = found
        && queued.version == entry.version
    {
        let deadline = request.deadline_seconds.unwrap_or(longest).min(longest);
        queued
            .dispatched(slot, app.now(), deadline, app.settings.start_seconds)
            .map(|pending| (queued, Run { subscribed: row.subscribed.is_some(), ..pending }, request))
    } else {
        None
    };
    let Some((queued, pending, request)) = taking else {
        app.store.drop_queue_entry(team, entry).await?;
        return Ok(Taking::NotQueued);
    };
    if is_superseded(app, &queued).await? {
        return Ok(Taking::NotQueued);
    }
    let (pending, ledger) = match afford(app, row, &queued, &request, others).await? {
        Affordable::Yes(means) => {
            let Means { left, seconds, booking, ledger } = *means;
            (pending.bounded(left, seconds, booking), ledger)
        }
        Affordable::Later(account, reason) if account.name == TEAM_ACCOUNT => {
            hold(app, team, &reason).await?;
            return Ok(Taking::NoMeans);
        }
        Affordable::Later(_, reason) => {
            put_off(app, &queued, &reason).await?;
            return Ok(Taking::NotQueued);
        }
        Affordable::Never(reason) => {
            // Lost: somebody else moved it, and the next look sees where to.
            if let Some(ended) = queued.out_of_budget(&reason, app.now()) {
                let (Written::Now | Written::Lost) = end(app, &queued, &ended).await?;
            }
            return Ok(Taking::NotQueued);
        }
    };
    match app.store.take_slot(&queued, &pending, slot, ledger.as_ref()).await? {
        Written::Now => {
            // The slot is taken: an entry that stays costs the next tick a look.
            if let Err(err) = app.store.drop_queue_entry(team, entry).await {
                tracing::warn!(run.id = %run_id, error = %chain(&err), "a queue entry was left over");
            }
            let since = entry.queued_at;
            let wait_ms = pending.updated_at.duration_since(since).as_millis();
            tracing::info!(run.id = %run_id, trace_id = run_id.trace_id(), slot, wait_ms, "a run took a slot");
            metrics::stage("QueueWait", &pending, since, pending.updated_at);
            // As written: the next writer's condition must find this version.
            let pending = Run { version: queued.version + 1, ..pending };
            Ok(Taking::Taken(Box::new(pending), Box::new(request)))
        }
        Written::Lost => Ok(Taking::Lost),
    }
}

/// What agents at work have reserved of the team's budget is wanted by everybody who waits: nobody asks until some is given
/// back, or for a while.
async fn hold(app: &App, team: &TeamId, reason: &str) -> Result<(), StoreError> {
    let until = after(app.now(), limits::BUDGET_RETRY_SECONDS);
    app.store.hold(team, &Hold { until, reason: reason.to_owned(), want: Want::Budget }).await?;
    if let Err(err) = app.timer.send_at(until, QueueMessage::Tick { team: team.clone() }).await {
        tracing::warn!(%team, error = %chain(&err), "could not set a timer; the sweep will look");
    }
    Ok(())
}

/// Until others of its automation may have given back what they reserved. Those behind it are of other automations, and do not
/// wait for that. Its turn is gone: it would be before those who came meanwhile.
///
/// No timer is set here, because there would be one for each that waits, and each of their ticks would look at all. The sweep
/// sets one for all that come due at about the same time, and comes by before the first of them.
async fn put_off(app: &App, queued: &Run, reason: &str) -> Result<(), StoreError> {
    let now = app.now();
    let Some(later) = queued.put_off(now, after(now, limits::BUDGET_RETRY_SECONDS), reason) else { return Ok(()) };
    if app.store.enter_queue(queued, &later, &KeyStep::Nothing).await? == Written::Now {
        tracing::info!(run.id = %queued.run_id, reason, "put off");
    }
    Ok(())
}
