//! Environments: what an agent works in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::aws::{RoleArn, SecretReference};
use crate::checks;
use crate::definition::{Kind, Need};
use crate::id::{EnvironmentId, RunnerId, SecretName, TeamId};
use crate::limits;
use crate::repository::Repository;
use crate::template::InvalidField;

/// An environment as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub uid: EnvironmentId,
    pub team: TeamId,
    pub config: EnvironmentConfig,
    pub created_at: Timestamp,
    pub last_updated: Timestamp,
}

/// What a user sets. `name` is unique within the team.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvironmentConfig {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Used where a container engine is reachable; elsewhere the run says that it went without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_image: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<Repository>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub setup_commands: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Secrets by name; their values come from the vault at the claim.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
    pub network: Network,
    #[serde(skip_serializing_if = "Capacity::is_default")]
    pub capacity: Capacity,
    /// Variables of the task whose values are secrets or parameters that exist outside of Ozma's vault, by ARN.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_references: BTreeMap<SecretName, SecretReference>,
    /// The role that the task acts as in AWS, by credentials that the agent fetches for it. Without one it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_role: Option<RoleArn>,
    /// Of runs that name none, and whose agent does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner: Option<RunnerId>,
}

/// Which machines a cloud may take for the agent. A laptop has its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capacity {
    #[default]
    OnDemand,
    /// Spare machines at about a third of the price, which may be taken away with two minutes' notice; the run is then
    /// tried again. Where there are none, the others.
    Spot,
}

impl Capacity {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What the agent's task may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    #[default]
    Full,
    /// No network at all, where the isolation can enforce it; elsewhere the run is refused rather than let out.
    None,
}

impl EnvironmentConfig {
    /// The same for a run that works on code which may be a stranger's: whatever it does, there is nothing to take.
    pub fn without_secrets(self) -> Self {
        Self { secrets: Vec::new(), secret_references: Default::default(), aws_role: None, ..self }
    }

    /// What it names of others.
    pub fn needs(&self) -> Vec<Need<'_>> {
        let runner = self.runner.as_ref().map(|id| Need::new("default_runner_uid", Kind::Runner, id.as_str()));
        runner.into_iter().collect()
    }

    /// Whether an agent could work in this. Repositories and secret names have been checked by their types.
    pub fn check(&self) -> Result<(), InvalidField> {
        let no = |field: &str, reason: &str| Err(InvalidField::new(field, reason));
        checks::name("an environment", &self.name)?;
        checks::description(self.description.as_deref())?;
        checks::docker_image(self.docker_image.as_deref())?;
        checks::setup_commands(&self.setup_commands)?;
        for (name, value) in &self.variables {
            if name.parse::<SecretName>().is_err() {
                let reason =
                    format!("\"{name}\" is not the name of a variable (letters, digits and _, no digit first)");
                return no("variables", &reason);
            }
            if value.contains('\0') {
                return no("variables", &format!("the value of {name} contains NUL"));
            }
            if name.starts_with("OZ_") {
                return no("variables", &format!("{name}: names that begin with OZ_ belong to the platform"));
            }
        }
        for name in self.secret_references.keys() {
            if self.variables.contains_key(name.as_str()) || self.secrets.contains(name) {
                return no(
                    "secret_references",
                    &format!("{name} is a variable or a secret of this environment as well"),
                );
            }
        }
        if let Some(name) = self.secrets.iter().find(|name| self.variables.contains_key(name.as_str())) {
            return no("secrets", &format!("{name} is a variable of this environment as well"));
        }
        checks::once("secrets", &self.secrets)?;
        let mut folders: Vec<&str> = self.repositories.iter().map(|repository| repository.url.directory()).collect();
        folders.sort_unstable();
        if let Some(pair) = folders.windows(2).find(|pair| pair[0] == pair[1]) {
            return no("repositories", &format!("two of them would be cloned into the folder {}", pair[0]));
        }
        checks::items("repositories", self.repositories.len())?;
        checks::items("variables", self.variables.len())?;
        checks::items("secrets", self.secrets.len())?;
        let texts = self.setup_commands.iter().chain(self.variables.values()).map(String::len).sum::<usize>();
        if texts > limits::ENVIRONMENT_BYTES {
            return no(
                "setup_commands",
                "commands and variables together hold more than 64 KiB; put them in the repository",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut EnvironmentConfig), expected: &str) {
        let mut config = EnvironmentConfig { name: "web".to_owned(), ..EnvironmentConfig::default() };
        change(&mut config);
        assert_eq!(config.check().map_or_else(|err| err.field, |()| "ok".to_owned()), expected);
    }

    #[test]
    fn what_cannot_work_is_refused_by_field() {
        let repository = |url: &str| Repository { url: url.parse().unwrap(), reference: None };
        check(|_| {}, "ok");
        check(|c| c.name = " ".to_owned(), "name");
        check(|c| c.name = "a\nb".to_owned(), "name");
        check(|c| c.description = Some("x".repeat(241)), "description");
        check(|c| c.docker_image = Some("debian 12".to_owned()), "docker_image");
        check(|c| c.setup_commands = vec![" ".to_owned()], "setup_commands");
        check(|c| c.setup_commands = vec!["x".repeat(70_000)], "setup_commands");
        check(|c| drop(c.variables.insert("A-B".to_owned(), String::new())), "variables");
        check(|c| drop(c.variables.insert("OZ_RUN_ID".to_owned(), String::new())), "variables");
        check(|c| c.secrets = vec!["A".parse().unwrap(), "A".parse().unwrap()], "secrets");
        check(|c| c.repositories = vec![repository("a/web"), repository("b/web")], "repositories");
        check(|c| c.repositories = vec![repository("a/web"), repository("a/app")], "ok");
    }
}
