//! Idempotency keys: the row is the guard, written with the run it answers with.

use ozma_domain::id::{RunId, TeamId};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::key::Key;
use crate::table::{Consistency, Store};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRow {
    pub key_hash: String,
    pub body_hash: String,
    pub run_id: RunId,
    /// Seconds since 1970, for DynamoDB to delete the row some days after.
    pub expires: i64,
}

impl Store {
    pub async fn idempotency(&self, team: &TeamId, key_hash: &str) -> Result<Option<IdempotencyRow>, StoreError> {
        self.get(&Key::Idempotency { team, key_hash }, Consistency::Strong).await
    }
}
