//! Looks: what services could not deliver to a webhook.

use ozma_domain::id::WebhookId;
use ozma_domain::redelivery::Look;

use crate::error::StoreError;
use crate::item::{replace, to_item};
use crate::key::Key;
use crate::table::{Consistency, Store};

impl Store {
    /// The latest look, if there was any.
    pub async fn look(&self, webhook: &WebhookId) -> Result<Option<Look>, StoreError> {
        self.get(&Key::Look(webhook), Consistency::Strong).await
    }

    /// Replaces it. Of two who look at the same time the later stays: what one has asked for, the other finds delivered.
    pub async fn put_look(&self, webhook: &WebhookId, look: &Look) -> Result<(), StoreError> {
        let _ = self.write("save a look", vec![replace(&self.table, to_item(look, &Key::Look(webhook))?)]).await?;
        Ok(())
    }
}
