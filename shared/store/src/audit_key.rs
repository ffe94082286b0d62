//! The public half of the key that signs audit manifests. Whoever seals has the seed; whoever only reads finds this.

use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{replace, to_item};
use crate::key::Key;
use crate::table::{Consistency, Store};

#[derive(Serialize, Deserialize)]
struct AuditKeyRow {
    public_key: String,
}

impl Store {
    /// 32 bytes in base64. None: nothing has been set up yet.
    pub async fn audit_key(&self) -> Result<Option<String>, StoreError> {
        let row: Option<AuditKeyRow> = self.get(&Key::AuditSigner, Consistency::Eventual).await?;
        Ok(row.map(|row| row.public_key))
    }

    pub async fn put_audit_key(&self, public_key: String) -> Result<(), StoreError> {
        let item = to_item(&AuditKeyRow { public_key }, &Key::AuditSigner)?;
        let _ = self.write("save the audit key", vec![replace(&self.table, item)]).await?;
        Ok(())
    }
}
