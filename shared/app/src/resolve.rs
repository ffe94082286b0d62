//! Who carries out a run, where, and on what: what it names itself, then what its agent names, then what its environment
//! names. Decided once, when it is accepted.

use ozma_domain::definition::Need;
use ozma_domain::environment::Environment;
use ozma_domain::id::{EnvironmentId, TeamId};
use ozma_domain::named_agent::{AgentSnapshot, NamedAgent};
use ozma_domain::runner::{Runner, RunnerSnapshot, Shape};
use ozma_store::Resource;
use serde_json::{Map, Value};

use crate::App;
use crate::accept::{AcceptError, NewRun};
use crate::needs::Missing;

/// What a run remembers of them.
pub(crate) struct Resolved {
    pub(crate) agent: Option<AgentSnapshot>,
    pub(crate) environment: Option<EnvironmentId>,
    pub(crate) runner: Option<RunnerSnapshot>,
    pub(crate) shape: Option<Shape>,
    /// With the ids of those, and what the agent adds.
    pub(crate) agent_config: Map<String, Value>,
}

pub(crate) async fn resolve(app: &App, new: &NewRun) -> Result<Resolved, AcceptError> {
    let team = &new.team;
    let mut agent_config = new.agent_config.clone();
    let agent: Option<NamedAgent> = find(app, team, "agent_identity_uid", new.agent.as_ref()).await?;
    let (mut of_agent, mut from_agent) = (None, None);
    if let Some(agent) = &agent {
        agent.complete(&mut agent_config);
        (of_agent, from_agent) = (agent.config.environment.clone(), agent.config.runner.clone());
    }
    let uid = new.environment.clone().or(of_agent);
    let environment: Option<Environment> = find(app, team, "config.environment_id", uid.as_ref()).await?;
    let from_environment = environment.as_ref().and_then(|environment| environment.config.runner.clone());
    let uid = new.runner.clone().or(from_agent).or(from_environment);
    let runner: Option<Runner> = find(app, team, "config.runner_id", uid.as_ref()).await?;
    for (member, uid) in [
        ("environment_id", environment.as_ref().map(|environment| environment.uid.as_str())),
        ("runner_id", runner.as_ref().map(|runner| runner.uid.as_str())),
    ] {
        if let Some(uid) = uid {
            agent_config.insert(member.to_owned(), uid.into());
        }
    }
    Ok(Resolved {
        agent: agent.as_ref().map(NamedAgent::snapshot),
        environment: environment.map(|environment| environment.uid),
        shape: runner.as_ref().and_then(|runner| runner.config.shape),
        runner: runner.as_ref().map(Runner::snapshot),
        agent_config,
    })
}

async fn find<R: Resource>(
    app: &App,
    team: &TeamId,
    field: &str,
    uid: Option<&R::Id>,
) -> Result<Option<R>, AcceptError> {
    let Some(uid) = uid else { return Ok(None) };
    match app.store.resource::<R>(team, uid).await? {
        Some(stored) => Ok(Some(stored.value)),
        None => Err(Missing::from(Need::new(field, R::KIND, uid.as_ref())).into()),
    }
}
