//! Idempotency keys: a key belongs to the run that it was reserved for first. The row comes before the run, alone, which
//! costs half of what it would in the run's transaction; a request that dies in between leaves the key to its repetition.

use ozma_domain::id::{RunId, TeamId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{create, to_item};
use crate::key::Key;
use crate::table::{Consistency, Store, Written};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRow {
    pub key_hash: String,
    pub body_hash: String,
    pub run_id: RunId,
    /// Seconds since 1970, for DynamoDB to delete the row some days after.
    pub expires: i64,
}

impl Store {
    /// The row that holds the key: this one, or an earlier one.
    pub async fn reserve(&self, team: &TeamId, row: &IdempotencyRow) -> Result<IdempotencyRow, StoreError> {
        let key = Key::Idempotency { team, key_hash: &row.key_hash };
        self.first(&key, row, "reserve an idempotency key").await
    }

    /// The row that was first at a place: this one, or an earlier one.
    pub(crate) async fn first<Row>(&self, key: &Key<'_>, row: &Row, what: &'static str) -> Result<Row, StoreError>
    where
        Row: Clone + Serialize + DeserializeOwned,
    {
        loop {
            if self.write(what, vec![create(&self.table, to_item(row, key)?)]).await? == Written::Now {
                return Ok(row.clone());
            }
            if let Some(first) = self.get(key, Consistency::Strong).await? {
                return Ok(first);
            }
            // It expired in between.
        }
    }
}
