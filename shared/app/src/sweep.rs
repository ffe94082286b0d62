//! The sweep: the safety net, not the engine. It takes no input, may run at any time and any number of times, and counts
//! what it repairs, which should be nothing.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use ozma_domain::id::{DeliveryId, ExecutionId, TeamId};
use ozma_domain::limits;
use ozma_domain::notification::Due;
use ozma_domain::run::Run;
use ozma_domain::state::RunState;
use ozma_domain::text::chain;
use ozma_store::{SlotRow, StoreError, TeamRow, Written};

use serde::Serialize;

use crate::App;
use crate::app::after;
use crate::complete::{CompleteError, complete};
use crate::dispatch::{DispatchError, drain};
use crate::launch::{LaunchError, launch};
use crate::metrics;
use crate::notify::message;
use crate::ports::{ContainerStatus, PortError, QueueMessage};
use crate::queueing::is_superseded;
use crate::receive::{self, ReceiveError};
use crate::settle::{SettleError, Settled, container_gone, overdue, settle};

/// How long a container that has to stop may take to go: until the next round tells it to, at most a minute, then its own
/// time to finalise, and the launcher's to tell.
pub(crate) const STOP_SECONDS: i64 = 90;

/// A run that waits for less than this beside a free slot has a tick on its way, and is not repaired by being started.
const TICK_SECONDS: i64 = 15;

/// Longer than it takes to the next round.
const ROUND_SECONDS: i64 = 75;

/// What a sweep repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repairs {
    /// Runs that waited beside a free slot.
    pub started: usize,
    /// Launches that had left nothing behind.
    pub relaunched: usize,
    /// Executions past their lease or deadline, or without a container.
    pub ended: usize,
    /// Containers that nobody owns.
    pub stopped: usize,
    /// Ends that were not sealed, published or told.
    pub completed: usize,
    /// Deliveries that owed runs.
    pub delivered: usize,
    /// Notifications whose time had come and that nobody sent.
    pub notified: usize,
}

