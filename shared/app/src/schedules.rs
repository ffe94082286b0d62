//! Schedules: create, change, pause, delete; and what is done when one is due.
//!
//! A planned time has one run, because it is that run's idempotency key. Whoever looks at a schedule that is due asks for
//! the runs first, and notes on its row that they were asked for afterwards, on condition that nobody else has: dying in
//! between, the next one asks again and gets the same runs.

use jiff::Timestamp;
use ozma_domain::id::{ScheduleId, TeamId};
use ozma_domain::lane::Lane;
use ozma_domain::limits;
use ozma_domain::run::{RunSource, ScheduleSnapshot};
use ozma_domain::schedule::{Occurrence, Schedule, ScheduleConfig};
use ozma_domain::template::InvalidField;
use ozma_domain::text::{self, chain};
use ozma_store::{Alarm, SavedSchedule, StoreError, Written};

use crate::App;
use crate::accept::{AcceptError, AcceptedRun, Idempotency, NewRun, accept};
use crate::needs::{self, Missing};
use crate::ports::QueueMessage;

#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error("there is no schedule {0}")]
    Unknown(String),
    #[error("more than one schedule is named \"{0}\"; say which one by its id")]
    Ambiguous(String),
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("the team has {} schedules already; delete some that are not needed any more", limits::SCHEDULES)]
    TooMany,
    #[error("the schedule was changed or deleted at the same moment; look at it again")]
    Lost,
    #[error("the run could not be started")]
    Accept(#[from] AcceptError),
    #[error("the schedule could not be stored")]
    Store(#[from] StoreError),
}

pub async fn create(app: &App, team: &TeamId, by: &str, config: ScheduleConfig) -> Result<Schedule, ScheduleError> {
    check(app, team, &config).await?;
    if app.store.schedules(team, limits::SCHEDULES).await?.len() >= limits::SCHEDULES {
        return Err(ScheduleError::TooMany);
    }
    let schedule = made(app, team, by, config)?;
    match app.store.create_schedule(&schedule).await? {
        Written::Now => {}
        Written::Lost => return Err(ScheduleError::Lost),
    }
    set_timer(app, &schedule).await;
    Ok(schedule)
}

/// A new one, to be stored.
pub(crate) fn made(app: &App, team: &TeamId, by: &str, config: ScheduleConfig) -> Result<Schedule, InvalidField> {
    let now = app.now();
    let schedule = Schedule {
        id: ScheduleId::new(app.random_bits()),
        team: team.clone(),
        config,
        created_by: by.to_owned(),
        updated_by: by.to_owned(),
        created_at: now,
        last_updated: now,
        last_planned: None,
        next: None,
        last_error: None,
        history: Vec::new(),
    };
    still_to_come(schedule.planned_from(now))
}

/// The same after `change`. It counts from now.
pub(crate) fn changed(
    app: &App,
    old: &Schedule,
    by: &str,
    change: impl Fn(&mut Schedule),
) -> Result<Schedule, InvalidField> {
    let now = app.now();
    let mut new = Schedule { updated_by: by.to_owned(), last_updated: now, ..old.clone() };
    change(&mut new);
    still_to_come(new.planned_from(now))
}

/// Every schedule of the team, by name.
pub async fn list(app: &App, team: &TeamId) -> Result<Vec<Schedule>, StoreError> {
    let all = app.store.schedules(team, limits::SCHEDULES).await?;
    let mut all: Vec<Schedule> = all.into_iter().map(|saved| saved.schedule).collect();
    all.sort_by(|a, b| (&a.config.name, &a.id).cmp(&(&b.config.name, &b.id)));
    Ok(all)
}

/// By id, or by a name that no other schedule of the team has.
pub async fn find(app: &App, team: &TeamId, id_or_name: &str) -> Result<Schedule, ScheduleError> {
    Ok(read(app, team, id_or_name).await?.schedule)
}

/// When it will be due next, at most `most` times; if it is paused, when it would be.
pub fn next_times(app: &App, schedule: &Schedule, most: usize) -> Vec<Timestamp> {
    schedule.times_after(app.now()).take(most).collect()
}

/// Replaces what a user sets. It counts from now: what was due and is not decided on is left out.
pub async fn update(
    app: &App,
    team: &TeamId,
    id_or_name: &str,
    by: &str,
    config: ScheduleConfig,
) -> Result<Schedule, ScheduleError> {
    check(app, team, &config).await?;
    change(app, team, id_or_name, by, |schedule| schedule.config = config.clone()).await
}

/// Pauses or resumes it.
pub async fn enable(
    app: &App,
    team: &TeamId,
    id_or_name: &str,
    by: &str,
    enabled: bool,
) -> Result<Schedule, ScheduleError> {
    let found = read(app, team, id_or_name).await?;
    if found.schedule.config.enabled == enabled {
        return Ok(found.schedule);
    }
    change(app, team, found.schedule.id.as_str(), by, |schedule| schedule.config.enabled = enabled).await
}

pub async fn delete(app: &App, team: &TeamId, id_or_name: &str) -> Result<(), ScheduleError> {
    loop {
        let found = read(app, team, id_or_name).await?;
        if app.store.delete_schedule(&found).await? == Written::Now {
            return Ok(());
        }
    }
}

/// A run of it at once, whatever is planned.
pub async fn run_now(app: &App, team: &TeamId, id_or_name: &str, by: &str) -> Result<AcceptedRun, ScheduleError> {
    let mut found = read(app, team, id_or_name).await?;
    let run = NewRun { creator: by.to_owned(), ..new_run(&found.schedule, None) };
    let accepted = accept(app, run).await?;
    let occurrence = Occurrence {
        planned_at: None,
        decided_at: app.now(),
        run_id: Some(accepted.run_id),
        error: None,
        left_out: None,
    };
    loop {
        let mut new = found.schedule.clone();
        new.note(occurrence.clone());
        if app.store.update_schedule(&found, &new).await? == Written::Now {
            return Ok(accepted);
        }
        match app.store.schedule(team, &found.schedule.id).await? {
            Some(again) => found = again,
            None => return Ok(accepted),
        }
    }
}

/// A schedule is due: its runs are asked for, and its next time is planned.
pub(crate) async fn fire(app: &App, team: &TeamId, alarm: &Alarm, id: &ScheduleId) -> Result<(), StoreError> {
    loop {
        let found = app.store.schedule(team, id).await?;
        // One that was changed meanwhile has an alarm of its own for its next time.
        let Some(found) = found.filter(|found| found.schedule.next_at() == Some(alarm.at)) else {
            return app.store.drop_alarm(team, alarm).await;
        };
        let schedule = &found.schedule;
        let now = app.now();
        let decision = schedule.decide(now);
        let mut left_out = decision.skipped.map(|skipped| skipped.count);
        let mut occurrences = Vec::new();
        for planned_at in &decision.fire {
            let mut occurrence = Occurrence {
                planned_at: Some(*planned_at),
                decided_at: now,
                run_id: None,
                error: None,
                left_out: left_out.take(),
            };
            match accept(app, new_run(schedule, Some(*planned_at))).await {
                Ok(accepted) => occurrence.run_id = Some(accepted.run_id),
                Err(AcceptError::Store(err)) => return Err(err),
                Err(err) => {
                    tracing::warn!(schedule.id = %id, error = %chain(&err), "a schedule could not start its run");
                    occurrence.error = Some(text::shorten(&text::one_line(&err.to_string()), limits::STATUS_CHARS));
                }
            }
            occurrences.push(occurrence);
        }
        if let Some(left_out) = left_out {
            tracing::info!(schedule.id = %id, left_out, "times that were missed are left out");
        }
        let new = schedule.decided(&decision, occurrences);
        if app.store.update_schedule(&found, &new).await? == Written::Now {
            set_timer(app, &new).await;
            return Ok(());
        }
    }
}

fn new_run(schedule: &Schedule, planned_at: Option<Timestamp>) -> NewRun {
    let Schedule { id, team, config, created_by, .. } = schedule;
    let mut template = config.template.clone();
    // The label by which runs are grouped, unless the template has one of its own.
    template.agent_config.entry("name").or_insert_with(|| config.name.clone().into());
    template.scheduling = schedule.scheduling(planned_at);
    let snapshot = ScheduleSnapshot {
        id: id.clone(),
        name: config.name.clone(),
        expression: config.timetable.to_string(),
        planned_at,
    };
    // A header has no line ends, so that no key of an API client can be one of these. What is asked for may change between
    // two tries: it is the time that has one run.
    let key = planned_at.map(|at| Idempotency { key: format!("schedule\n{id}\n{at}"), body_hash: String::new() });
    NewRun {
        idempotency: key,
        lane: Lane::Schedule(id.clone()),
        schedule: Some(snapshot),
        ..NewRun::from_template(template, team.clone(), created_by.clone(), RunSource::ScheduledAgent)
    }
}

async fn change(
    app: &App,
    team: &TeamId,
    id_or_name: &str,
    by: &str,
    change: impl Fn(&mut Schedule),
) -> Result<Schedule, ScheduleError> {
    let mut found = read(app, team, id_or_name).await?;
    loop {
        let new = changed(app, &found.schedule, by, &change)?;
        if app.store.update_schedule(&found, &new).await? == Written::Now {
            set_timer(app, &new).await;
            return Ok(new);
        }
        // It was due in between, or somebody else changed it: the last word counts.
        let unknown = || ScheduleError::Unknown(found.schedule.id.to_string());
        found = app.store.schedule(team, &found.schedule.id).await?.ok_or_else(unknown)?;
    }
}

async fn read(app: &App, team: &TeamId, id_or_name: &str) -> Result<SavedSchedule, ScheduleError> {
    if let Ok(id) = id_or_name.parse::<ScheduleId>()
        && let Some(found) = app.store.schedule(team, &id).await?
    {
        return Ok(found);
    }
    let all = app.store.schedules(team, limits::SCHEDULES).await?;
    let mut named = all.into_iter().filter(|saved| saved.schedule.config.name == id_or_name);
    let shortened = || id_or_name.chars().take(80).collect();
    match (named.next(), named.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(ScheduleError::Ambiguous(shortened())),
        (None, _) => Err(ScheduleError::Unknown(shortened())),
    }
}

async fn check(app: &App, team: &TeamId, config: &ScheduleConfig) -> Result<(), ScheduleError> {
    config.check()?;
    needs::check(app, team, config.needs()).await
}

/// A schedule that would never be due is a mistake, and most often one of the year or the zone.
fn still_to_come(schedule: Schedule) -> Result<Schedule, InvalidField> {
    if schedule.config.enabled && schedule.next.is_none() {
        let reason = "is over: there is no such time from now on, and before ends_at if that is set";
        return Err(InvalidField::new("cron_schedule", reason));
    }
    Ok(schedule)
}

/// If it is lost, the sweep finds the alarm when it is due.
pub(crate) async fn set_timer(app: &App, schedule: &Schedule) {
    let Some(at) = schedule.next_at() else { return };
    if let Err(err) = app.timer.send_at(at, QueueMessage::Tick { team: schedule.team.clone() }).await {
        // Functions that face the outside have no timer: the sweep sets one, a minute before.
        tracing::debug!(schedule.id = %schedule.id, error = %chain(&err), "no timer; the sweep will set one");
    }
}
