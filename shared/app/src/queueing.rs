//! Queueing: where a run waits that may start, for its concurrency key or for its turn; and what becomes of it when its
//! time comes, or is over.

use ozma_domain::id::{RunId, TeamId};
use ozma_domain::lane::{Lane, Turn, waiting_at_most};
use ozma_domain::lifecycle::Due;
use ozma_domain::limits;
use ozma_domain::run::{Place, Run};
use ozma_domain::scheduling::{KeyPolicy, Scheduling};
use ozma_domain::text::chain;
use ozma_store::{
    Alarm, AlarmOf, KeyLock, KeyRelease, KeyStep, LaneRow, Owed, QueueEntry, StoreError, TeamRow, Written,
};

use crate::App;
use crate::accept::send_tick;
use crate::cancel::{CancelError, cancel};
use crate::schedules::fire;
use crate::settle::send_complete;

/// The queue as a run finds it that is about to join it.
pub(crate) struct QueueState {
    lanes: Vec<LaneRow>,
    /// Who is next.
    front: Option<QueueEntry>,
}

impl QueueState {
    /// The lanes' turns first, then who is next: of a crowd that comes in between, the first one is seen at the front, and turns
    /// are shared with it. The other way round, a run would find nobody before it and stand behind all the crowd's turns.
    pub(crate) async fn read(app: &App, team: &TeamId) -> Result<Self, StoreError> {
        let lanes = app.store.lanes(team).await?;
        Ok(Self { lanes, front: app.store.queue_front(team).await? })
    }
}

/// Gives a run that may start now its place: in the queue, in line for its concurrency key, or, skipped, none.
pub(crate) async fn placed(
    app: &App,
    run: Run,
    scheduling: &Scheduling,
    queue: &QueueState,
) -> Result<(Run, KeyStep), StoreError> {
    let run = Run { not_before: None, ..run };
    let mut step = KeyStep::Nothing;
    if let Some(concurrency) = &scheduling.concurrency {
        match app.store.key_lock(&run.team, &concurrency.key).await? {
            None => step = KeyStep::Take,
            Some(lock) if lock.run_id == run.run_id => {}
            Some(lock) if concurrency.policy == KeyPolicy::Skip => {
                return Ok((run.skipped(lock.run_id, app.now()).unwrap_or(run), KeyStep::Nothing));
            }
            Some(lock) => {
                let supersede = concurrency.policy == KeyPolicy::Supersede;
                return Ok((Run { turn: None, ..run }, KeyStep::Join { lock, supersede }));
            }
        }
    }
    Ok((with_turn(app, run, queue).await?, step))
}

/// A run that had its turn before keeps it: it has paid for it.
async fn with_turn(app: &App, run: Run, queue: &QueueState) -> Result<Run, StoreError> {
    if run.turn.is_some() {
        return Ok(run);
    }
    let share = &run.share;
    let start = match &queue.front {
        // Nobody waits: there is nothing to be fair about, and nothing to write.
        None => Turn::start_after(queue.lanes.iter().map(|lane| lane.end)),
        Some(front) => app.store.take_turn(&run.team, share, front, app.now()).await?,
    };
    let turn = Turn::new(start, share.priority);
    Ok(Run { turn: Some(turn), ..run })
}

/// The cap that one more run of `lane` would break: what is full, and how many it holds.
pub(crate) async fn full(
    app: &App,
    team: &TeamRow,
    lane: &Lane,
    queue: &QueueState,
) -> Result<Option<(&'static str, u32)>, StoreError> {
    // Priorities move entries so far before and behind those that the lanes' turns tell of.
    const UNCERTAIN: u64 = 250;
    let QueueState { lanes, front: Some(front) } = queue else { return Ok(None) };
    let waiting = |lane: &LaneRow| waiting_at_most(lane.end, lane.weight, front.start);
    let all: u64 = lanes.iter().map(waiting).sum();
    let own: u64 = lanes.iter().filter(|row| row.lane == *lane).map(waiting).sum();
    let of_lane = match lane {
        Lane::Automation(_) | Lane::Schedule(_) => Some(team.settings.queued_runs_of_automation()),
        Lane::User(_) => None,
    };
    for (what, known, lane, cap) in [
        ("the queue of this automation", own, Some(lane), of_lane),
        ("the queue of the team", all, None, Some(team.settings.queued_runs())),
    ] {
        let Some(cap) = cap else { continue };
        // Counting costs as much as there is to count: only when it may be full.
        if known + UNCERTAIN >= u64::from(cap) {
            let most = usize::try_from(cap).unwrap_or(usize::MAX);
            if app.store.queued(&team.team, lane, most).await? >= most {
                return Ok(Some((what, cap)));
            }
        }
    }
    Ok(None)
}

/// Looks after what has come due: schedules fire; runs enter the queue, or end, because their time is over.
pub(crate) async fn ring(app: &App, team: &TeamId) -> Result<(), StoreError> {
    for alarm in app.store.due_alarms(team, app.now(), limits::ALARMS).await? {
        match &alarm.of {
            AlarmOf::Run(run) => look(app, team, &alarm, *run).await?,
            AlarmOf::Schedule(id) => fire(app, team, &alarm, id).await?,
        }
    }
    Ok(())
}

