//! API keys, by their hash. The key itself is never stored.

use jiff::Timestamp;
use ozma_domain::id::TeamId;
use ozma_domain::token::TokenHash;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{replace, to_item};
use crate::key::Key;
use crate::table::{Consistency, Store};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRow {
    pub team: TeamId,
    /// What people call it; the creator of the runs it starts.
    pub name: String,
    pub created_at: Timestamp,
    /// The key that the installation was made with: it may stop every team.
    #[serde(default)]
    pub operator: bool,
}

impl Store {
    pub async fn api_key(&self, hash: &TokenHash) -> Result<Option<ApiKeyRow>, StoreError> {
        self.get(&Key::Access { hash: &hash.to_hex() }, Consistency::Eventual).await
    }

    pub async fn put_api_key(&self, hash: &TokenHash, row: &ApiKeyRow) -> Result<(), StoreError> {
        let item = to_item(row, &Key::Access { hash: &hash.to_hex() })?;
        let _ = self.write("save an API key", vec![replace(&self.table, item)]).await?;
        Ok(())
    }
}
