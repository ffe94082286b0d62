//! Named agents: who works. A run of one begins with what it says, and what the run says itself comes before that.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::checks;
use crate::definition::{Kind, Need};
use crate::environment::EnvironmentConfig;
use crate::harness::HarnessKind;
use crate::id::{AgentId, EnvironmentId, RunnerId, SecretName, TeamId};
use crate::limits;
use crate::template::InvalidField;

/// What kinds of agents there are, for whoever lists them: the API's names.
const TYPES: [&str; 7] = ["FOREMAN", "TRIAGE", "SPEC", "IMPLEMENT", "REVIEW", "VERIFY", "CUSTOM"];

/// An agent as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedAgent {
    pub uid: AgentId,
    pub team: TeamId,
    pub config: NamedAgentConfig,
    pub created_at: Timestamp,
    pub last_updated: Timestamp,
}

/// What a user sets. `name` is unique within the team.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedAgentConfig {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its harness is told before what a run says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner: Option<RunnerId>,
    /// Beside those of the environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harness: Option<HarnessKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// The API's, by name.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub mcp_servers: Map<String, Value>,
}

/// An agent, as a run remembers it: as it was when the run was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSnapshot {
    pub uid: AgentId,
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub secrets: Vec<SecretName>,
}

impl NamedAgentConfig {
    /// What it names of others.
    pub fn needs(&self) -> Vec<Need<'_>> {
        let environment =
            self.environment.as_ref().map(|id| Need::new("environment_id", Kind::Environment, id.as_str()));
        let runner = self.runner.as_ref().map(|id| Need::new("default_runner_uid", Kind::Runner, id.as_str()));
        environment.into_iter().chain(runner).collect()
    }

    /// Whether an agent could work by this. Ids, names of secrets and the harness have been checked by their types.
    pub fn check(&self) -> Result<(), InvalidField> {
        let no = |field: &str, reason: String| Err(InvalidField::new(field, reason));
        checks::name("an agent", &self.name)?;
        checks::description(self.description.as_deref())?;
        if self.prompt.as_ref().is_some_and(|prompt| prompt.len() > limits::INLINE_BYTES || prompt.contains('\0')) {
            return no("prompt", format!("at most {} bytes, without NUL", limits::INLINE_BYTES));
        }
        if self.agent_type.as_deref().is_some_and(|kind| !TYPES.contains(&kind)) {
            return no("agent_type", format!("one of {}", TYPES.join(", ")));
        }
        checks::items("secrets", self.secrets.len())?;
        checks::once("secrets", &self.secrets)
    }
}

impl NamedAgent {
    pub fn snapshot(&self) -> AgentSnapshot {
        let NamedAgentConfig { name, secrets, .. } = &self.config;
        AgentSnapshot { uid: self.uid.clone(), name: name.clone(), secrets: secrets.clone() }
    }

    /// Fills in what the configuration of a run (the API's `agent_config`) does not say. Of MCP servers both have, under one
    /// name the run's.
    pub fn complete(&self, agent_config: &mut Map<String, Value>) {
        let NamedAgentConfig { name, prompt, base_model, mcp_servers, .. } = &self.config;
        let said = [("name", Some(name)), ("base_prompt", prompt.as_ref()), ("model_id", base_model.as_ref())];
        for (member, value) in said {
            if let Some(value) = value
                && agent_config.get(member).is_none_or(|given| given == "")
            {
                agent_config.insert(member.to_owned(), value.as_str().into());
            }
        }
        if !mcp_servers.is_empty() {
            let mut servers = mcp_servers.clone();
            if let Some(Value::Object(own)) = agent_config.get_mut("mcp_servers") {
                servers.append(own);
            }
            agent_config.insert("mcp_servers".to_owned(), servers.into());
        }
    }
}

impl AgentSnapshot {
    /// The environment with the agent's secrets beside its own. Where it has a variable of such a name, the secret counts.
    pub fn add_secrets(&self, environment: &mut EnvironmentConfig) {
        for name in &self.secrets {
            environment.variables.remove(name.as_str());
            environment.secret_references.remove(name);
            if !environment.secrets.contains(name) {
                environment.secrets.push(name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn agent(config: NamedAgentConfig) -> NamedAgent {
        let at = Timestamp::UNIX_EPOCH;
        let team = "local".parse().unwrap();
        NamedAgent { uid: AgentId::new([7; 16]), team, config, created_at: at, last_updated: at }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut NamedAgentConfig), expected: &str) {
        let mut config = NamedAgentConfig { name: "reviewer".to_owned(), ..NamedAgentConfig::default() };
        change(&mut config);
        assert_eq!(config.check().map_or_else(|err| err.field, |()| "ok".to_owned()), expected);
    }

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        check(|_| {}, "ok");
        check(|c| c.name = String::new(), "name");
        check(|c| c.name = "a\nb".to_owned(), "name");
        check(|c| c.description = Some("x".repeat(241)), "description");
        check(|c| c.prompt = Some("x".repeat(32 * 1024 + 1)), "prompt");
        check(|c| c.prompt = Some("a\0b".to_owned()), "prompt");
        check(|c| c.agent_type = Some("REVIEW".to_owned()), "ok");
        check(|c| c.agent_type = Some("review".to_owned()), "agent_type");
        check(|c| c.secrets = vec!["A".parse().unwrap(), "A".parse().unwrap()], "secrets");
    }

    #[test]
    fn what_a_run_says_comes_before_what_its_agent_says() {
        #[track_caller]
        fn check(run: &Value, expected: &Value) {
            let servers = json!({"files": {"command": "files"}, "search": {"url": "https://a.example"}});
            let agent = agent(NamedAgentConfig {
                name: "reviewer".to_owned(),
                prompt: Some("Be kind.".to_owned()),
                mcp_servers: servers.as_object().unwrap().clone(),
                ..NamedAgentConfig::default()
            });
            let mut config = run.as_object().unwrap().clone();
            agent.complete(&mut config);
            assert_eq!(Value::Object(config), *expected);
        }
        let files = json!({"command": "files"});
        check(
            &json!({"model_id": ""}),
            &json!({"name": "reviewer", "base_prompt": "Be kind.", "model_id": "",
                   "mcp_servers": {"files": files, "search": {"url": "https://a.example"}}}),
        );
        check(
            &json!({"name": "x", "base_prompt": "Be brief.", "mcp_servers": {"search": {"url": "https://b.example"}}}),
            &json!({"name": "x", "base_prompt": "Be brief.",
                   "mcp_servers": {"files": files, "search": {"url": "https://b.example"}}}),
        );
    }

    #[test]
    fn an_agents_secrets_are_beside_those_of_its_environment() {
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<SecretName>>();
        let mut environment = EnvironmentConfig {
            secrets: names(&["NPM_TOKEN", "SHARED"]),
            variables: [("MODE".to_owned(), "test".to_owned()), ("KEY".to_owned(), "none".to_owned())].into(),
            ..EnvironmentConfig::default()
        };
        let secrets = names(&["SHARED", "KEY"]);
        AgentSnapshot { uid: AgentId::new([7; 16]), name: "x".to_owned(), secrets }.add_secrets(&mut environment);
        assert_eq!(environment.secrets, names(&["NPM_TOKEN", "SHARED", "KEY"]));
        assert_eq!(environment.variables.into_keys().collect::<Vec<_>>(), ["MODE"]);
    }
}
