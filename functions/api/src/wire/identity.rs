//! Identities: named agents, as the contract has them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ozma_domain::id::{AgentId, SecretName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::agent_config::{Harness, McpServer};

/// A named agent as answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    #[schema(value_type = String)]
    pub uid: AgentId,
    pub name: String,
    /// Always: no plan of this version keeps an agent from being used.
    pub available: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Empty: it has none.
    pub default_runner_uid: String,
    pub memory: Memory,
    pub secrets: Vec<SecretRef>,
    /// Empty, in this version.
    pub skills: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub harness: Option<Harness>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mcp_servers: Option<BTreeMap<String, McpServer>>,
}

/// The body of `POST /agent/identities`, where `name` is required, and of `PUT /agent/identities/{uid}`: there, what is absent
/// stays as it is, and what is empty is taken away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct IdentityRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At most 240 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its harness is told before what a run says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// `FOREMAN`, `TRIAGE`, `SPEC`, `IMPLEMENT`, `REVIEW`, `VERIFY` or `CUSTOM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_type: Option<String>,
    /// The older form of `harness`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(deprecated)]
    pub base_harness: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harness: Option<Harness>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub harness_auth_secrets: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub inference_providers: Option<Map<String, Value>>,
    /// `CREATOR` or `EXECUTOR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_strategy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_runner_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factory_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcp_servers: Option<BTreeMap<String, McpServer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub memory: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of_enabled: Option<bool>,
    /// Beside those of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<SecretRef>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skills: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_host: Option<String>,
}

/// A secret by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretRef {
    #[schema(value_type = String)]
    pub name: SecretName,
}

/// What an agent remembers: nothing, in this version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    #[schema(value_type = Vec<Object>)]
    pub attached_stores: Vec<Map<String, Value>>,
    pub auto_memory: AutoMemory,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AutoMemory {
    pub enabled: bool,
}

/// `GET /agent/identities`: all of them, in one answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IdentityList {
    pub agents: Vec<Identity>,
}
