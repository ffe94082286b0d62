//! Definitions: what a team keeps in files and applies as a whole. They are this API's own.

use ozma_domain::definition::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// `POST /apply`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ApplyRequest {
    /// Required. Each has its `kind` (`runner`, `environment`, `agent`, `webhook`, `automation`, `schedule` or
    /// `subscription`), its `name`, and the
    /// members of the body by which such a one is created. Others that it needs are named by their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub definitions: Option<Vec<Map<String, Value>>>,
    /// What is made is of this set; `default` if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Delete what an apply of this set has made and what is not among the definitions any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune: Option<bool>,
    /// Only tell what would be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_only: Option<bool>,
}

/// What was done, or would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApplyResult {
    pub set: String,
    /// Whether anything was written.
    pub applied: bool,
    /// What is defined, in its order, then what is deleted.
    pub changes: Vec<DefinitionChange>,
}

/// What becomes of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DefinitionChange {
    #[schema(value_type = String)]
    pub kind: Kind,
    pub name: String,
    pub action: DefinitionAction,
    /// Absent where it is still to be made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// What differs.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fields: Vec<FieldChange>,
    /// Where webhooks go that are sent to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// What webhooks to it, or notifications of it, are signed with. Only where it was made just now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<String>,
    /// What is left to be done by hand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionAction {
    Create,
    Update,
    Delete,
    Unchanged,
}

/// A field that differs, such as `run.prompt`. Old or new is absent where it is not there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FieldChange {
    pub field: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub old: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub new: Option<Value>,
}

/// `GET /definitions`: applied again, they change nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DefinitionList {
    #[schema(value_type = Vec<Object>)]
    pub definitions: Vec<Map<String, Value>>,
}