impl Repairs {
    /// A metric that should read zero. Nothing is counted where there was nothing to repair.
    fn measure(self) {
        let Self { started, relaunched, ended, stopped, completed, delivered, notified } = self;
        let all = started + relaunched + ended + stopped + completed + delivered + notified;
        if all > 0 {
            tracing::warn!(
                started,
                relaunched,
                ended,
                stopped,
                completed,
                delivered,
                notified,
                "the sweep repaired something"
            );
            metrics::count("Repairs", all);
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error("the sweep could not read or write")]
    Store(#[from] StoreError),
    #[error("the sweep could not reach the launcher")]
    Port(#[from] PortError),
    #[error("the sweep could not settle an execution")]
    Settle(#[from] SettleError),
    #[error("the sweep could not repeat a launch")]
    Launch(#[from] LaunchError),
    #[error("the sweep could not drain the queue")]
    Dispatch(#[from] DispatchError),
    #[error("the sweep could not complete an end")]
    Complete(#[from] CompleteError),
    #[error("the sweep could not finish a delivery")]
    Receive(#[from] ReceiveError),
}

/// One round over every team. What fails is logged and keeps nothing else waiting; the first error is returned.
///
/// `awake_since` is when the control plane began to listen without a pause: while it was down or asleep no agent could
/// renew its lease, so leases count from then at the earliest.
pub async fn sweep(app: &App, awake_since: Timestamp) -> Result<Repairs, SweepError> {
    let mut round = Round { app, awake_since, alive: BTreeSet::new(), repairs: Repairs::default(), first_error: None };
    // One question about all instead of one about each: a cloud answers few of them a second.
    match app.launcher.list().await {
        Ok(alive) => round.alive = alive.into_iter().collect(),
        Err(err) => round.note("the list of containers", Err(err.into())),
    }
    let teams = app.store.teams().await?;
    for team in &teams {
        let swept = round.team(team).await;
        round.note("a team", swept);
    }
    for team in &teams {
        let swept = round.deliveries(team).await;
        round.note("the deliveries of a team", swept);
    }
    let swept = round.containers().await;
    round.note("the containers", swept);
    // Last, because sealing a long trail takes its time.
    for team in &teams {
        let swept = round.ends(team).await;
        round.note("the ends of a team", swept);
    }
    round.repairs.measure();
    round.first_error.map_or(Ok(round.repairs), Err)
}

struct Round<'a> {
    app: &'a App,
    awake_since: Timestamp,
    /// The executions whose container existed when the round began.
    alive: BTreeSet<ExecutionId>,
    repairs: Repairs,
    first_error: Option<SweepError>,
}

impl Round<'_> {
    fn note(&mut self, what: &str, result: Result<(), SweepError>) {
        if let Err(err) = result {
            tracing::warn!(error = %chain(&err), "{what} could not be swept");
            self.first_error.get_or_insert(err);
        }
    }

    async fn team(&mut self, row: &TeamRow) -> Result<(), SweepError> {
        let app = self.app;
        let taken = app.store.taken_slots(&row.team).await?;
        for slot in &taken {
            let swept = self.slot(&row.team, slot).await;
            self.note("a slot", swept);
        }
        let now = app.now();
        let next = app.store.queue_head(&row.team, 1).await?;
        let due_at = next.first().map(|entry| entry.queued_at);
        // A run that waited while all slots were taken was not forgotten, nor was one whose tick may be on its way.
        let could_start = !row.is_held(now)
            && row.paused.is_none()
            && due_at.is_some_and(|due| now > after(due, TICK_SECONDS))
            && taken.len() < usize::from(row.plan.concurrent_agents);
        let forgotten =
            could_start && app.store.ended_since(&row.team, Some(after(now, -TICK_SECONDS)), 1).await?.is_empty();
        let drained = drain(app, &row.team).await.map(|started| {
            if forgotten {
                self.repairs.started += started;
            }
        });
        self.note("a queue", drained.map_err(SweepError::from));
        set_timers(app, &row.team).await?;
        if row.subscribed.is_some() {
            let swept = self.notifications(&row.team).await;
            self.note("the notifications of a team", swept);
        }
        if row.sought_at.is_some_and(|at| now >= after(at, limits::REDELIVERY_ROUND_SECONDS)) {
            let swept = self.lost(&row.team).await;
            self.note("the lost events of a team", swept);
        }
        if let Some(due) = due_at {
            metrics::seconds("OldestQueuedSeconds", &row.team, due, now);
        }
        Ok(())
    }

    async fn slot(&mut self, team: &TeamId, slot: &SlotRow) -> Result<(), SweepError> {
        let app = self.app;
        let execution = slot.execution_id();
        let Some(run) = app.store.run(slot.run_id).await? else { return Ok(()) };
        let Some(current) = run.execution.as_ref().filter(|_| run.is_current(execution)) else { return Ok(()) };
        let now = app.now();
        let alive = if self.alive.contains(&execution) {
            ContainerStatus::Alive
        } else {
            app.launcher.status(execution).await?
        };
        let age = now.duration_since(current.dispatched_at);
        let relaunch_after = SignedDuration::from_secs(app.settings.relaunch_seconds);

        if run.state.is_terminal() {
            // Cancelled: its container goes, then its slot.
            match alive {
                ContainerStatus::Alive => {
                    // One that does not go is given up.
                    if stop(app, &run, execution).await? {
                        let gone = container_gone(app, execution, None).await?;
                        self.repairs.ended += usize::from(is_now(gone));
                    }
                }
                // Its launch may still be on its way.
                ContainerStatus::Gone { end: None } if age <= relaunch_after => {}
                ContainerStatus::Gone { end } => {
                    self.repairs.ended += usize::from(is_now(container_gone(app, execution, end.as_ref()).await?));
                }
            }
            return Ok(());
        }
        if is_superseded(app, &run).await? {
            return Ok(());
        }
        if let ContainerStatus::Gone { end } = alive {
            if run.state == RunState::Pending && end.is_none() && now < current.lease_until {
                if age > relaunch_after {
                    self.repairs.relaunched += usize::from(relaunch(app, team, &run).await?);
                }
            } else if age > relaunch_after {
                self.repairs.ended += usize::from(is_now(container_gone(app, execution, end.as_ref()).await?));
            }
            return Ok(());
        }
        if let Some(failure) = overdue(app, &run, self.awake_since) {
            // Its end is told when the container is gone, so that two of one run are never alive at once. A container that
            // does not go is given up: its agent is fenced off.
            if stop(app, &run, execution).await? {
                self.repairs.ended += usize::from(is_now(settle(app, execution, &failure, None).await?));
            }
        }
        Ok(())
    }

    /// Starts what deliveries owe that somebody took and did not finish, and moves the mark before which none does. Most
    /// senders deliver again what was not answered; GitHub does not.
    async fn deliveries(&mut self, row: &TeamRow) -> Result<(), SweepError> {
        const ROUND: usize = 1_000;
        let app = self.app;
        let from = row.deliveries_swept.unwrap_or(DeliveryId::first_at(0));
        // Younger ones are at work still.
        let left_before = after(app.now(), -limits::DELIVERY_LEFT_SECONDS);
        let mut mark = None;
        let mut all_done = true;
        for saved in app.store.deliveries_since(&row.team, from, ROUND).await? {
            let id = saved.delivery.id;
            if saved.delivery.received_at >= left_before {
                break;
            }
            let mut done = saved.delivery.is_done();
            if !done {
                match receive::finish(app, saved).await {
                    // A run whose last end is still being recorded hears what was said to it later.
                    Ok(finished) => {
                        done = finished.delivery.is_done();
                        self.repairs.delivered += usize::from(done);
                    }
                    // Neither its body nor its automation will come back.
                    Err(err @ (ReceiveError::Nowhere | ReceiveError::Decode(_))) => {
                        tracing::warn!(delivery.id = %id, error = %chain(&err), "a delivery cannot be finished");
                        done = true;
                    }
                    Err(err) => self.note("a delivery", Err(err.into())),
                }
            }
            all_done &= done;
            if all_done {
                mark = Some(id);
            }
        }
        if let Some(mark) = mark.filter(|mark| Some(*mark) != row.deliveries_swept) {
            app.store.mark_deliveries_swept(&row.team, mark).await?;
        }
        Ok(())
    }

    /// Sends what is overdue on its way.
    async fn notifications(&mut self, team: &TeamId) -> Result<(), SweepError> {
        let app = self.app;
        let now = app.now();
        let overdue = after(now, -limits::NOTIFICATION_OVERDUE_SECONDS);
        for due in app.store.due_notifications(team, overdue, limits::NOTIFICATIONS_SWEPT).await? {
            match app.store.notification(&due.subscription, &due.id).await? {
                Some(found) if found.notification.next_at == Some(due.at) => {
                    if found.notification.due(now) != Due::Nothing {
                        app.queue.send(message(&found.notification)).await?;
                        self.repairs.notified += 1;
                    }
                }
                _ => app.store.drop_due_notification(team, &due).await?,
            }
        }
        Ok(())
    }

    /// Has those asked who can be asked what they could not deliver. What is lost of this is done in the next round.
    async fn lost(&mut self, team: &TeamId) -> Result<(), SweepError> {
        let app = self.app;
        app.store.mark_sought(team, app.now()).await?;
        for saved in app.store.webhooks(team).await? {
            let webhook = saved.webhook;
            if webhook.config.is_looked_after() {
                app.queue.send(QueueMessage::LookForLost { team: team.clone(), webhook: webhook.id }).await?;
            }
        }
        Ok(())
    }

    /// Seals and publishes what was not, and moves the mark up to which all is done.
    async fn ends(&mut self, row: &TeamRow) -> Result<(), SweepError> {
        const ROUND: usize = 500;
        let app = self.app;
        // Younger ends are being completed by whoever brought them about.
        let settled_before = after(app.now(), -10);
        let entries = app.store.ended_since(&row.team, row.swept_until, ROUND).await?;
        let mut swept_until = row.swept_until;
        let mut all_done = true;
        for entry in entries {
            let mut done = entry.owed.is_empty();
            if !done && entry.ended_at < settled_before {
                match complete(app, entry.run_id).await {
                    Ok(still) => {
                        self.repairs.completed += usize::from(still.len() < entry.owed.len());
                        done = still.is_empty();
                    }
                    Err(err) => self.note("an end", Err(err.into())),
                }
            }
            all_done &= done && entry.ended_at < settled_before;
            if all_done {
                swept_until = Some(entry.ended_at);
            }
        }
        if let Some(until) = swept_until.filter(|_| swept_until != row.swept_until) {
            app.store.mark_swept(&row.team, until).await?;
        }
        Ok(())
    }

    async fn containers(&mut self) -> Result<(), SweepError> {
        for execution in std::mem::take(&mut self.alive) {
            if !owns(self.app, execution).await? {
                self.app.launcher.stop(execution).await?;
                self.repairs.stopped += 1;
            }
        }
        Ok(())
    }
}

/// What comes due before the next round is told to the timer. Functions that face the outside have none, and a timer may be
/// lost; one too many is a tick that finds nothing to do.
async fn set_timers(app: &App, team: &TeamId) -> Result<(), SweepError> {
    let now = app.now();
    let soon = app.store.due_alarms(team, after(now, ROUND_SECONDS), limits::ALARMS).await?;
    // One tick for all of a second, at its end: each looks at everything that is due.
    let seconds: BTreeSet<i64> = soon.iter().filter(|alarm| alarm.at > now).map(|alarm| second_of(alarm.at)).collect();
    for second in seconds {
        let at = Timestamp::from_second(second).unwrap_or(now);
        app.timer.send_at(at, QueueMessage::Tick { team: team.clone() }).await?;
    }
    Ok(())
}

/// The second that `at` is in, by its end, since 1970.
fn second_of(at: Timestamp) -> i64 {
    at.as_second() + i64::from(at.subsec_nanosecond() > 0)
}

/// Tells a container to stop. True: it was told so long ago that it should be gone by now.
///
/// What counts is when it was told, not since when it should have been: nobody may have swept in between.
async fn stop(app: &App, run: &Run, execution: ExecutionId) -> Result<bool, SweepError> {
    app.launcher.stop(execution).await?;
    let now = app.now();
    if let Some(told) = run.told_to_stop(now) {
        // Lost: somebody else wrote, and the next round sees what.
        let (Written::Now | Written::Lost) = app.store.update_run_row(run, &told).await?;
        return Ok(false);
    }
    Ok(run.execution.as_ref().and_then(|current| current.stop_at).is_some_and(|at| now >= after(at, STOP_SECONDS)))
}

/// Launches once more what the first launch left nothing of, as far as can be seen. False: somebody else wrote meanwhile.
async fn relaunch(app: &App, team: &TeamId, run: &Run) -> Result<bool, SweepError> {
    let Some(request) = app.store.request(team, run.run_id).await? else { return Ok(false) };
    let plan = app.plan(team).await?;
    // Noted first: a launch that is still on its way does not send the run back to the queue then.
    let noted = run.relaunched();
    if let Some(noted) = &noted
        && app.store.update_run_row(run, noted).await? == Written::Lost
    {
        return Ok(false);
    }
    launch(app, noted.as_ref().unwrap_or(run), &request, &plan).await?;
    Ok(true)
}

/// Whether the container of `execution` still has work to do. One that has just reported is about to end by itself.
async fn owns(app: &App, execution: ExecutionId) -> Result<bool, SweepError> {
    let Some(run) = app.store.run(execution.run).await? else { return Ok(false) };
    if run.is_current(execution) {
        return Ok(true);
    }
    let ended_at = run.execution.as_ref().filter(|current| current.number == execution.number).and_then(|e| e.ended_at);
    Ok(ended_at.is_some_and(|at| app.now() < after(at, i64::try_from(limits::FINALISE_SECONDS).unwrap_or(10))))
}

fn is_now(settled: Settled) -> bool {
    matches!(settled, Settled::Now(_))
}
