//! Teams: what they set for themselves; pausing them, and stopping everything.

use ozma_domain::id::TeamId;
use ozma_domain::ledger::{TEAM_ACCOUNT, Used, month};
use ozma_domain::team_settings::TeamSettings;
use ozma_domain::template::InvalidField;
use ozma_store::{Pause, StoreError, TeamRow, Written};

use crate::App;
use crate::accept::send_tick;
use crate::cancel::{CancelError, cancel};

#[derive(Debug, thiserror::Error)]
pub enum TeamError {
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    #[error("the team could not be changed")]
    Store(#[from] StoreError),
}

/// What becomes of the agents at work when everything stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// They finish.
    Drain,
    /// Their runs are cancelled.
    Kill,
}

/// What a stop did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    pub teams: usize,
    /// Agents that were at work.
    pub live: usize,
    /// Of those, how many were cancelled.
    pub cancelled: usize,
}

pub async fn get(app: &App, team: &TeamId) -> Result<TeamRow, StoreError> {
    app.team(team).await
}

/// What the team has used of this month's budget, if it has one.
pub async fn used(app: &App, row: &TeamRow) -> Result<Option<(String, Used)>, StoreError> {
    if row.settings.budget.is_none() {
        return Ok(None);
    }
    let month = month(app.now());
    let used = app.store.account(&row.team, &month, TEAM_ACCOUNT).await?;
    Ok(Some((month, used)))
}

/// Replaces what the team set for itself.
pub async fn set(app: &App, team: &TeamId, settings: &TeamSettings) -> Result<TeamRow, TeamError> {
    settings.check()?;
    let row = app.team(team).await?;
    if app.store.put_settings(team, settings).await? == Written::Lost {
        app.store.put_team(&TeamRow { settings: settings.clone(), ..row }).await?;
    }
    Ok(app.team(team).await?)
}

/// No run of the team starts until it is resumed. Those at work go on, and what is asked for waits.
pub async fn pause(app: &App, team: &TeamId, by: &str) -> Result<TeamRow, StoreError> {
    let pause = Pause { by: by.to_owned(), at: app.now() };
    if app.store.pause(team, Some(&pause)).await? == Written::Lost {
        let row = app.team(team).await?;
        app.store.put_team(&TeamRow { paused: Some(pause), ..row }).await?;
    }
    tracing::warn!(team = %team, by, "paused");
    app.team(team).await
}

pub async fn resume(app: &App, team: &TeamId) -> Result<TeamRow, StoreError> {
    let (Written::Now | Written::Lost) = app.store.pause(team, None).await?;
    tracing::warn!(team = %team, "resumed");
    send_tick(app, team).await;
    app.team(team).await
}

/// Pauses every team of the installation; what is queued waits.
pub async fn stop(app: &App, how: Stop, by: &str) -> Result<Stopped, StoreError> {
    let teams = app.store.teams().await?;
    // Nobody starts any more before anybody is cancelled.
    for row in &teams {
        pause(app, &row.team, by).await?;
    }
    let mut stopped = Stopped { teams: teams.len(), ..Stopped::default() };
    for row in &teams {
        for slot in app.store.taken_slots(&row.team).await? {
            stopped.live += 1;
            if how == Stop::Kill {
                match cancel(app, &row.team, slot.run_id, &format!("{by}, who stopped everything")).await {
                    Ok(()) => stopped.cancelled += 1,
                    Err(CancelError::Ended(_) | CancelError::Unknown(_)) => {}
                    Err(CancelError::Store(err)) => return Err(err),
                }
            }
        }
    }
    Ok(stopped)
}

/// Resumes every team.
pub async fn resume_all(app: &App) -> Result<usize, StoreError> {
    let teams = app.store.teams().await?;
    for row in &teams {
        resume(app, &row.team).await?;
    }
    Ok(teams.len())
}
