//! Whether others are there that something names.

use std::str::FromStr;

use ozma_domain::definition::{Kind, Need};
use ozma_domain::environment::Environment;
use ozma_domain::id::TeamId;
use ozma_domain::named_agent::NamedAgent;
use ozma_domain::runner::Runner;
use ozma_store::{Resource, StoreError};

use crate::App;

/// Something names another that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: there is no {kind} {id}; `oz {kind} list` shows those there are")]
pub struct Missing {
    pub field: String,
    pub kind: Kind,
    pub id: String,
}

impl From<Need<'_>> for Missing {
    fn from(Need { field, kind, id }: Need<'_>) -> Self {
        Self { field, kind, id: id.to_owned() }
    }
}

/// Whether the team has all of those.
pub(crate) async fn check<E>(app: &App, team: &TeamId, needs: Vec<Need<'_>>) -> Result<(), E>
where
    E: From<Missing> + From<StoreError>,
{
    async fn is_there<R: Resource>(app: &App, team: &TeamId, id: &str) -> Result<bool, StoreError>
    where
        R::Id: FromStr,
    {
        let Ok(id) = id.parse::<R::Id>() else { return Ok(false) };
        Ok(app.store.resource::<R>(team, &id).await?.is_some())
    }
    for need in needs {
        let is_there = match need.kind {
            Kind::Runner => is_there::<Runner>(app, team, need.id).await?,
            Kind::Environment => is_there::<Environment>(app, team, need.id).await?,
            Kind::Agent => is_there::<NamedAgent>(app, team, need.id).await?,
            Kind::Webhook => match need.id.parse() {
                Ok(id) => app.store.webhook(&id).await?.is_some_and(|saved| saved.webhook.team == *team),
                Err(_) => false,
            },
            Kind::Automation | Kind::Schedule | Kind::Subscription => false,
        };
        if !is_there {
            return Err(Missing::from(need).into());
        }
    }
    Ok(())
}
