//! Environments: create, change, delete. What is refused says which field and why.

use ozma_domain::environment::{Environment, EnvironmentConfig, InvalidEnvironment};
use ozma_domain::id::{EnvironmentId, TeamId};
use ozma_domain::text::chain;
use ozma_store::{Saved, StoreError, Written};

use crate::App;
use crate::ports::{PortError, Prepared};

#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    #[error("there is no environment {0}")]
    Unknown(String),
    #[error(transparent)]
    Invalid(#[from] InvalidEnvironment),
    #[error("there is an environment named \"{0}\" already; choose another name or update that one")]
    NameTaken(String),
    #[error("the environment was changed or deleted at the same moment; look at it again")]
    Lost,
    #[error("the environment could not be stored")]
    Store(#[from] StoreError),
    #[error("the image could not be made ready")]
    Port(#[from] PortError),
}

pub async fn create(app: &App, team: &TeamId, config: EnvironmentConfig) -> Result<Environment, EnvironmentError> {
    config.check()?;
    prepare(app, team, None, &config).await?;
    let environment = made(app, team, EnvironmentId::new(app.random_bits()), config);
    saved(app.store.create_environment(&environment).await?, environment)
}

/// A new one, to be stored.
pub(crate) fn made(app: &App, team: &TeamId, uid: EnvironmentId, config: EnvironmentConfig) -> Environment {
    let now = app.now();
    Environment { uid, team: team.clone(), config, created_at: now, last_updated: now }
}

/// By id or, where the text is no id of an environment there is, by name.
pub async fn find(app: &App, team: &TeamId, id_or_name: &str) -> Result<Environment, EnvironmentError> {
    let unknown = || EnvironmentError::Unknown(id_or_name.chars().take(80).collect());
    if let Ok(uid) = id_or_name.parse::<EnvironmentId>()
        && let Some(saved) = app.store.environment(team, &uid).await?
    {
        return Ok(saved.environment);
    }
    // Names are at most this long, and a key of a row is at most a KB.
    if id_or_name.is_empty() || id_or_name.len() > 400 {
        return Err(unknown());
    }
    let uid = app.store.environment_named(team, id_or_name).await?.ok_or_else(unknown)?;
    let saved = app.store.environment(team, &uid).await?.ok_or_else(unknown)?;
    Ok(saved.environment)
}

pub async fn update(
    app: &App,
    team: &TeamId,
    uid: &EnvironmentId,
    change: impl FnOnce(EnvironmentConfig) -> EnvironmentConfig,
) -> Result<Environment, EnvironmentError> {
    let old = app.store.environment(team, uid).await?.ok_or_else(|| EnvironmentError::Unknown(uid.to_string()))?;
    let config = change(old.environment.config.clone());
    config.check()?;
    prepare(app, team, old.environment.config.docker_image.as_deref(), &config).await?;
    let new = Environment { config, last_updated: app.now(), ..old.environment.clone() };
    let saved = saved(app.store.update_environment(&old, &new).await?, new)?;
    if saved.config.docker_image != old.environment.config.docker_image {
        retire(app, team, old.environment.config.docker_image.as_deref()).await;
    }
    Ok(saved)
}

pub async fn delete(app: &App, team: &TeamId, uid: &EnvironmentId) -> Result<(), EnvironmentError> {
    let old = app.store.environment(team, uid).await?.ok_or_else(|| EnvironmentError::Unknown(uid.to_string()))?;
    match app.store.delete_environment(&old).await? {
        Written::Now => {
            retire(app, team, old.environment.config.docker_image.as_deref()).await;
            Ok(())
        }
        Written::Lost => Err(EnvironmentError::Lost),
    }
}

/// Before the environment is stored, so that one that is stored can start. An image that is made ready for an
/// environment that is then refused costs nothing.
pub(crate) async fn prepare(
    app: &App,
    team: &TeamId,
    before: Option<&str>,
    config: &EnvironmentConfig,
) -> Result<(), EnvironmentError> {
    let Some(image) = config.docker_image.as_deref().filter(|image| before != Some(*image)) else { return Ok(()) };
    match app.launcher.prepare(team, image).await? {
        Prepared::Ready => Ok(()),
        Prepared::Refused { reason } => Err(InvalidEnvironment { field: "docker_image", reason }.into()),
    }
}

/// Clears away what was made ready for an image that no environment of the team uses any more. What is left over does
/// no harm: it is found again by the next environment with that image.
pub(crate) async fn retire(app: &App, team: &TeamId, image: Option<&str>) {
    let Some(image) = image else { return };
    let retired = async {
        let environments = app.store.environments(team).await?;
        if environments.iter().any(|saved| saved.environment.config.docker_image.as_deref() == Some(image)) {
            return Ok(());
        }
        Ok::<(), EnvironmentError>(app.launcher.retire(team, image).await?)
    };
    if let Err(err) = retired.await {
        tracing::warn!(%team, image, error = %chain(&err), "an image's task definition was left over");
    }
}

fn saved(saved: Saved, environment: Environment) -> Result<Environment, EnvironmentError> {
    match saved {
        Saved::Now => Ok(environment),
        Saved::NameTaken => Err(EnvironmentError::NameTaken(environment.config.name)),
        Saved::Lost => Err(EnvironmentError::Lost),
    }
}
