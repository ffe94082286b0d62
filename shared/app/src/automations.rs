//! Automations: create, change, rotate, delete. What is refused says which field and why.

use jiff::Timestamp;
use ozma_domain::automation::{Automation, AutomationConfig, Failures};
use ozma_domain::id::{AutomationId, RunId, TeamId};
use ozma_domain::limits;
use ozma_domain::template::InvalidField;
use ozma_store::{Saved, SavedAutomation, StoreError, Written};

use crate::App;
use crate::metrics;
use crate::needs::{self, Missing};

#[derive(Debug, thiserror::Error)]
pub enum AutomationError {
    #[error("there is no automation {0}")]
    Unknown(String),
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("there is an automation named \"{0}\" already; choose another name or update that one")]
    NameTaken(String),
    #[error("the team has {} automations already; delete some that are not needed any more", limits::AUTOMATIONS)]
    TooMany,
    #[error("the automation was changed or deleted at the same moment; look at it again")]
    Lost,
    #[error("the automation could not be stored")]
    Store(#[from] StoreError),
}

pub async fn create(app: &App, team: &TeamId, config: AutomationConfig) -> Result<Automation, AutomationError> {
    check(app, team, &config).await?;
    if app.store.automation_count(team, limits::AUTOMATIONS).await? >= limits::AUTOMATIONS {
        return Err(AutomationError::TooMany);
    }
    let automation = made(app, team, config);
    saved(app.store.create_automation(&automation).await?, automation)
}

/// A new one, to be stored.
pub(crate) fn made(app: &App, team: &TeamId, config: AutomationConfig) -> Automation {
    let now = app.now();
    Automation {
        id: AutomationId::new(app.random_bits()),
        team: team.clone(),
        config,
        secret_generation: 1,
        rotated_at: None,
        created_at: now,
        last_updated: now,
        failures: Failures::default(),
        paused_because: None,
    }
}

/// Every automation of the team, by name.
pub async fn list(app: &App, team: &TeamId) -> Result<Vec<Automation>, AutomationError> {
    let all = app.store.automations(team).await?;
    Ok(all.into_iter().map(|saved| saved.automation).collect())
}

/// By id or, where the text is no id of an automation there is, by name.
pub async fn find(app: &App, team: &TeamId, id_or_name: &str) -> Result<Automation, AutomationError> {
    Ok(read(app, team, id_or_name).await?.automation)
}

/// Replaces what a user sets. The secret stays.
pub async fn update(
    app: &App,
    team: &TeamId,
    id_or_name: &str,
    config: AutomationConfig,
) -> Result<Automation, AutomationError> {
    check(app, team, &config).await?;
    let old = read(app, team, id_or_name).await?;
    let new = old.automation.updated(config, app.now());
    saved(app.store.update_automation(&old, &new).await?, new)
}

/// Gives it a new secret. The one before works for a day more.
pub async fn rotate(app: &App, team: &TeamId, id_or_name: &str) -> Result<Automation, AutomationError> {
    let old = read(app, team, id_or_name).await?;
    let new = old.automation.rotated(app.now());
    saved(app.store.update_automation(&old, &new).await?, new)
}

pub async fn delete(app: &App, team: &TeamId, id_or_name: &str) -> Result<(), AutomationError> {
    let old = read(app, team, id_or_name).await?;
    match app.store.delete_automation(&old).await? {
        Written::Now => Ok(()),
        Written::Lost => Err(AutomationError::Lost),
    }
}

/// A run of it has ended. Too many failures in a row pause it; told again, it is as if it had been told once.
pub(crate) async fn after_run(
    app: &App,
    id: &AutomationId,
    run: RunId,
    succeeded: bool,
    at: Timestamp,
) -> Result<(), StoreError> {
    loop {
        let Some(old) = app.store.automation(id).await? else { return Ok(()) };
        let Some(new) = old.automation.after_run(run, succeeded, at) else { return Ok(()) };
        if app.store.update_automation(&old, &new).await? == Saved::Now {
            if let Some(reason) = &new.paused_because {
                tracing::warn!(automation.id = %id, "an automation was paused: {reason}");
                metrics::count("AutomationsPaused", 1);
            }
            return Ok(());
        }
    }
}

async fn read(app: &App, team: &TeamId, id_or_name: &str) -> Result<SavedAutomation, AutomationError> {
    let unknown = || AutomationError::Unknown(id_or_name.chars().take(80).collect());
    let of_team = |found: Option<SavedAutomation>| found.filter(|saved| saved.automation.team == *team);
    if let Ok(id) = id_or_name.parse::<AutomationId>()
        && let Some(saved) = of_team(app.store.automation(&id).await?)
    {
        return Ok(saved);
    }
    // Names are at most this long, and a key of a row is at most a KB.
    if id_or_name.is_empty() || id_or_name.len() > 400 {
        return Err(unknown());
    }
    let id = app.store.automation_named(team, id_or_name).await?.ok_or_else(unknown)?;
    of_team(app.store.automation(&id).await?).ok_or_else(unknown)
}

async fn check(app: &App, team: &TeamId, config: &AutomationConfig) -> Result<(), AutomationError> {
    config.check()?;
    needs::check(app, team, config.needs()).await
}

fn saved(saved: Saved, automation: Automation) -> Result<Automation, AutomationError> {
    match saved {
        Saved::Now => Ok(automation),
        Saved::NameTaken => Err(AutomationError::NameTaken(automation.config.name)),
        Saved::Lost => Err(AutomationError::Lost),
    }
}