async fn look(app: &App, team: &TeamId, alarm: &Alarm, run: RunId) -> Result<(), StoreError> {
    loop {
        let Some(run) = app.store.run(run).await? else { return app.store.drop_alarm(team, alarm).await };
        let now = app.now();
        let ended = match run.due(now) {
            Due::Nothing => return app.store.drop_alarm(team, alarm).await,
            Due::Expiry => run.expired(now),
            Due::Deadline => run.out_of_time(now),
            Due::Start => {
                let Some(request) = app.store.request(team, run.run_id).await? else {
                    return app.store.drop_alarm(team, alarm).await;
                };
                let queue = QueueState::read(app, team).await?;
                let (placed, step) = placed(app, run.clone(), &request.scheduling, &queue).await?;
                if !placed.state.is_terminal() {
                    if app.store.enter_queue(&run, &placed, &step).await? == Written::Now {
                        tracing::info!(run.id = %run.run_id, "its time has come");
                        after_joining(app, &placed, &step).await;
                        return Ok(());
                    }
                    continue;
                }
                Some(placed)
            }
        };
        let Some(ended) = ended else { return app.store.drop_alarm(team, alarm).await };
        if end(app, &run, &ended).await? == Written::Now {
            tracing::info!(run.id = %run.run_id, state = %ended.state, "ended while it waited");
            return app.store.drop_alarm(team, alarm).await;
        }
    }
}

/// Ends a run that has no container, or whose container is left to end by itself.
pub(crate) async fn end(app: &App, was: &Run, ended: &Run) -> Result<Written, StoreError> {
    let release = release(app, ended).await?;
    let written = app.store.end_run(was, ended, None, &Owed::of(ended), &release, None).await?;
    if written == Written::Now {
        after_release(app, &release).await;
        send_complete(app, ended).await;
    }
    Ok(written)
}

/// What becomes of the concurrency key of a run that is over. As long as its container is there, the key is not given away.
pub(crate) async fn release(app: &App, ended: &Run) -> Result<KeyRelease, StoreError> {
    let Some(key) = ended.key.as_deref().filter(|_| ended.held_slot().is_none()) else {
        return Ok(KeyRelease::Nothing);
    };
    let team = &ended.team;
    loop {
        let lock = app.store.key_lock(team, key).await?;
        let Some(lock) = lock.filter(|lock| lock.run_id == ended.run_id) else { return Ok(KeyRelease::Nothing) };
        let Some(first) = app.store.line(team, key, 1).await?.pop() else { return Ok(KeyRelease::Free(lock)) };
        if lock.supersedes(first) {
            clear_line(app, team, key, &lock).await?;
            continue;
        }
        let Some(was) = app.store.run(first).await?.filter(|run| run.place() == Some(Place::Line)) else { continue };
        let queue = QueueState::read(app, team).await?;
        let next = with_turn(app, Run { updated_at: app.now(), ..was.clone() }, &queue).await?;
        return Ok(KeyRelease::HandOver { lock, was: Box::new(was), next: Box::new(next) });
    }
}

/// Whoever has got the key may start.
pub(crate) async fn after_release(app: &App, release: &KeyRelease) {
    if let KeyRelease::HandOver { next, .. } = release {
        tracing::info!(run.id = %next.run_id, "it is next to have its concurrency key");
        send_tick(app, &next.team).await;
    }
}

/// A run that supersedes others makes them make room. Whatever of it is not done, because somebody dies, is done by those who
/// look at a run that was superseded: dispatch, the sweep, and whoever hands the key on.
pub(crate) async fn after_joining(app: &App, run: &Run, step: &KeyStep) {
    let KeyStep::Join { supersede: true, .. } = step else { return };
    let superseded = async {
        let key = run.key.as_deref().unwrap_or_default();
        let Some(lock) = app.store.key_lock(&run.team, key).await? else { return Ok(()) };
        clear_line(app, &run.team, key, &lock).await?;
        make_room(app, &run.team, lock.run_id, &lock).await
    };
    if let Err(err) = superseded.await {
        tracing::warn!(run.id = %run.run_id, error = %chain(&err), "could not supersede another run yet");
    }
}

/// Cancels a run if it was superseded. True: it was.
pub(crate) async fn is_superseded(app: &App, run: &Run) -> Result<bool, StoreError> {
    let Some(key) = &run.key else { return Ok(false) };
    match app.store.key_lock(&run.team, key).await? {
        Some(lock) if lock.supersedes(run.run_id) => {
            make_room(app, &run.team, run.run_id, &lock).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

async fn make_room(app: &App, team: &TeamId, run: RunId, lock: &KeyLock) -> Result<(), StoreError> {
    let Some(by) = lock.superseded_by.filter(|_| lock.supersedes(run)) else { return Ok(()) };
    match Box::pin(cancel(app, team, run, &format!("the run {by}, which supersedes it"))).await {
        Ok(()) | Err(CancelError::Ended(_) | CancelError::Unknown(_)) => Ok(()),
        Err(CancelError::Store(err)) => Err(err),
    }
}

/// Cancels those in line whom the lock says were superseded.
async fn clear_line(app: &App, team: &TeamId, key: &str, lock: &KeyLock) -> Result<(), StoreError> {
    for run in app.store.line(team, key, 100).await?.into_iter().filter(|run| lock.supersedes(*run)) {
        make_room(app, team, run, lock).await?;
    }
    Ok(())
}
