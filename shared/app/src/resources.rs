//! Runners, environments and agents: create, change, delete. What is refused says which field and why.

use std::str::FromStr;

use jiff::Timestamp;
use ozma_domain::definition::{Kind, Need};
use ozma_domain::environment::{Environment, EnvironmentConfig};
use ozma_domain::id::{AgentId, EnvironmentId, RunnerId, TeamId};
use ozma_domain::named_agent::{NamedAgent, NamedAgentConfig};
use ozma_domain::runner::{Runner, RunnerConfig};
use ozma_domain::template::InvalidField;
use ozma_domain::text::chain;
use ozma_store::{Resource, Saved, StoreError, Stored, Written};

use crate::App;
use crate::needs::{self, Missing};
use crate::ports::{PortError, Prepared};

#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    #[error("there is no {kind} {name}")]
    Unknown { kind: Kind, name: String },
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("another {kind} is named \"{name}\" already; choose another name or update that one")]
    NameTaken { kind: Kind, name: String },
    #[error("the {kind} was changed or deleted at the same moment; look at it again")]
    Lost { kind: Kind },
    #[error("it could not be stored")]
    Store(#[from] StoreError),
    #[error("the image could not be made ready")]
    Port(#[from] PortError),
}

/// A resource, as users set it.
pub trait Defined: Resource<Id: FromStr> {
    type Config: Clone + PartialEq;

    fn made(uid: Self::Id, team: TeamId, config: Self::Config, now: Timestamp) -> Self;
    fn new_id(random: [u8; 16]) -> Self::Id;
    fn config(&self) -> &Self::Config;
    #[must_use]
    fn changed(&self, config: Self::Config, now: Timestamp) -> Self;
    fn check(config: &Self::Config) -> Result<(), InvalidField>;
    fn needs(config: &Self::Config) -> Vec<Need<'_>>;
    /// The image that it has made ready before it can be used.
    fn image(config: &Self::Config) -> Option<&str>;
}

macro_rules! defined {
    ($($Resource:ident, $Id:ident, $Config:ident, $config:pat => $image:expr;)+) => {$(
        impl Defined for $Resource {
            type Config = $Config;

            fn made(uid: $Id, team: TeamId, config: $Config, now: Timestamp) -> Self {
                Self { uid, team, config, created_at: now, last_updated: now }
            }

            fn new_id(random: [u8; 16]) -> $Id {
                $Id::new(random)
            }

            fn config(&self) -> &$Config {
                &self.config
            }

            fn changed(&self, config: $Config, now: Timestamp) -> Self {
                Self { config, last_updated: now, ..self.clone() }
            }

            fn check(config: &$Config) -> Result<(), InvalidField> {
                config.check()
            }

            fn needs(config: &$Config) -> Vec<Need<'_>> {
                config.needs()
            }

            fn image($config: &$Config) -> Option<&str> {
                $image
            }
        }
    )+};
}

defined! {
    Runner, RunnerId, RunnerConfig, config => config.docker_image.as_deref();
    Environment, EnvironmentId, EnvironmentConfig, config => config.docker_image.as_deref();
    NamedAgent, AgentId, NamedAgentConfig, _ => None;
}

pub async fn create<R: Defined>(app: &App, team: &TeamId, config: R::Config) -> Result<R, ResourceError> {
    check::<R>(app, team, &config).await?;
    prepare(app, team, None, R::image(&config)).await?;
    let new = R::made(R::new_id(app.random_bits()), team.clone(), config, app.now());
    saved(app.store.create_resource(&new).await?, new)
}

/// Every one of that kind that the team has, by name.
pub async fn list<R: Resource>(app: &App, team: &TeamId) -> Result<Vec<Stored<R>>, StoreError> {
    let mut all = app.store.resources::<R>(team).await?;
    all.sort_by(|a, b| a.value.name().cmp(b.value.name()));
    Ok(all)
}

/// By id or, where the text is no id of one there is, by name.
pub async fn find<R: Defined>(app: &App, team: &TeamId, id_or_name: &str) -> Result<Stored<R>, ResourceError> {
    let unknown = || ResourceError::Unknown { kind: R::KIND, name: id_or_name.chars().take(80).collect() };
    if let Ok(uid) = id_or_name.parse::<R::Id>()
        && let Some(found) = app.store.resource::<R>(team, &uid).await?
    {
        return Ok(found);
    }
    // Names are at most this long, and a key of a row is at most a KB.
    if id_or_name.is_empty() || id_or_name.len() > 400 {
        return Err(unknown());
    }
    app.store.resource_named::<R>(team, id_or_name).await?.ok_or_else(unknown)
}

/// Lost if it is not as it was read any more.
pub async fn update<R: Defined>(app: &App, old: &Stored<R>, config: R::Config) -> Result<R, ResourceError> {
    let team = old.value.team();
    check::<R>(app, team, &config).await?;
    let before = R::image(old.value.config());
    prepare(app, team, before, R::image(&config)).await?;
    let new = old.value.changed(config, app.now());
    let saved = saved(app.store.update_resource(old, &new).await?, new)?;
    if R::image(saved.config()) != before {
        retire(app, team, before).await;
    }
    Ok(saved)
}

/// Lost if it is not as it was read any more.
pub async fn delete<R: Defined>(app: &App, old: &Stored<R>) -> Result<(), ResourceError> {
    match app.store.delete_resource(old).await? {
        Written::Now => {
            retire(app, old.value.team(), R::image(old.value.config())).await;
            Ok(())
        }
        Written::Lost => Err(ResourceError::Lost { kind: R::KIND }),
    }
}

async fn check<R: Defined>(app: &App, team: &TeamId, config: &R::Config) -> Result<(), ResourceError> {
    R::check(config)?;
    needs::check(app, team, R::needs(config)).await
}

/// Before what names the image is stored, so that what is stored can start. An image that is made ready for one that is then
/// refused costs nothing.
pub(crate) async fn prepare(
    app: &App,
    team: &TeamId,
    before: Option<&str>,
    image: Option<&str>,
) -> Result<(), ResourceError> {
    let Some(image) = image.filter(|image| before != Some(*image)) else { return Ok(()) };
    match app.launcher.prepare(team, image).await? {
        Prepared::Ready => Ok(()),
        Prepared::Refused { reason } => Err(InvalidField::new("docker_image", reason).into()),
    }
}

/// Clears away what was made ready for an image that nothing of the team names any more. What is left over does no harm: it
/// is found again by the next that names the image.
pub(crate) async fn retire(app: &App, team: &TeamId, image: Option<&str>) {
    async fn is_named<R: Defined>(app: &App, team: &TeamId, image: &str) -> Result<bool, StoreError> {
        let all = app.store.resources::<R>(team).await?;
        Ok(all.iter().any(|stored| R::image(stored.value.config()) == Some(image)))
    }
    let Some(image) = image else { return };
    let retired = async {
        if is_named::<Environment>(app, team, image).await? || is_named::<Runner>(app, team, image).await? {
            return Ok(());
        }
        Ok::<(), ResourceError>(app.launcher.retire(team, image).await?)
    };
    if let Err(err) = retired.await {
        tracing::warn!(%team, image, error = %chain(&err), "an image's task definition was left over");
    }
}

fn saved<R: Defined>(saved: Saved, resource: R) -> Result<R, ResourceError> {
    match saved {
        Saved::Now => Ok(resource),
        Saved::NameTaken => Err(ResourceError::NameTaken { kind: R::KIND, name: resource.name().to_owned() }),
        Saved::Lost => Err(ResourceError::Lost { kind: R::KIND }),
    }
}
