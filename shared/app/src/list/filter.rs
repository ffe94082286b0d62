//! Which runs a list shows.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use ozma_domain::id::{RunId, TeamId};
use ozma_domain::run::{Prompt, RunRequest, RunSource};
use ozma_domain::state::RunState;
use ozma_store::{RunPair, StoreError};
use serde_json::{Map, Value};

use super::source::{EnvironmentFilter, ExecutionLocation};
use crate::App;

/// All that is set must match. The fields are the API's.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these; none means all.
    pub states: Vec<RunState>,
    pub name: Option<String>,
    pub model_id: Option<String>,
    pub creator: Option<String>,
    pub executor: Option<String>,
    pub source: Option<RunSource>,
    pub execution_location: Option<ExecutionLocation>,
    pub created_after: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
    pub updated_after: Option<Timestamp>,
    pub environment: Option<EnvironmentFilter>,
    pub skill: Option<String>,
    pub ancestor: Option<RunId>,
    /// Words that all occur in title, prompt or skill, in any case.
    pub query: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Only those that made one.
    pub pull_request: bool,
    /// Asked for something that no run here has: a schedule, another artifact, a factory. Nothing matches.
    pub impossible: bool,
}

impl Filter {
    /// All but the ancestor, for which others must be read.
    pub(super) fn matches(&self, pair: &RunPair) -> bool {
        let RunPair { request, run } = pair;
        let config = |name| text_of(&request.agent_config, name);
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let environment = match &self.environment {
            None => true,
            Some(EnvironmentFilter::None) => request.environment.is_none(),
            Some(EnvironmentFilter::Id(uid)) => request.environment.as_ref() == Some(uid),
        };
        !self.impossible
            && (self.states.is_empty() || self.states.contains(&run.state))
            && is(&self.name, config("name"))
            && is(&self.model_id, config("model_id"))
            && is(&self.creator, &request.creator)
            && is(&self.executor, request.agent.as_ref().map_or(&request.creator, |agent| agent.uid.as_str()))
            && self.source.is_none_or(|source| source == request.source)
            && self.execution_location.is_none_or(|location| location == ExecutionLocation::Remote)
            && self.created_after.is_none_or(|at| request.created_at > at)
            && self.created_before.is_none_or(|at| request.created_at < at)
            && self.updated_after.is_none_or(|at| run.updated_at > at)
            && environment
            && is(&self.skill, config("skill_spec"))
            && self.query.as_deref().is_none_or(|query| mentions(request, query))
            && (!self.pull_request || !run.pull_requests.is_empty())
            && self.metadata.iter().all(|(key, value)| request.metadata.get(key) == Some(value))
    }
}

/// A text of an agent's configuration, or nothing.
pub(super) fn text_of<'a>(config: &'a Map<String, Value>, name: &str) -> &'a str {
    config.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn mentions(request: &RunRequest, query: &str) -> bool {
    let prompt = match &request.prompt {
        Prompt::Inline(prompt) => prompt,
        Prompt::Archived { preview, .. } => preview,
    };
    let text = format!("{}\n{prompt}\n{}", request.title, text_of(&request.agent_config, "skill_spec")).to_lowercase();
    query.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

/// Parents that were looked up already.
#[derive(Default)]
pub(super) struct Family(HashMap<RunId, Option<RunId>>);

impl Family {
    /// Whether `pair` is a child, or a child's child, of `ancestor`.
    pub(super) async fn descends(
        &mut self,
        app: &App,
        team: &TeamId,
        pair: &RunPair,
        ancestor: Option<RunId>,
    ) -> Result<bool, StoreError> {
        let Some(ancestor) = ancestor else { return Ok(true) };
        let mut parent = pair.request.parent_run_id;
        // A run is accepted after its parent, so the walk ends.
        while let Some(run) = parent {
            if run == ancestor {
                return Ok(true);
            }
            parent = match self.0.get(&run) {
                Some(known) => *known,
                None => {
                    let found = app.store.request(team, run).await?.and_then(|request| request.parent_run_id);
                    self.0.insert(run, found);
                    found
                }
            };
        }
        Ok(false)
    }
}
