//! Environments: what an agent works in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ozma_domain::aws::{RoleArn, SecretReference};
use ozma_domain::environment::{Capacity, Network};
use ozma_domain::id::{EnvironmentId, RunId, SecretName};
use ozma_domain::state::RunState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::profile::{Scope, UserProfile};
use super::repository::Repository;
use super::schemas;

/// An environment as answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Environment {
    #[schema(value_type = String)]
    pub uid: EnvironmentId,
    pub config: EnvironmentConfig,
    pub last_updated: Timestamp,
    /// Whether the latest run failed before its agent could work.
    pub setup_failed: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_task_run_timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_task_created: Option<LastTask>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<Scope>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub creator: Option<UserProfile>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_editor: Option<UserProfile>,
}

/// What a user sets. It is the body of `POST /agent/environments`, where `name` is required, and of
/// `PUT /agent/environments/{uid}`, which replaces the whole.
///
/// `repositories`, `variables`, `secrets`, `network`, `capacity`, `secret_references` and `default_runner_uid` are this API's
/// own. `github_repos` is taken as repositories on GitHub and answered for those; `repositories` always has all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EnvironmentConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At most 240 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub github_repos: Option<Vec<GithubRepo>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup_commands: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers: Option<Providers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 60)]
    pub failure_session_retention_minutes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<Repository>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variables: Option<BTreeMap<String, String>>,
    /// Secrets by name; each is a variable of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub secrets: Option<Vec<SecretName>>,
    /// `full`, the default, or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "full")]
    pub network: Option<Network>,
    /// `on_demand`, the default, or `spot`: cheaper machines that may be taken away, where a cloud has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "on_demand")]
    pub capacity: Option<Capacity>,
    /// Variables whose values are secrets of Secrets Manager or parameters of Systems Manager, by ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub secret_references: Option<BTreeMap<SecretName, SecretReference>>,
    /// The machine of runs that name none, and whose agent does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_runner_uid: Option<String>,
}

/// `providers`: how a task signs in to a cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Providers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsProvider>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub gcp: Option<Map<String, Value>>,
}

/// The task acts as this role, in sessions named after the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AwsProvider {
    #[schema(value_type = String, example = "arn:aws:iam::123456789012:role/agents")]
    pub role_arn: RoleArn,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GithubRepo {
    pub owner: String,
    pub repo: String,
}

/// The latest run in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastTask {
    #[schema(value_type = String)]
    pub id: RunId,
    pub title: String,
    #[schema(schema_with = schemas::run_state)]
    pub state: RunState,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<Timestamp>,
}

/// `GET /agent/environments`: all of them, in one answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentList {
    pub environments: Vec<Environment>,
}

/// The answer to a `DELETE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deleted {
    pub success: bool,
}
