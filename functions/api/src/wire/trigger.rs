//! What starts an automation, and what it makes of an event.

use std::collections::BTreeSet;

use ozma_domain::filter::Condition;
use ozma_domain::id::DeliveryId;
use ozma_domain::provider::Association;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::automation::AutomationConfig;

/// Which events start an automation: the member `on`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Trigger {
    /// A webhook, by id or name. It or `provider`; without either, the automation's own address and events of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Every webhook of that provider: `github`, `gitlab`, `slack`, `linear`, `jira`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Names such as `issue.labeled`; every event if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// Over the payload: `{"action": ["opened"], "repository": {"full_name": {"prefix": "acme/"}}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Allow>,
    /// Runs in an hour for one issue, pull request, branch or thread; 20 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub runs_per_object: Option<u32>,
}

/// Who may cause runs by an event of a provider. What is not said is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Allow {
    /// `OWNER`, `MEMBER` and `COLLABORATOR` if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub associations: Option<BTreeSet<Association>>,
    /// Whatever they are to the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logins: Option<BTreeSet<String>>,
    /// People by the address that the provider tells of them, or all of a domain: `ann@example.com`, `*@example.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emails: Option<BTreeSet<String>>,
    /// Checks over any code, whoever made them run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any_checks: Option<bool>,
    /// Secrets also for code of forks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fork_secrets: Option<bool>,
}

/// `POST /automations/{id}/test`: what it would make of an event that came before. Nothing is started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TestRequest {
    /// Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// Another configuration to try; the automation's own if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<AutomationConfig>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestResult {
    #[schema(value_type = String)]
    pub delivery_id: DeliveryId,
    pub starts: bool,
    /// Why it would not start a run, what would go wrong, or who is asked first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// Each condition of the filter, and what it found.
    #[schema(value_type = Vec<Object>)]
    pub conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompt: Option<String>,
    /// Members of the event that the prompt would print and that are not there.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub absent: Vec<String>,
    /// The concurrency key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// Whether the run would have secrets.
    pub secrets: bool,
}
