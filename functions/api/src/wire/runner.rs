//! Runners: which machines agents work on. They are this API's own, with the names that the contract's runs and identities
//! know them by.

use jiff::Timestamp;
use ozma_domain::id::RunnerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::profile::Scope;

/// A runner as answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Runner {
    #[schema(value_type = String)]
    pub uid: RunnerId,
    pub config: RunnerConfig,
    pub created_at: Timestamp,
    pub last_updated: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<Scope>,
}

/// What a user sets: the body of `POST /agent/runners`, where `name` is required, and of `PUT /agent/runners/{uid}`, which
/// replaces the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RunnerConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At most 240 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `linux`, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// `auto`, if anything: that of the installation's machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// In the place of the environment's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_image: Option<String>,
    /// Before those of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup_commands: Option<Vec<String>>,
    /// 1, 2, 4, 8 or 16, together with `memory_gb`. What is more than the plan's is cut to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gb: Option<u32>,
}

/// `GET /agent/runners`: all of them, in one answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunnerList {
    pub runners: Vec<Runner>,
}
