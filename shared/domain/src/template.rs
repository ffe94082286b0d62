//! What a run is made from, stored to be used again and again; and the rules that such a request shares with any other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::definition::{Kind, Need};
use crate::harness::HarnessKind;
use crate::id::{AgentId, EnvironmentId, RunnerId};
use crate::limits;
use crate::repository::Repository;
use crate::run_limits::RunLimits;
use crate::scheduling::Scheduling;

/// A run that is yet to be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunTemplate {
    pub prompt: String,
    /// Made from the prompt where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub title: Option<String>,
    pub harness: HarnessKind,
    /// The API's `agent_config`, resolved, as it is answered.
    pub agent_config: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<EnvironmentId>,
    /// Who works. What this does not say of how, the agent does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent: Option<AgentId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runner: Option<RunnerId>,
    /// Beside those of the environment.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub repositories: Vec<Repository>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deadline_seconds: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub scheduling: Scheduling,
    #[serde(default)]
    pub limits: RunLimits,
}

/// A field that cannot be as given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidField {
    pub field: String,
    pub reason: String,
}

impl InvalidField {
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl RunTemplate {
    /// What it names of others, by the API's names.
    pub fn needs(&self) -> Vec<Need<'_>> {
        let Self { environment, agent, runner, .. } = self;
        let environment =
            environment.as_ref().map(|id| Need::new("config.environment_id", Kind::Environment, id.as_str()));
        let runner = runner.as_ref().map(|id| Need::new("config.runner_id", Kind::Runner, id.as_str()));
        let agent = agent.as_ref().map(|id| Need::new("agent_identity_uid", Kind::Agent, id.as_str()));
        environment.into_iter().chain(runner).chain(agent).collect()
    }

    /// Whether a run could be made from this. Ids, repositories and the harness have been checked by their types.
    pub fn check(&self) -> Result<(), InvalidField> {
        check_prompt(&self.prompt, limits::TEMPLATE_PROMPT_BYTES)?;
        if self.repositories.len() > limits::ENVIRONMENT_ITEMS {
            return Err(InvalidField::new("config.repositories", format!("at most {}", limits::ENVIRONMENT_ITEMS)));
        }
        if self.deadline_seconds.is_some_and(|seconds| seconds < limits::DEADLINE_MIN_SECONDS) {
            return Err(InvalidField::new("config.deadline_seconds", "at least 1"));
        }
        check_metadata(&self.metadata)?;
        self.scheduling.check()?;
        self.limits.check(self.deadline_seconds, self.scheduling.queue_seconds)
    }
}

pub fn check_prompt(prompt: &str, most_bytes: usize) -> Result<(), InvalidField> {
    let no = |reason: String| Err(InvalidField::new("prompt", reason));
    if prompt.trim().is_empty() {
        return no("needed: say what the agent should do".to_owned());
    }
    if prompt.len() > most_bytes {
        return no(format!("has {} bytes, at most {most_bytes}", prompt.len()));
    }
    if prompt.contains('\0') {
        return no("contains NUL".to_owned());
    }
    Ok(())
}

pub fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), InvalidField> {
    if metadata.len() > limits::METADATA_KEYS {
        return Err(InvalidField::new("metadata", format!("at most {} keys", limits::METADATA_KEYS)));
    }
    for (key, value) in metadata {
        let valid_key = (1..=limits::METADATA_KEY_BYTES).contains(&key.len())
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !valid_key {
            let key: String = key.chars().take(80).collect();
            let reason = format!("the key \"{key}\" is not 1 to 64 of a-z, A-Z, 0-9, . _ -");
            return Err(InvalidField::new("metadata", reason));
        }
        if value.len() > limits::METADATA_VALUE_BYTES || value.contains('\0') {
            let reason = format!("at most {} bytes, without NUL", limits::METADATA_VALUE_BYTES);
            return Err(InvalidField::new(format!("metadata.{key}"), reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut RunTemplate), expected: &str) {
        let mut template = RunTemplate {
            prompt: "true".to_owned(),
            title: None,
            harness: HarnessKind::Shell,
            agent_config: Map::new(),
            environment: None,
            agent: None,
            runner: None,
            repositories: Vec::new(),
            deadline_seconds: None,
            metadata: BTreeMap::new(),
            scheduling: Scheduling::default(),
            limits: RunLimits::default(),
        };
        change(&mut template);
        assert_eq!(template.check().map_or_else(|err| err.field, |()| "ok".to_owned()), expected);
    }

    #[test]
    fn what_no_run_could_be_made_from_is_refused_by_field() {
        let pairs = |key: &str, value: String| BTreeMap::from([(key.to_owned(), value)]);
        let repository = Repository { url: "acme/web".parse().unwrap(), reference: None };
        check(|_| {}, "ok");
        check(|t| t.prompt = " \n".to_owned(), "prompt");
        check(|t| t.prompt = "a\0b".to_owned(), "prompt");
        check(|t| t.prompt = "x".repeat(limits::TEMPLATE_PROMPT_BYTES), "ok");
        check(|t| t.prompt = "x".repeat(limits::TEMPLATE_PROMPT_BYTES + 1), "prompt");
        check(|t| t.deadline_seconds = Some(0), "config.deadline_seconds");
        check(|t| t.repositories = vec![repository; 101], "config.repositories");
        check(|t| t.metadata = pairs("a.b-c_D", "x".repeat(256)), "ok");
        check(|t| t.metadata = pairs("", String::new()), "metadata");
        check(|t| t.metadata = pairs("a b", String::new()), "metadata");
        check(|t| t.metadata = pairs("a", "x".repeat(257)), "metadata.a");
        check(|t| t.metadata = pairs("a", "\0".to_owned()), "metadata.a");
        check(|t| t.metadata = (0..21).map(|n| (n.to_string(), String::new())).collect(), "metadata");
    }
}
