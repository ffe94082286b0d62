//! Secrets: written and listed, never read.

use jiff::Timestamp;
use ozma_domain::id::SecretName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /agent/secrets`, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretList {
    pub secrets: Vec<SecretItem>,
}

/// What is told of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretItem {
    #[schema(value_type = String)]
    pub name: SecretName,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// `PUT /agent/secrets/{name}`: creates or replaces, answered with the [`SecretItem`]. Not `Debug`: it would print.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct PutSecretRequest {
    #[schema(write_only)]
    pub value: String,
}
